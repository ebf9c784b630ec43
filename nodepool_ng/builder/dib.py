"""The one door to diskimage-builder: from an order for one image build to what came of it.

Nothing here knows ZooKeeper or configuration files. Argument list and environment are those that Nodepool 11 gives to
its `dib-cmd`, because people have written wrappers for it. What is added: the build runs under a supervisor (see
`supervise.py`), in a sandbox where we are root, with a working directory of its own that is given back at the end;
and it is READY only if every format is really there.
"""

import contextlib
import functools
import os
import select
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nodepool_ng
from nodepool_ng.builder import leftovers, limits
from nodepool_ng.builder.files import ImageFile, image_files
from nodepool_ng.builder.limits import Limits
from nodepool_ng.model.ids import BuildId, ImageName, Seconds

DEFAULT_COMMAND = "disk-image-create"
GRACE = 20.0  # seconds between asking a build to end and killing it; its exit trap may take ten
LOG_MODE = 0o640

_SUPERVISE = Path(__file__).with_name("supervise.py")
_BESIDE_PYTHON = str(Path(sys.executable).parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """One build of one image. `elements_dir` may be a list with colons. In `dib_cmd`, split as a shell would,
    `%p` stands for the directory of this package. `timeout` is in seconds."""

    image: ImageName
    id: BuildId
    elements: tuple[str, ...]
    formats: frozenset[str]
    images_dir: Path
    log: Path
    release: str = ""
    env_vars: Mapping[str, str] = field(default_factory=dict)
    elements_dir: str | None = None
    dib_cmd: str = DEFAULT_COMMAND
    timeout: Seconds = 28800.0
    limits: Limits = field(default_factory=Limits)

    @property
    def output(self) -> str:
        """Path of the image without its suffix."""
        return f"{self.images_dir}/{self.image}-{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What came of a build. `duration` is in seconds, `missing` are formats that are absent or empty, `litter`
    says what the build left that could not be removed."""

    returncode: int
    duration: Seconds
    timed_out: bool = False
    cancelled: bool = False
    by_order: bool = False
    """It was an operator who cancelled it; otherwise the daemon stopped."""
    files: tuple[ImageFile, ...] = ()
    missing: frozenset[str] = frozenset()
    litter: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether the image may be used."""
        return self.returncode == 0 and not (self.missing or self.timed_out or self.cancelled)

    @property
    def why(self) -> str:
        """What went wrong, for people; empty if nothing did."""
        if self.cancelled:
            return "an operator cancelled it" if self.by_order else "cancelled"
        if self.timed_out:
            return f"not done after {self.duration:.0f} s"
        if self.returncode != 0:
            return f"diskimage-builder ended with exit code {self.returncode}"
        if self.missing:
            return f"diskimage-builder made no {', '.join(sorted(self.missing))}"
        return ""


def argv(order: BuildOrder, *, output: str | None = None) -> list[str]:
    """Return the command. `output` replaces the order's own path of the image, without suffix. Raises ValueError
    if quotes in `dib_cmd` are not closed."""
    package = str(Path(nodepool_ng.__file__).parent)
    options = ["-x", "-t", ",".join(sorted(order.formats)), "--checksum", "--no-tmpfs"]
    if "qcow2" in order.formats:
        options += ["--qemu-img-options", "compat=0.10"]
    command = [word.replace("%p", package) for word in shlex.split(order.dib_cmd)]
    return [*command, *options, "-o", output or order.output, *order.elements]


def environment(order: BuildOrder, base: Mapping[str, str], *, output: str | None = None) -> dict[str, str]:
    """Return the environment: the daemon's own, four words about the image, and whatever the image sets itself."""
    told = {
        "DIB_RELEASE": order.release,
        "DIB_IMAGE_NAME": order.image,
        "DIB_IMAGE_FILENAME": output or order.output,
    }
    if order.elements_dir:
        told["ELEMENTS_PATH"] = order.elements_dir
    return {**base, **told, **order.env_vars}


def executable(program: str, env: Mapping[str, str]) -> str | None:
    """Return where a program is: on the build's PATH, or else beside our own Python, as in a virtual environment."""
    return shutil.which(program, path=env.get("PATH", os.defpath)) or shutil.which(program, path=_BESIDE_PYTHON)


def scratch(env: Mapping[str, str]) -> Path:
    """Return where the build is going to make its temporary directories. mktemp prefers TMPDIR."""
    return Path(env.get("TMPDIR") or env.get("TMP_DIR") or "/tmp")


class RunningBuild:
    """A build in progress. One thread waits for it; any thread may cancel it."""

    def __init__(
        self,
        order: BuildOrder,
        process: subprocess.Popen[bytes],
        workspace: leftovers.Workspace,
        *,
        group: Path | None,
        life: int,
        log: int,
        grace: Seconds,
    ) -> None:
        self._order = order
        self._process = process
        self._workspace = workspace
        self._group = group
        self._life = life
        self._log = log
        self._grace = grace
        self._started = time.monotonic()
        self._told = os.eventfd(0, os.EFD_CLOEXEC)
        self._over = False
        self._by_order = False
        self._closing = threading.Lock()

    @property
    def order(self) -> BuildOrder:
        return self._order

    def cancel(self, *, by_order: bool = False) -> None:
        """Ask the build to end. Returns at once; `wait` then returns within the grace and a few seconds."""
        with self._closing:
            if not self._over:
                self._by_order |= by_order
                os.eventfd_write(self._told, 1)

    def wait(self) -> BuildResult:
        """Wait until the build is over, for at most its timeout, and clean up after it. To be called once."""
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, self._log)
            closing.callback(self._end)
            pidfd = os.pidfd_open(self._process.pid)
            closing.callback(os.close, pidfd)
            left = self._started + self._order.timeout - time.monotonic()
            ready, _, _ = select.select([pidfd, self._told], [], [], max(0.0, left))
            ended = pidfd in ready
            cancelled = not ended and self._told in ready
            os.close(self._life)
            if not ended and not select.select([pidfd], [], [], self._grace + leftovers.COMMAND_TIMEOUT)[0]:
                self._process.kill()
            returncode = self._process.wait()
            leftovers.await_end(self._workspace, patience=0)
            return self._result(returncode, cancelled=cancelled, timed_out=not ended and not cancelled)

    def _result(self, returncode: int, *, cancelled: bool, timed_out: bool) -> BuildResult:
        order = self._order
        status = returncode if returncode >= 0 else 128 - returncode
        duration = time.monotonic() - self._started
        if cancelled:
            self._note(f"Cancelled after {duration:.0f} s")
        elif timed_out:
            self._note(f"Stopped, because it was not done after {order.timeout:.0f} s")
        for sentence in () if self._group is None else limits.struck(self._group):
            self._note(sentence)
        litter = leftovers.give_back(self._workspace)
        for problem in litter:
            self._note(f"Left behind: {problem}")
        self._note(f"Exit code: {status}")
        files = image_files(order.images_dir, order.image, order.id, order.formats)
        return BuildResult(
            returncode=status,
            duration=duration,
            timed_out=timed_out,
            cancelled=cancelled,
            by_order=cancelled and self._by_order,
            files=files,
            missing=order.formats - {file.format for file in files},
            litter=litter,
        )

    def _end(self) -> None:
        with self._closing:
            self._over = True
            os.close(self._told)

    def _note(self, text: str) -> None:
        os.write(self._log, f"{text}\n".encode())


