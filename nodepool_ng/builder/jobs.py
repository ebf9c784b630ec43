"""What effects have done on this machine, as values: nothing here knows ZooKeeper or clouds."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nodepool_ng.builder import claims, dib, files, leftovers, preflight
from nodepool_ng.builder.board import Board
from nodepool_ng.model.ids import BuildId, ImageName, InstallationId, ProviderName, Seconds
from nodepool_ng.model.image_action import BuildKey, Destination
from nodepool_ng.model.image_snapshot import OnDisk

_log = logging.getLogger("nodepool.builder")


@dataclass(frozen=True, slots=True)
class CheckOrder:
    """See whether a build can succeed. Answered by sentences that say why not; none is good."""

    order: dib.BuildOrder


@dataclass(frozen=True, slots=True)
class RunBuild:
    """Build, after older logs were pruned. Answered by a `dib.BuildResult`, or by a sentence."""

    order: dib.BuildOrder
    installation: InstallationId
    log_retention: int


@dataclass(frozen=True, slots=True)
class SeeDisk:
    """Answered by what is there, as a dict from `BuildKey` to `OnDisk`, or by a sentence."""

    images_dir: Path
    formats: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove files of a build: one format's, or all. Answered by sentences about what could not be removed."""

    images_dir: Path
    build: BuildKey
    format: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """Note whose the files of a build are. Answered by a sentence if that failed."""

    images_dir: Path
    build: BuildKey
    installation: InstallationId


@dataclass(frozen=True, slots=True)
class FindFile:
    """Answered by the `files.ImageFile`, or None."""

    images_dir: Path
    image: ImageName
    build: BuildId
    format: str


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run the post-upload-hook. Answered by a sentence if it failed."""

    command: str
    provider: ProviderName
    external_id: str
    path: str
    timeout: Seconds


@dataclass(frozen=True, slots=True)
class CancelWork:
    """End a build or an upload that goes on here, as an operator ordered. Answered by None: it ends by itself then."""

    of: BuildKey | Destination


Job: TypeAlias = CheckOrder | RunBuild | SeeDisk | Discard | Claim | FindFile | RunHook | CancelWork


_WITH_SIGNALS = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program with no signals blocked: the daemon blocks those it waits for, and children inherit that."""


