"""What a build occupies besides its output, written down before it is taken, so that it can be given back.

Each build has a working directory of its own and, in `<images-dir>/.building`, a record that names it and a lock
that its supervisor holds. A build that ended badly leaves loop devices on files in that directory, mounts below it
and the directory itself; nothing outside it is ever touched, so neither is anything that is not ours.
"""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodepool_ng.builder import limits
from nodepool_ng.model.ids import BuildId, ImageName, Seconds

RECORDS = ".building"
PREFIX = "nodepool-build-"
COMMAND_TIMEOUT = 60.0  # seconds for umount, losetup, dmsetup; removing a tree may take longer
REMOVE_TIMEOUT = 600.0  # seconds
WEIGH_TIMEOUT = 15.0  # seconds; what takes longer is not worth knowing

_OCTAL = re.compile(rb"\\([0-7]{3})")  # how the kernel writes blanks in paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """One build's working directory, and where it is written down."""

    image: ImageName
    build: BuildId
    directory: Path
    record: Path

    @property
    def lock(self) -> Path:
        """The file that the build's supervisor keeps locked; it contains the process ids of it and of its child."""
        return self.record.with_name(f"{self.record.name}.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop device in use, and the file under it: by name, and by device and inode, since a mount namespace that
    is gone takes the name with it."""

    device: str
    path: str
    file: tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A build of an earlier builder, over now. Its output is not to be trusted. `litter` could not be given back."""

    image: ImageName
    build: BuildId
    litter: tuple[str, ...] = ()


def take(images_dir: Path, image: ImageName, build: BuildId, root: Path) -> tuple[Workspace, int]:
    """Write the record, take the lock, make the directory; return the lock's descriptor too. Raises OSError."""
    records = images_dir / RECORDS
    records.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(
        image=image, build=build, directory=directory_of(build, root), record=records / f"{image}-{build}"
    )
    lock = os.open(workspace.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part = workspace.record.with_name(f"{workspace.record.name}.part")
        part.write_text(json.dumps({"image": image, "build": build, "directory": str(workspace.directory)}))
        part.replace(workspace.record)
        workspace.directory.mkdir(mode=0o700)
    except BaseException:
        os.close(lock)
        raise
    return workspace, lock


def directory_of(build: BuildId, root: Path) -> Path:
    """Return the working directory of a build; `root` is where builds make theirs."""
    return root / f"{PREFIX}{build}"


def weight(places: Iterable[Path]) -> int:
    """Return the bytes that files and folders take on the disk, without crossing into other file systems. What cannot
    be seen counts nothing: it may go while we look."""
    there = [str(place) for place in places if place.exists()]
    if not there:
        return 0
    try:
        done = subprocess.run(
            [*_as_root(), "du", "-scx", "--block-size=1", "--", *there],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WEIGH_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    total = done.stdout.decode("ascii", "replace").splitlines()[-1:]
    word = total[0].split()[0] if total and total[0].split() else ""
    return int(word) if word.isdigit() else 0


def give_back(workspace: Workspace) -> tuple[str, ...]:
    """Undo what a build that is over left; return a sentence for each thing that could not be undone.

    The record goes only when all is well, so the next start tries again.
    """
    directory = workspace.directory
    limits.remove(directory.name)
    litter = [problem for mount in _mounts_below(directory) if (problem := _unmount(mount))]
    litter += [problem for loop in loops_of(directory, loops(), files_below(directory)) if (problem := _detach(loop))]
    left = _mounts_below(directory)
    if left:
        litter.append(f"{directory} was not removed, because {left[0]} is still mounted")
    elif problem := remove(directory):
        litter.append(problem)
    if not litter:
        workspace.record.unlink(missing_ok=True)
        workspace.lock.unlink(missing_ok=True)
    return tuple(litter)


def end_dead_builds(images_dir: Path, *, patience: Seconds) -> list[Ended]:
    """End what an earlier builder on this disk was building, and give back what it held.

    To be called once, before the first build. A supervisor that is still at it knows that its builder is gone; it
    gets `patience` to come to its end.
    """
    ended = []
    for workspace in _recorded(images_dir):
        if await_end(workspace, patience=patience):
            litter = give_back(workspace)
        else:
            litter = (f"processes in {workspace.directory} do not end",)
        ended.append(Ended(image=workspace.image, build=workspace.build, litter=litter))
    _remove_unrecorded(images_dir)
    return ended


def _remove_unrecorded(images_dir: Path) -> None:
    """Remove locks and half written records of builds that had not begun, or were over, when their builder died."""
    for lock in (images_dir / RECORDS).glob("*.lock"):
        record = lock.with_suffix("")
        if record.exists():
            continue
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(lock, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record.with_name(f"{record.name}.part").unlink(missing_ok=True)
            lock.unlink()


def await_end(workspace: Workspace, *, patience: Seconds) -> bool:
    """Wait until the build's processes are gone; kill its supervisor after `patience`. False if they stay."""
    with contextlib.suppress(FileNotFoundError), open(workspace.lock, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pids = [int(word) for word in lock.read().split()]
            return bool(pids) and _gone(pids, patience)
    return True


def _gone(pids: Sequence[int], patience: Seconds) -> bool:
    fds = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fds.append(os.pidfd_open(pid))
    try:
        if fds and not select.select(fds[:1], [], [], patience)[0]:
            signal.pidfd_send_signal(fds[0], signal.SIGKILL)
        # the child is tied to its supervisor by the kernel
        return all(select.select([fd], [], [], COMMAND_TIMEOUT)[0] for fd in fds)
    finally:
        for fd in fds:
            os.close(fd)


def remove(path: Path) -> str | None:
    """Remove a file or a tree, which may be root's, without crossing into another file system."""
    return _run(["rm", "-rf", "--one-file-system", "--", str(path)], f"{path} was not removed", REMOVE_TIMEOUT)


def files_below(directory: Path) -> set[tuple[str, int]]:
    """Return device ("major:minor") and inode of every large file of the directory and of those directly in it."""
    found = set()
    for pattern in ("*.raw", "*/*.raw"):
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.add((f"{os.major(stat.st_dev)}:{os.minor(stat.st_dev)}", stat.st_ino))
    return found


def loops() -> list[Loop]:
    """Return all loop devices in use. An error of losetup leaves the list empty."""
    columns = "NAME,BACK-FILE,BACK-INO,BACK-MAJ:MIN"
    try:
        done = subprocess.run(
            [*_as_root(), "losetup", "--list", "--json", "-O", columns],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_loops(done.stdout)


def parse_loops(answer: bytes) -> list[Loop]:
    """Read the answer of `losetup --json`, which is empty when there is no loop device in use."""
    rows: list[dict[str, Any]] = json.loads(answer)["loopdevices"] if answer.strip() else []
    return [
        Loop(
            device=row["name"],
            path=row["back-file"] or "",
            file=(str(row["back-maj:min"] or "").strip(), int(row["back-ino"] or 0)),
        )
        for row in rows
    ]


def loops_of(directory: Path, in_use: Iterable[Loop], files: set[tuple[str, int]]) -> list[Loop]:
    """Return the loop devices on the given files, those below the directory, and those upon these, topmost first."""
    rest = list(in_use)
    layer = [loop for loop in rest if loop.file in files or loop.path.startswith(f"{directory}/")]
    found: list[Loop] = []
    while layer:
        found = layer + found
        rest = [loop for loop in rest if loop not in layer]
        layer = [loop for loop in rest if loop.path in {below.device for below in found}]
    return found


def _detach(loop: Loop) -> str | None:
    name = os.path.basename(loop.device)
    for holder in sorted(Path(f"/sys/block/{name}/holders").glob("dm-*"), reverse=True):
        mapping = (holder / "dm/name").read_text().strip()
        if problem := _run(["dmsetup", "remove", mapping], f"{mapping} on {loop.device} was not removed"):
            return problem
    return _run(["losetup", "-d", loop.device], f"{loop.device} was not detached")


def _unmount(mount: str) -> str | None:
    if _run(["umount", mount], mount) is None:
        return None
    return _run(["umount", "-l", mount], f"{mount} was not unmounted")


def _mounts_below(directory: Path) -> list[str]:
    """Return mount points in and below the directory, in the order of unmounting."""
    below = []
    real = str(directory.resolve())
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        escaped = line.split(b" ")[4]
        mount = os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), escaped))
        if mount == real or mount.startswith(f"{real}/"):
            below.append(mount)
    return below[::-1]


def _recorded(images_dir: Path) -> Iterator[Workspace]:
    for record in sorted((images_dir / RECORDS).glob(f"*{'[0-9a-f]' * 10}")):
        try:
            told = json.loads(record.read_text())
            directory = Path(told["directory"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if directory.name == f"{PREFIX}{told['build']}":
            yield Workspace(
                image=ImageName(told["image"]), build=BuildId(told["build"]), directory=directory, record=record
            )


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def _run(argv: Sequence[str], problem: str, timeout: Seconds = COMMAND_TIMEOUT) -> str | None:
    """Run a command as root; return None, or the problem with what the command said."""
    try:
        done = subprocess.run(
            [*_as_root(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{problem}: {error}"
    return None if done.returncode == 0 else f"{problem}: {done.stdout.decode(errors='replace').strip()}"