def start(order: BuildOrder, base_env: Mapping[str, str], *, grace: Seconds = GRACE) -> RunningBuild:
    """Start a build; what it says goes to its log. Raises OSError and ValueError before anything is started."""
    command, env = argv(order), environment(order, base_env)
    order.images_dir.mkdir(parents=True, exist_ok=True)
    order.log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as closing:
        workspace, lock = leftovers.take(order.images_dir, order.image, order.id, scratch(env))
        closing.callback(os.close, lock)
        giving_back = closing.enter_context(contextlib.ExitStack())
        giving_back.callback(leftovers.give_back, workspace)
        if not _plain_words([order.output]):
            output = _without_blanks(order, workspace)
            command, env = argv(order, output=output), environment(order, base_env, output=output)
        env["TMP_DIR"] = env["TMPDIR"] = str(workspace.directory)
        env["PATH"] = _path_with_python(env.get("PATH", os.defpath))
        command[0] = executable(command[0], env) or command[0]
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, LOG_MODE)
        giving_back.callback(os.close, log)
        alive, life = os.pipe()
        closing.callback(os.close, alive)
        giving_back.callback(os.close, life)
        group = limits.group_for(workspace.directory.name, order.limits)
        process = subprocess.Popen(
            _supervised(command, alive, lock, grace, limits.told(group, order.limits)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            pass_fds=(alive, lock),
            start_new_session=True,
        )
        giving_back.pop_all()
        return RunningBuild(order, process, workspace, group=group, life=life, log=log, grace=grace)


@functools.cache
def sandbox_works() -> bool:
    """Whether builds get namespaces of their own. Needs root, and a kernel or container that lets root do it."""
    if os.geteuid() != 0:
        return False
    alive, life = os.pipe()
    try:
        lock = os.memfd_create("lock")
        try:
            probe = subprocess.run(
                [sys.executable, "-I", "-S", str(_SUPERVISE), str(alive), str(lock), "1", "sandbox", "", "true"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(alive, lock),
                check=False,
            )
        finally:
            os.close(lock)
    finally:
        os.close(alive)
        os.close(life)
    return probe.returncode == 0


def _supervised(command: Iterable[str], alive: int, lock: int, grace: Seconds, limited: str) -> list[str]:
    mode = "sandbox" if sandbox_works() else "plain"
    return [sys.executable, "-I", "-S", str(_SUPERVISE), str(alive), str(lock), str(grace), mode, limited, *command]


def _plain_words(paths: Iterable[str]) -> bool:
    """Whether diskimage-builder, which does not quote its variables, takes each of the paths for one word."""
    return all(shlex.quote(path) == path for path in paths)


def _without_blanks(order: BuildOrder, workspace: leftovers.Workspace) -> str:
    """Return another path to the output, for shell scripts that do not quote theirs."""
    alias = workspace.directory / "images"
    alias.symlink_to(order.images_dir.absolute())
    return f"{alias}/{order.image}-{order.id}"


def _path_with_python(path: str) -> str:
    """Return PATH with our Python's directory at its end, for elements that use diskimage-builder's own tools."""
    return path if _BESIDE_PYTHON in path.split(os.pathsep) else os.pathsep.join((path, _BESIDE_PYTHON))
