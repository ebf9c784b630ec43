"""A line between two network namespaces of our own, whose packets are lost and late as a test says.

A pair of TUN devices with a thread between them, since the kernels of many CI machines lack netem. Whoever runs in the
namespace `near` reaches ports of this machine's loopback at the address FAR, over TCP that really retransmits. Nothing
of the namespace that this process runs in is changed: it only opens sockets in the others.
"""

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.support.proxy import Proxy

NEAR, FAR = "10.77.0.2", "10.77.0.1"
_NETNS = Path("/run/netns")
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_LONGEST_PACKET = 65536  # bytes
T = TypeVar("T")
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class NoLine(Exception):
    """There can be no such line on this machine."""


class Line:
    """Packets pass untouched until `weather` says otherwise. Ended by `close`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._loss, self._delay = 0.0, 0.0
        self.lost = self.passed = 0
        self._late: list[tuple[float, int, int, bytes]] = []
        self._ends: list[int] = []
        self._names: list[str] = []
        self._doors: list[Proxy] = []
        self._order = itertools.count()
        self._door, self._bell = os.pipe()
        self._thread = threading.Thread(target=self._carry, name="line", daemon=True)

    @property
    def near(self) -> str:
        return self._names[0]

    def open(self) -> None:
        """Make both namespaces; raise `NoLine`."""
        number = f"{os.getpid()}-{next(_numbers)}"
        if shutil.which("ip") is None or os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
            raise NoLine("network namespaces need root, the program ip and /dev/net/tun")
        for name, address in ((f"near-{number}", NEAR), (f"far-{number}", FAR)):
            _ip("netns", "add", name)
            self._names.append(name)
            self._ends.append(inside(name, _tun))
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            for device in ("lo", "wire"):
                _ip("-n", name, "link", "set", device, "up")
        self._thread.start()

    def weather(self, *, loss: float = 0.0, delay: float = 0.0) -> None:
        """From now on lose this share of packets, and let the others be late by up to twice this many seconds."""
        self._loss, self._delay = loss, delay

    def let_out(self, port: int) -> str:
        """Let those who are near reach a loopback port of this machine at FAR; return the address."""
        far = self._names[1]
        listener = inside(far, lambda: socket.create_server((FAR, port)))
        self._doors.append(Proxy(("127.0.0.1", port), listener))
        return f"{FAR}:{port}"

    def as_at_home(self, port: int) -> None:
        """Let them reach it at the same port of their own loopback, too."""
        self.let_out(port)
        near = self.near
        listener = inside(near, lambda: socket.create_server(("127.0.0.1", port)))
        self._doors.append(Proxy((FAR, port), listener, begin=lambda: _enter(near)))

    def close(self) -> None:
        if self._thread.is_alive():
            os.write(self._bell, b"x")
            self._thread.join()
        for door in self._doors:
            door.close()
        for end in (*self._ends, self._bell, self._door):
            os.close(end)
        for name in self._names:
            _ip("netns", "delete", name)

    def _carry(self) -> None:
        """Take packets from each end to the other until told to end."""
        other = dict(zip(self._ends, reversed(self._ends), strict=True))
        poll = select.poll()
        for end in (*self._ends, self._door):
            poll.register(end, select.POLLIN)
        while True:
            wait = None if not self._late else max(0.0, self._late[0][0] - time.monotonic()) * 1000
            for end, _ in poll.poll(wait):
                if end == self._door:
                    return
                self._take(os.read(end, _LONGEST_PACKET), other[end])
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(self._late)
                _put(to, packet)

    def _take(self, packet: bytes, to: int) -> None:
        if self._rng.random() < self._loss:
            self.lost += 1
            return
        self.passed += 1
        if not self._delay and not self._late:
            _put(to, packet)
            return
        due = time.monotonic() + self._rng.uniform(0.0, 2.0 * self._delay)
        heapq.heappush(self._late, (due, next(self._order), to, packet))


def inside(name: str, make: Callable[[], T]) -> T:
    """Return what a function makes in a network namespace; a thread goes there, this one stays."""

    def there() -> T:
        _enter(name)
        return make()

    with ThreadPoolExecutor(1) as away:
        return away.submit(there).result()


@contextlib.contextmanager
def lines(count: int, rng: random.Random) -> Iterator[tuple[Line, ...]]:
    """So many lines for as long as the block lasts; raise `NoLine`."""
    with contextlib.ExitStack() as closing:
        made = []
        for _ in range(count):
            line = Line(rng)
            closing.callback(line.close)
            line.open()
            made.append(line)
        yield tuple(made)


def _enter(name: str) -> None:
    """Move the calling thread, and no other, into a network namespace."""
    with (_NETNS / name).open() as namespace:
        if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise NoLine(f"setns: {os.strerror(ctypes.get_errno())}")


def _tun() -> int:
    """Make the device `wire` in the namespace of this thread."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", b"wire", _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(end)
        raise NoLine(f"no TUN device: {error.strerror}") from None
    return end


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoLine(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _put(to: int, packet: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(to, packet)
