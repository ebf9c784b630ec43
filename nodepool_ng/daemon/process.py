"""A daemon's manners: one pid file, into the background when asked, and stopping when told to."""

import contextlib
import ctypes
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

_log = logging.getLogger("nodepool.process")

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
RELOAD = signal.SIGHUP
DUMP = signal.SIGUSR2
LISTENED_TO = (*STOPPING, RELOAD, DUMP)
"""What a daemon waits for that can do more than stop."""

_M_ARENA_MAX = -8
"""A parameter of glibc's mallopt(3)."""
YOUNG = 10_000
"""New objects after which the collector looks for cycles among them."""


class AlreadyRunning(Exception):
    """Another process holds the pid file."""


class PidFile:
    """A file that holds this process's id and is locked while it lives; what a killed process left is taken over.

    Beside it, in `<pid file>.session`, is what the next life needs to end this one's ZooKeeper session at once.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._session_path = Path(f"{path}.session")
        self._descriptor: int | None = None

    def __enter__(self) -> "PidFile":
        """Take the file. Raises `AlreadyRunning`, or `OSError` where the folder cannot be written to.

        A full disk is no reason not to run: the lock is what counts, the number in it is for people.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise AlreadyRunning(f"{self._path} is locked: the daemon is running already") from None
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except OSError as error:
            _log.warning("The process id cannot be written to %s: %s", self._path, error.strerror)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session_path.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def previous_session(self) -> tuple[int, bytes] | None:
        """Return the id and password of the session that the previous life left open."""
        try:
            kept = json.loads(self._session_path.read_text())
            return int(kept["id"]), bytes.fromhex(kept["password"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _log.warning("%s cannot be used: %s", self._session_path, type(error).__name__)
            return None

    def keep_session(self, session: tuple[int, bytes]) -> None:
        """Write down the session for the next life; readable by its owner alone.

        Where it cannot be written, on a full disk, the next life waits until this session has timed out.
        """
        fresh = self._session_path.with_suffix(".session-new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"id": session[0], "password": session[1].hex()}, file)
            fresh.replace(self._session_path)
        except OSError as error:
            _log.warning("The session cannot be written to %s: %s", self._session_path, error.strerror)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)


def into_background() -> Callable[[], None]:
    """Leave the terminal: fork twice, in a session of our own, in `/`.

    The daemon keeps the standard streams until it calls what is returned, so that it can say there what keeps it from
    starting. Only then does the command that was typed end, with exit code 0; or with 1, where the daemon has ended.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    starting, started = os.pipe()
    if os.fork():
        os.close(started)
        with os.fdopen(starting, "rb") as told:
            os._exit(0 if told.read() else 1)
    os.close(starting)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")

    def let_go() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        if null > 2:
            os.close(null)
        # whoever typed the command may have interrupted it
        with os.fdopen(started, "wb", buffering=0) as told, contextlib.suppress(BrokenPipeError):
            told.write(b"up")

    return let_go


def in_foreground() -> None:
    """Keep the terminal."""


def absolute(path: str | None) -> str | None:
    """Return a path as it is to be known in the background, where the folder is another one."""
    return None if path is None else str(Path(path).absolute())


def block_signals(signals: Iterable[signal.Signals] = STOPPING) -> None:
    """Have the signals wait for `wait_for_signal`; to be called before the first thread starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def share_one_heap() -> None:
    """Let all threads take their memory from one heap; to be called before there is a second thread.

    Left alone, glibc gives threads heaps of their own, up to eight for each processor, and each keeps what some call
    once needed: a quarter of a launcher's memory. They are for threads that run at the same time, which those of one
    interpreter do not. MALLOC_ARENA_MAX in the environment goes before; other C libraries have nothing to be told.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, 1)


def collect_garbage_seldom() -> None:
    """Have the collector look at what comes from now on, and that seldom; to be called before a daemon reads what there
    is, and once it is ready.

    A full collection goes through all that a process is made of, modules and code above all: a tenth of a second in
    which nothing else happens, for next to nothing, since what a daemon drops is almost never part of a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def wait_for_signal(signals: Iterable[signal.Signals] = STOPPING) -> signal.Signals:
    """Wait for one of the signals and return it."""
    return signal.Signals(signal.sigwait(signals))


def told_to_stop(patience: float) -> bool:
    """Wait for so many seconds for a signal to stop; tell whether one came. For before `wait_for_signal`."""
    return signal.sigtimedwait(STOPPING, patience) is not None


def dump_threads() -> None:
    """Put into the log what every thread is doing."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"{names.get(ident, 'unknown')} ({ident}):\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    _log.warning("Threads: %d\n%s", len(parts), "\n".join(parts))


def tell_service_manager(words: str, environ: Mapping[str, str] = os.environ) -> None:
    """Tell systemd how far this daemon is (`READY=1`, `STOPPING=1` …); nothing happens where nobody wants to know."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            door.sendto(words.encode(), address)
    except OSError as error:
        _log.warning("The service manager cannot be told %s: %s", words, error)


def watchdog_every(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return how often, in seconds, systemd is to be told that this daemon lives: three times in each of its periods.
    None where it does not watch this process, or says so in a way that makes no sense."""
    period, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(period) / 3e6
