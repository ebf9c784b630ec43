"""The failures. Each is struck, and over when its function returns; what it did is mended by then, as far as an
operator or a service manager mends it: who was killed is started again."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from nodepool_ng.sim.zookeeper import Server
from tests.soak.crew import REGIONS, SESSION, SMALL_DISK, Crew
from tests.support.daemons import Daemon, wait_for

BEYOND_SESSION = SESSION + 3.0  # seconds
DISKS: Mapping[str, int] = MappingProxyType({"images-a": 1200, SMALL_DISK: 16})
"""Folders with a disk of their own, and its size in MiB; a build does not begin with less than 1024 free."""
Fault = Callable[[Crew, random.Random], None]


def killed_and_back(crew: Crew, rng: random.Random) -> None:
    """The host's service manager starts it again at once."""
    name = crew.leader()
    crew.launchers[name].kill()
    crew.start_launcher(name)


def killed_and_taken_over(crew: Crew, rng: random.Random) -> None:
    """The other launcher has to notice, and to go on with what was begun."""
    name = crew.leader()
    crew.launchers[name].kill()
    crew.owners.pop(name)
    crew.leader()
    crew.start_launcher(name)


def standing_still(crew: Crew, rng: random.Random) -> None:
    with stopped(crew.launchers[crew.leader()]):
        time.sleep(BEYOND_SESSION)


def still_in_a_create(crew: Crew, rng: random.Random) -> None:
    """It stands still between the cloud's doing and its answer, until its session is over; then it goes on."""
    _still_in(crew, "server.create")


def still_in_a_delete(crew: Crew, rng: random.Random) -> None:
    _still_in(crew, "server.delete")


def connections_reset(crew: Crew, rng: random.Random) -> None:
    for _ in range(3):
        for proxy in crew.proxies[crew.leader()]:
            proxy.reset()
        time.sleep(rng.uniform(0.1, 0.8))


def cut_off(crew: Crew, rng: random.Random) -> None:
    """No connection to ZooKeeper for longer than a session lasts; the clouds answer all the while."""
    proxies = crew.proxies[crew.leader()]
    for proxy in proxies:
        proxy.cut()
    time.sleep(BEYOND_SESSION)
    for proxy in proxies:
        proxy.mend()


def silence(crew: Crew, rng: random.Random) -> None:
    """Connections stay, and nothing comes through: no packet tells the launcher that it is alone."""
    proxies = crew.proxies[crew.leader()]
    for proxy in proxies:
        proxy.hold()
    time.sleep(BEYOND_SESSION)
    for proxy in proxies:
        proxy.mend()


def packets_lost(crew: Crew, rng: random.Random) -> None:
    """Each tenth packet to ZooKeeper and the clouds, for a while: TCP mends it, and takes its time."""
    _weather(crew, loss=0.1)


def packets_late(crew: Crew, rng: random.Random) -> None:
    _weather(crew, delay=0.3)


def line_dead(crew: Crew, rng: random.Random) -> None:
    """Neither ZooKeeper nor a cloud is there, and nothing says so; what was sent before may have been done."""
    _weather(crew, loss=1.0)


def zookeeper_killed(crew: Crew, rng: random.Random) -> None:
    """The leader of the ensemble, or the only server."""
    leader = _zookeeper_leader(crew)
    leader.kill()
    time.sleep(rng.uniform(0.2, 2.0))
    leader.start()


def cloud_lies(crew: Crew, rng: random.Random) -> None:
    """Creates are refused, done without saying so, done twice; deletes and lists fail, too."""
    for name in REGIONS:
        region = crew.place.sim.region("acme", name)
        for call, fate in (
            ("server.create", "refused"),
            ("server.create", "answer-lost"),
            ("server.create", "twice"),
            ("server.create", "error"),
            ("server.delete", "answer-lost"),
            ("server.delete", "refused"),
            ("server.list", "refused"),
        ):
            region.fault(call=call, fate=fate, times=2)
    time.sleep(3.0)
    for name in REGIONS:
        crew.place.sim.region("acme", name).forget_faults()


def builder_killed(crew: Crew, rng: random.Random) -> None:
    crew.yard.request_build()
    time.sleep(rng.uniform(0.0, 4.0))
    name = rng.choice(sorted(crew.builders))
    crew.builders[name].kill()
    crew.start_builder(name)


