"""Processes that the demo starts: each with a log of its own, in a session of its own, and gone when the demo is.

Ctrl-C on the terminal reaches the demo alone; it then stops its children in order. Should the demo be killed, the
kernel kills them (parent-death signal).
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nodepool_ng.model.ids import Seconds

PATIENCE = 60.0  # seconds that a daemon has to end by itself; a builder gives its build 20 to tidy up
TAIL = 25  # lines
_PR_SET_PDEATHSIG = 1


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


_libc = ctypes.CDLL(None, use_errno=True)


def program(name: str) -> str:
    """Return the path of one of our console scripts; raise `DemoFailed`."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise DemoFailed(f"{path} is not there: run `make install`")
    return str(path)


class Child:
    """One process, running from the moment it is made. To be made by the main thread: when the thread that forked
    a process ends, the kernel takes that for the parent's death."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._env = env
        self._asked = False
        parent = os.getpid()

        def bind_to_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
                preexec_fn=bind_to_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    @property
    def ending(self) -> str:
        """How it ended: an exit status, or the name of a signal."""
        code = self._process.poll()
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"

    def again(self) -> "Child":
        """Start another one like it."""
        return Child(self.name, self._command, self.log, self._env)

    def ended_within(self, timeout: Seconds) -> bool:
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ask_to_end(self) -> None:
        """Ask once: a second signal may meet a Python that has already given up its handlers, and kill it."""
        if not self._asked and self._process.poll() is None:
            self._process.terminate()
        self._asked = True

    def end(self, patience: Seconds = PATIENCE) -> int:
        """See that the process ends, by force when its patience is used up; return its exit status."""
        self.ask_to_end()
        if not self.ended_within(patience):
            self._process.kill()
        return self._process.wait()

    def tail(self, lines: int = TAIL) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
