"""A network namespace of its own for whatever gives addresses to servers. It has no way out: the addresses in it can
never get into the way of those that this machine itself works with."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from devstack.process import StackError, waited

NAMES = Path("/run/netns")
END_PATIENCE = 15.0  # seconds
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def make(name: str) -> None:
    """Have a namespace with a loopback of its own. Raises `StackError`."""
    if not exists(name):
        ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")


def remove(name: str) -> None:
    """End whatever still runs in a namespace, and remove it with all devices in it."""
    if not exists(name):
        return
    for pid in members(name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if not waited(lambda: not members(name), END_PATIENCE):
        raise StackError(f"processes in the namespace {name} cannot be ended: {members(name)}")
    ip("netns", "delete", name)


def exists(name: str) -> bool:
    return (NAMES / name).exists()


def members(name: str) -> list[int]:
    """Return the processes in a namespace."""
    return [int(pid) for pid in ip("netns", "pids", name).split()]


def within(name: str, *argv: str) -> Sequence[str]:
    """Return a command that runs another one in a namespace."""
    return ("nsenter", f"--net={NAMES / name}", *argv)


def inside(name: str, make: Callable[[], T]) -> T:
    """Return what a function makes in a namespace; a thread of its own goes there, and sockets made there stay there.
    Raises `StackError`, and what the function raises."""

    def there() -> T:
        try:
            with (NAMES / name).open() as file:
                if _libc.setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        except OSError as error:
            raise StackError(f"the namespace {name} cannot be entered: {error.strerror}") from None
        return make()

    with ThreadPoolExecutor(1) as away:
        return away.submit(there).result()


def ip(*words: str) -> str:
    """Run ip(8) and return what it prints. Raises `StackError`."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
