"""The process between the builder and one image build: run as a script, never imported by a daemon's code path.

It exists so that nothing of a build outlives it. Where it may, it puts the build into mount and process namespaces
of its own, so that killing one process ends all of them and lets all their mounts go; elsewhere it adopts
whatever the build's processes leave behind. It holds a lock as long as the build lives, and the reading end of a
pipe: when the other end is closed, on purpose or because the builder died, the build is over. Then the
main process alone is asked to end (diskimage-builder cleans up in an exit trap, which dies if the processes around
it are told too), and after a grace everything is killed.

    supervise.py LIFE_FD LOCK_FD GRACE_SECONDS sandbox|plain LIMITS COMMAND [ARGUMENT...]

LIMITS are words: the path of a control group to enter, or NUMBER=VALUE, a resource limit of each process; or none.

Exit status: the command's, 128 + n if signal n ended it, 126 if there is no sandbox, 127 if there is no command.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

STRAGGLERS = 3.0  # seconds that processes may go on after the main one, e.g. the one that writes the log

NO_SANDBOX = 126
NO_COMMAND = 127

_CLONE_NEWNS = 0x00020000
_CLONE_NEWPID = 0x20000000
_MS_NOSUID_NODEV_NOEXEC = 0x2 | 0x4 | 0x8
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def supervise(
    life: int, lock: int, grace: float, *, sandbox: bool, command: Sequence[str], limits: Sequence[str] = ()
) -> int:
    """Run the command to its end, or until `life` is closed by the other side; return its exit status."""
    for fd in (life, lock):
        os.set_inheritable(fd, False)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    if sandbox:
        _enter_namespaces()
    else:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def build() -> NoReturn:
        _limit(limits)
        if sandbox:
            _first_process(command)
        _exec(command)

    child = _fork_tied(build)
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {child}\n".encode(), 0)
    kill_all = (lambda: os.kill(child, signal.SIGKILL)) if sandbox else _kill_descendants
    return _attend(child, life, wake, grace, kill_all)


def _attend(child: int, life: int, wake: int, grace: float, kill_all: Callable[[], None]) -> int:
    """Wait for all children; end them when told to. What has to be killed is killed again until it is gone."""
    watched = {life, wake}
    deadline: float | None = None
    status: int | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        told = life in ready
        if wake in ready:
            told |= bool({signal.SIGTERM, signal.SIGINT} & set(os.read(wake, 4096)))
        try:
            while (reaped := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if reaped[0] == child:
                    status = _exit_status(reaped[1])
                    deadline = time.monotonic() + STRAGGLERS
        except ChildProcessError:
            return NO_COMMAND if status is None else status
        if told and life in watched:
            watched.discard(life)
            if status is None:
                os.kill(child, signal.SIGTERM)
                deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() >= deadline:
            kill_all()
            deadline = time.monotonic() + STRAGGLERS


def _first_process(command: Sequence[str]) -> NoReturn:
    """Be process 1 of the namespace: start the command, pass TERM on to it, adopt orphans, leave last.

    When process 1 leaves, the kernel kills the rest; so the one that writes the log gets its time first.
    """
    _mount("proc", "/proc", "proc", _MS_NOSUID_NODEV_NOEXEC)
    main = os.fork()
    if main == 0:
        _exec(command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(main, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = NO_COMMAND
    try:
        while True:
            pid, raw = os.waitpid(-1, 0)
            if pid == main:
                status = _exit_status(raw)
                _leave_within(STRAGGLERS, status)
    except ChildProcessError:
        os._exit(status)


def _leave_within(seconds: float, status: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(status))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit(limits: Sequence[str]) -> None:
    """Take the limits upon this process and all that descend from it. Where the machine runs out of memory, a build
    goes before anybody else."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")  # some containers do not let us; the limits themselves are another matter
    for word in limits:
        try:
            if word.startswith("/"):
                with open(f"{word}/cgroup.procs", "w") as members:
                    members.write("0")
            else:
                number, amount = map(int, word.split("="))
                hard = resource.getrlimit(number)[1]
                most = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
                resource.setrlimit(number, (most, most))
        except OSError as error:
            print(f"The limit {word} cannot be set: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(NO_SANDBOX)


def _fork_tied(run: Callable[[], NoReturn]) -> int:
    """Fork a process that is killed when this one dies, even if that happens before it could say so."""
    go, started = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(started)
        signal.set_wakeup_fd(-1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if not os.read(go, 1):
            os._exit(NO_COMMAND)
        os.close(go)
        run()
    os.close(go)
    os.write(started, b"!")
    os.close(started)
    return child


def _exec(command: Sequence[str]) -> NoReturn:
    # Python ignores SIGPIPE, and a shell cannot undo what it was born with
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(NO_COMMAND)


def _kill_descendants() -> None:
    """Kill all that descends from this process. With sudo, if it belongs to root and we do not."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parents[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
    doomed = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    foreign = []
    for pid in doomed - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError:
            foreign.append(str(pid))
    if foreign:
        subprocess.run(["sudo", "-n", "kill", "-KILL", *foreign], stdin=subprocess.DEVNULL, timeout=10, check=False)


def _exit_status(raw: int) -> int:
    code = os.waitstatus_to_exitcode(raw)
    return code if code >= 0 else 128 - code


def _enter_namespaces() -> None:
    _checked(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID), "unshare")
    _mount("none", "/", None, _MS_REC_PRIVATE)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    wire = (source.encode(), target.encode(), kind.encode() if kind else None)
    _checked(_libc.mount(*wire, ctypes.c_ulong(flags), None), f"mount on {target}")


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def _checked(result: int, what: str) -> None:
    if result != 0:
        print(f"{what}: {os.strerror(ctypes.get_errno())}", file=sys.stderr, flush=True)
        os._exit(NO_SANDBOX)


if __name__ == "__main__":
    # a daemon blocks the signals that it waits for, and what is blocked stays so in its children
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _life, _lock, _grace, _mode, _limits, *_command = sys.argv[1:]
    sys.exit(
        supervise(
            int(_life),
            int(_lock),
            float(_grace),
            sandbox=_mode == "sandbox",
            command=_command,
            limits=_limits.split(),
        )
    )
