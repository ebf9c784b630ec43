"""Processes that go on when the command that started them has ended. Each is the leader of a session of its own and is
known by a file with its pid and when it began, so that nobody else's process is ever taken for it."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.place import Place

TERM_PATIENCE = 15.0  # seconds
LOOK_EVERY = 0.1  # seconds; other processes send no events


class StackError(Exception):
    """What was to be done could not be; the text says why and where to look."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its pid and by when it began, in ticks since the machine did."""

    pid: int
    began: str


def running(place: Place, name: str) -> Running | None:
    """Return the process of a service if it lives."""
    try:
        pid, began = (place.pids / name).read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return Running(int(pid), began) if _began(int(pid)) == began else None


def start(place: Place, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Start a service; what it prints goes to its log."""
    place.pids.mkdir(parents=True, exist_ok=True)
    place.logs.mkdir(parents=True, exist_ok=True)
    log = str(place.logs / f"{name}.log")
    program = shutil.which(argv[0], path=env.get("PATH"))
    if program is None:
        raise StackError(f"{name}: there is no program {argv[0]}")
    pid = os.posix_spawn(
        program,
        list(argv),
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    began = _began(pid)
    if began is None:
        raise StackError(died(place, name))
    (place.pids / name).write_text(f"{pid} {began}\n")


def stop(place: Place, name: str, *, at_once: bool = False) -> bool:
    """End a service and all that it started in its session: asked first, unless `at_once`, and made to after a while.
    Tells whether it ran."""
    leader = running(place, name)
    if leader is not None:
        if not at_once:
            _tell(leader.pid, signal.SIGTERM)
            waited(lambda: not _members(leader.pid), TERM_PATIENCE)
        _tell(leader.pid, signal.SIGKILL)
        if not waited(lambda: not _members(leader.pid), TERM_PATIENCE):
            raise StackError(f"{name} (process {leader.pid}) cannot be ended")
    (place.pids / name).unlink(missing_ok=True)
    return leader is not None


def died(place: Place, name: str) -> str:
    """Return what to say of a service that ended by itself: the end of its log."""
    return f"{name} has ended; the end of its log ({place.logs / name}.log):\n{tail(place.logs / f'{name}.log', 15)}"


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a file; nothing when there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def waited(condition: Callable[[], bool], patience: float) -> bool:
    """Wait until something outside of this process holds; tell whether it did within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY)
    return True


def _tell(session: int, number: signal.Signals) -> None:
    """Send a signal to every process of a session; some have made process groups of their own."""
    for pid in _members(session):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _members(session: int) -> list[int]:
    """Return the living processes of a session."""
    stats = {int(name): _stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return [pid for pid, stat in stats.items() if stat is not None and _alive(stat) and int(stat[3]) == session]


def _began(pid: int) -> str | None:
    stat = _stat(pid)
    return stat[19] if stat is not None and _alive(stat) else None


def _alive(stat: list[str]) -> bool:
    """Zombies are not: somebody else has to collect them. But one that still has threads is no more than on its way
    there, and holds its files and ports until the last of them is gone."""
    return stat[0] != "Z" or int(stat[17]) > 1


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; the name before it may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