class Cancelling:
    """What is to be ended when the daemon stops, or an operator says so."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._unwanted: set[Destination] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._builds: set[dib.RunningBuild] = set()
        self._hooks: set[subprocess.Popen[bytes]] = set()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """End every build and hook that is running, and let none begin."""
        with self._lock:
            self._stopping = True
            for build in self._builds:
                build.cancel()
            for hook in self._hooks:
                _kill(hook)

    def end(self, what: BuildKey | Destination) -> None:
        """End one build; or an upload, as soon as it tells of its progress."""
        with self._lock:
            if isinstance(what, Destination):
                self._unwanted.add(what)
            for build in self._builds:
                if BuildKey(build.order.image, build.order.id) == what:
                    build.cancel(by_order=True)

    def wanted(self, upload: Destination) -> bool:
        """Tell whether an upload may go on."""
        return upload not in self._unwanted

    def forget(self, upload: Destination) -> None:
        """An upload is over: a later one to the same place is another one."""
        with self._lock:
            self._unwanted.discard(upload)

    @contextlib.contextmanager
    def build(self, build: dib.RunningBuild) -> Iterator[None]:
        """End this build, too, while the block lasts."""
        with self._lock:
            self._builds.add(build)
            if self._stopping:
                build.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._builds.discard(build)

    @contextlib.contextmanager
    def hook(self, hook: subprocess.Popen[bytes]) -> Iterator[None]:
        """End this hook, too, while the block lasts."""
        with self._lock:
            self._hooks.add(hook)
            if self._stopping:
                _kill(hook)
        try:
            yield
        finally:
            with self._lock:
                self._hooks.discard(hook)


def perform(job: Job, cancelling: Cancelling) -> object:
    """Do a job and return what came of it. Blocks."""
    match job:
        case CheckOrder(order):
            room = max(preflight.ROOM, 2 * files.largest_build(order.images_dir, order.image))
            return tuple(map(str, preflight.complaints(order, preflight.look(order, os.environ), room=room)))
        case RunBuild():
            return _run_build(job, cancelling)
        case SeeDisk(images_dir, formats):
            return see_disk(images_dir, formats)
        case Discard(images_dir, build, image_format):
            return _discard(images_dir, build, image_format)
        case Claim(images_dir, build, installation):
            return _claim(images_dir, build, installation)
        case FindFile(images_dir, image, build_id, image_format):
            return next(iter(files.image_files(images_dir, image, build_id, [image_format])), None)
        case RunHook():
            return _run_hook(job, cancelling)
        case CancelWork(what):
            cancelling.end(what)
            return None


def _run_build(job: RunBuild, cancelling: Cancelling) -> dib.BuildResult | str:
    order = job.order
    if cancelling.stopping:
        return "the builder is stopping"
    try:
        claims.write(order.images_dir, BuildKey(order.image, order.id), job.installation)
        files.prune_logs(order.log.parent, order.image, job.log_retention)
        running = dib.start(order, os.environ)
    except (OSError, ValueError) as error:
        return f"the build could not be started: {error}"
    with cancelling.board.building(order) as tell, cancelling.build(running):
        result = running.wait()
        tell(result)
    return result


def see_disk(images_dir: Path, formats: Iterable[str]) -> dict[BuildKey, OnDisk] | str:
    """Return what the images directory holds, by build; or a sentence about why it cannot be seen. A build of which
    there is only the note whose it is counts, too: its note is to be removed."""
    try:
        found = files.local_builds(images_dir, formats)
        claimed = claims.read(images_dir)
    except OSError as error:
        return f"{images_dir} cannot be read: {error}"
    seen = {key: OnDisk(known_to=installation) for key, installation in claimed.items()}
    for (image, build), local in found.items():
        key = BuildKey(image, build)
        seen[key] = OnDisk(formats=local.formats, litter=bool(local.litter), known_to=claimed.get(key))
    return seen


def _discard(images_dir: Path, build: BuildKey, image_format: str | None) -> tuple[str, ...]:
    if image_format is None:
        names = files.names_of(images_dir, build.image, build.build)
    else:
        names = files.names_of_format(images_dir, build.image, build.build, image_format)
    problems = tuple(problem for path in names if (problem := leftovers.remove(path)))
    if image_format is None and not problems:
        claims.drop(images_dir, build)
    return problems


def _claim(images_dir: Path, build: BuildKey, installation: InstallationId) -> str | None:
    try:
        claims.write(images_dir, build, installation)
    except OSError as error:
        return str(error)
    return None


def _run_hook(job: RunHook, cancelling: Cancelling) -> str | None:
    name = os.path.basename(job.command)
    program = shutil.which(job.command)
    if program is None:
        return f"post-upload-hook {job.command} cannot be run"
    command = [sys.executable, "-I", "-S", "-c", _WITH_SIGNALS, program, job.provider, job.external_id, job.path]
    try:
        hook = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"post-upload-hook {job.command} cannot be run: {error}"
    with hook, cancelling.hook(hook):
        try:
            said, _ = hook.communicate(timeout=job.timeout)
        except subprocess.TimeoutExpired:
            _kill(hook)
            said, _ = hook.communicate()
            _tell(name, said)
            return f"post-upload-hook {name} was not done after {job.timeout:.0f} s"
    _tell(name, said)
    return f"post-upload-hook {name} ended with exit code {hook.returncode}" if hook.returncode else None


def _kill(hook: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(hook.pid, signal.SIGKILL)


def _tell(name: str, said: bytes) -> None:
    for line in said.decode(errors="replace").splitlines():
        _log.info("post-upload-hook %s: %s", name, line)
