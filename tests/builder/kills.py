"""Kills builders and their children in the middle of real builds, and looks at what is left on the machine.

    python -m tests.builder.kills [--kills 50] [--seed N]

Each life is one build of our smallest image by the real disk-image-create. At a random instant of it, SIGKILL strikes
the builder, the supervisor of the build, or any process below that. Then a successor cleans up as a builder does at its
start, and there must be no process, mount, loop device or folder of the build. Needs root.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from nodepool_ng.builder import dib, leftovers
from nodepool_ng.model.ids import BuildId, ImageName

ELEMENTS = Path(__file__).parents[2] / "elements"
BUILDER = """
import os, sys
from pathlib import PosixPath
from nodepool_ng.builder import dib
from nodepool_ng.builder.dib import BuildOrder
from nodepool_ng.builder.limits import Limits
dib.start({order!r}, os.environ, grace=1.0).wait()
"""
PATIENCE = 60.0  # seconds


@dataclass
class Tally:
    """What was struck and what came of it; times in seconds."""

    victims: Counter[str] = field(default_factory=Counter)
    instants: list[float] = field(default_factory=list)
    programs: Counter[str] = field(default_factory=Counter)
    """What the struck process was running."""
    held: Counter[str] = field(default_factory=Counter)
    """In how many lives there was such a thing at the instant of the kill."""
    gone: list[float] = field(default_factory=list)
    """How long it took until no process of the build was there."""
    left: list[str] = field(default_factory=list)

    def text(self) -> str:
        rows = [
            f"{sum(self.victims.values())} kills: " + ", ".join(f"{n} of {who}" for who, n in self.victims.items()),
            f"at {min(self.instants):.1f}-{max(self.instants):.1f} s of the build, while it held "
            + ", ".join(f"{what} in {n}" for what, n in self.held.items()),
            "programs struck: " + ", ".join(f"{name} {n}" for name, n in self.programs.most_common()),
            f"processes gone after {median(self.gone):.2f} s (median), {max(self.gone):.2f} s at most",
            f"left behind: {'; '.join(self.left) or 'nothing'}",
        ]
        return "\n".join(rows)


def order_in(folder: Path) -> dib.BuildOrder:
    """Order one build, with an id of its own, whose working directory is in `folder`/scratch."""
    return dib.BuildOrder(
        image=ImageName("ng-tiny"),
        id=BuildId(uuid.uuid4().hex),
        elements=("ng-tiny",),
        formats=frozenset({"qcow2"}),
        images_dir=folder / "images",
        log=folder / "build.log",
        elements_dir=str(ELEMENTS),
        env_vars={"TMPDIR": str(folder / "scratch")},
        timeout=240.0,
    )


def strike(folder: Path, kills: int, rng: random.Random) -> Tally:
    """Live so many lives, each to a kill, and return what was seen."""
    (folder / "scratch").mkdir(parents=True)
    tally = Tally()
    length = _whole_build(folder)
    for number in range(kills):
        order = order_in(folder)
        with _builder(order) as builder:
            instant = rng.uniform(0.2, 0.97 * length)
            # not an event that is waited for, but the instant that is drawn
            time.sleep(instant)
            kind = ("builder", "supervisor", "a process of the build")[number % 3]
            victim = _victim(kind, builder.pid, order, rng)
            if victim is None:
                kind, victim = "builder", builder.pid
            _note(tally, kind, instant, victim, order)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            struck = time.monotonic()
            builder.wait(PATIENCE)
        _until_gone(order, struck, tally)
        leftovers.end_dead_builds(order.images_dir, patience=5.0)
        tally.left += _left(order)
    return tally


def _whole_build(folder: Path) -> float:
    """Build once to the end; return how long that took, in seconds."""
    order = replace(order_in(folder), log=folder / "whole.log")
    result = dib.start(order, os.environ).wait()
    assert result.succeeded, f"{result.why}\n{order.log.read_text()[-3000:]}"
    return result.duration


@contextlib.contextmanager
def _builder(order: dib.BuildOrder) -> Iterator[subprocess.Popen[bytes]]:
    search = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", BUILDER.format(order=order)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search}) as builder:
        try:
            yield builder
        finally:
            builder.kill()


def _victim(kind: str, builder: int, order: dib.BuildOrder, rng: random.Random) -> int | None:
    if kind == "builder":
        return builder
    ours = sorted(_processes(order))
    lock = order.images_dir / leftovers.RECORDS / f"{order.image}-{order.id}.lock"
    words = lock.read_text().split() if lock.exists() else []
    if kind == "supervisor":
        return int(words[0]) if words else None
    below = [pid for pid in ours if str(pid) not in words[:1]]
    return rng.choice(below) if below else None


def _note(tally: Tally, kind: str, instant: float, victim: int, order: dib.BuildOrder) -> None:
    tally.victims[kind] += 1
    tally.instants.append(instant)
    with contextlib.suppress(OSError):
        tally.programs[Path(f"/proc/{victim}/comm").read_text().strip()] += 1
    tally.held["a folder"] += bool(_folders(order))
    tally.held["a mount"] += any(_mounted(pid, order) for pid in _processes(order))
    tally.held["a loop device"] += bool(_loops(order))


def _until_gone(order: dib.BuildOrder, since: float, tally: Tally) -> None:
    deadline = since + PATIENCE
    while (there := _processes(order)) and time.monotonic() < deadline:
        time.sleep(0.01)
    tally.gone.append(time.monotonic() - since)
    tally.left += [f"process {pid} of {order.id}" for pid in there]


def _processes(order: dib.BuildOrder) -> set[int]:
    """Return the processes that were born with this build's working directory, its supervisor included."""
    mark = f"{leftovers.PREFIX}{order.id}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes():
                    found.add(int(entry.name))
    return found


def _mounted(pid: int | str, order: dib.BuildOrder) -> list[str]:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        return [line.split(" ")[4] for line in lines if order.id in line]
    return []


def _loops(order: dib.BuildOrder) -> list[str]:
    folder = Path(order.env_vars["TMPDIR"])
    here = folder / f"{leftovers.PREFIX}{order.id}"
    return [loop.device for loop in leftovers.loops_of(here, leftovers.loops(), leftovers.files_below(here))]


def _folders(order: dib.BuildOrder) -> list[str]:
    return [name for name in os.listdir(order.env_vars["TMPDIR"]) if order.id in name]


def _left(order: dib.BuildOrder) -> list[str]:
    """Return what a kill left that a successor did not give back."""
    records = [path.name for path in (order.images_dir / leftovers.RECORDS).iterdir()]
    return [
        *(f"folder {name}" for name in os.listdir(order.env_vars["TMPDIR"])),
        *(f"mount {mount}" for mount in _mounted("self", order)),
        *(f"loop device {loop.device} on {loop.path}" for loop in leftovers.loops() if order.id in loop.path),
        *(f"loop device {loop.device} on a deleted file" for loop in leftovers.loops() if loop.path == "/image0.raw"),
        *(f"record {name}" for name in records),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        tally = strike(Path(folder), chosen.kills, random.Random(chosen.seed))
    print(tally.text())
    return 1 if tally.left else 0


if __name__ == "__main__":
    sys.exit(main())
