"""What a build may take of this machine: a control group where we may make one, limits of each process elsewhere.

Only control groups of version 2, which one program may be given a part of: systemd does so by `Delegate=`, and
`DelegateSubgroup=` puts the daemon itself into a leaf, beside which builds then are. A group is named as the working
directory of its build, so that whoever cleans up after a crash finds it.
"""

import contextlib
import os
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

MIB = 1024 * 1024
EMPTY_WITHIN = 2.0  # seconds from the kill of all processes in a group until it can be removed
_CONTROLLERS = "+memory +pids"
_PER_PROCESS: Mapping[str, int] = MappingProxyType({"memory": resource.RLIMIT_AS, "processes": resource.RLIMIT_NPROC})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What all processes of a build may use together: MiB of memory, and how many they may be; 0: no limit."""

    memory: int = 0
    processes: int = 0

    def __bool__(self) -> bool:
        return bool(self.memory or self.processes)


def group_for(name: str, limits: Limits, places: Iterator[Path] | None = None) -> Path | None:
    """Make a control group with these limits. None where that cannot be, or nothing is limited."""
    if not limits:
        return None
    for place in _places() if places is None else places:
        group = place / name
        try:
            (place / "cgroup.subtree_control").write_text(_CONTROLLERS)
            group.mkdir(exist_ok=True)
            (group / "memory.max").write_text(str(limits.memory * MIB) if limits.memory else "max")
            (group / "pids.max").write_text(str(limits.processes) if limits.processes else "max")
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        return group
    return None


def per_process(limits: Limits, *, root: bool) -> tuple[tuple[int, int], ...]:
    """Return what stands in for a group: numbers and values of resource limits, which each process has for itself.

    The kernel does not count root's processes, so their number goes unlimited there."""
    amounts = {"memory": limits.memory * MIB, "processes": 0 if root else limits.processes}
    return tuple((_PER_PROCESS[kind], amount) for kind, amount in amounts.items() if amount)


def told(group: Path | None, limits: Limits) -> str:
    """Return the limits as the supervisor of a build is told them."""
    if group is not None:
        return str(group)
    words = per_process(limits, root=os.geteuid() == 0)
    return " ".join(f"{number}={value}" for number, value in words)


def struck(group: Path) -> tuple[str, ...]:
    """Return a sentence for each limit that a build has run into."""
    said = []
    if _count(group / "memory.events", "oom_kill"):
        said.append("A process was killed, because the build used more than its build-memory")
    if _count(group / "pids.events", "max"):
        said.append("A process was not started, because the build had as many as its build-processes")
    return tuple(said)


def remove(name: str, places: Iterator[Path] | None = None) -> None:
    """Remove the groups of this name, and whoever is in them."""
    for place in _places() if places is None else places:
        group = place / name
        deadline = time.monotonic() + EMPTY_WITHIN
        while group.is_dir():
            with contextlib.suppress(OSError), (group / "cgroup.kill").open("r+") as kill:
                kill.write("1")
            with contextlib.suppress(OSError):
                group.rmdir()
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)


def _count(events: Path, key: str) -> int:
    try:
        found = dict(line.split() for line in events.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(found.get(key, 0))


def _places() -> Iterator[Path]:
    """Yield groups below which ours may be: the one that this process is in, and the one above."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    own = [line.removeprefix("0::") for line in groups if line.startswith("0::")]
    for words in mounts:
        if words[words.index("-") + 1] == "cgroup2" and own:
            here = Path(words[4] + own[0].rstrip("/"))
            yield here
            if own[0] != "/" and os.access(here.parent / "cgroup.subtree_control", os.W_OK):
                yield here.parent