def build_killed(crew: Crew, rng: random.Random) -> None:
    """kill -9 to disk-image-create itself, somewhere in the middle."""
    crew.yard.request_build()
    wait_for(lambda: bool(_builds(crew)), "a build runs")
    time.sleep(rng.uniform(0.0, 1.5))
    for pid in _builds(crew):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def disks_full(crew: Crew, rng: random.Random) -> None:
    """No room for images in the middle of a build, and none for a launcher's log, pid file and session."""
    fillers = [crew.place.folder / name / "filler" for name in DISKS]
    crew.yard.request_build()
    wait_for(lambda: bool(_builds(crew)), "a build runs")
    for filler in fillers:
        _fill(filler)
    name = crew.leader()
    crew.launchers[name].kill()
    crew.start_launcher(name)
    time.sleep(3.0)
    for filler in fillers:
        filler.unlink()


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "launcher: kill -9, back at once": killed_and_back,
        "launcher: kill -9, the other takes over": killed_and_taken_over,
        "launcher: SIGSTOP beyond its session": standing_still,
        "launcher: SIGSTOP inside a cloud POST": still_in_a_create,
        "launcher: SIGSTOP inside a cloud DELETE": still_in_a_delete,
        "launcher: connections reset": connections_reset,
        "launcher: cut off from ZooKeeper": cut_off,
        "launcher: ZooKeeper silent": silence,
        "line: a tenth of the packets lost": packets_lost,
        "line: packets late, up to 0.6 s": packets_late,
        "line: dead for longer than a session": line_dead,
        "ZooKeeper: kill -9 of the leader": zookeeper_killed,
        "cloud: errors, lost answers, twins": cloud_lies,
        "builder: kill -9": builder_killed,
        "builder: disk-image-create killed": build_killed,
        "disks full: images, state": disks_full,
    }
)


@contextmanager
def small_disks(crew_folder: Path) -> Iterator[str]:
    """Give the first builder and the launchers' state disks that can be filled; yield why not, where it cannot be."""
    mounted: list[Path] = []
    why = ""
    for name, size in DISKS.items():
        folder = crew_folder / name
        folder.mkdir(parents=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}m", "none", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            why = f"no tmpfs can be mounted: {done.stderr.strip()}"
            break
        mounted.append(folder)
    try:
        yield why
    finally:
        for log in (crew_folder / SMALL_DISK).glob("*.log"):
            shutil.copy2(log, crew_folder)  # the disk goes, and with it what the launchers said
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextmanager
def stopped(daemon: Daemon) -> Iterator[None]:
    daemon.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.signal(signal.SIGCONT)


def _weather(crew: Crew, *, loss: float = 0.0, delay: float = 0.0) -> None:
    line = crew.lines[crew.leader()]
    line.weather(loss=loss, delay=delay)
    time.sleep(BEYOND_SESSION)
    line.weather()


def _still_in(crew: Crew, call: str) -> None:
    region = crew.place.sim.region("acme", "south")
    before = region.counters().calls.get(call, 0)
    region.fault(call=call, fate="slow", seconds=2.0, times=3)
    wait_for(lambda: region.counters().calls.get(call, 0) > before, f"{call} is under way")
    with stopped(crew.launchers[crew.leader()]):
        time.sleep(BEYOND_SESSION)
    region.forget_faults()


def _zookeeper_leader(crew: Crew) -> Server:
    if len(crew.servers) == 1:
        return crew.servers[0]
    return next(server for server in crew.servers if "Mode: leader" in server.ask("srvr"))


def _builds(crew: Crew) -> list[int]:
    """Return the processes that run the stand-in of this crew."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0] == b"/bin/bash" and str(crew.place.folder / "dib stand-in").encode() in words[1:2]:
                    found.append(int(entry.name))
    return found


def _fill(file: Path) -> None:
    """Leave no room on a disk."""
    step = 1 << 24
    with file.open("wb") as out:
        while step:
            with contextlib.suppress(OSError):
                os.posix_fallocate(out.fileno(), os.fstat(out.fileno()).st_size, step)
                continue
            step //= 16
