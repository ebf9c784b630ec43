"""Asks booting servers for their SSH host keys, or only whether they answer.

One thread with its own event loop looks after all of them, since asyncssh is asynchronous and waiting for a boot is
mostly waiting. An SSH server shows one key per connection: the first connection takes whichever comes, further
ones ask for the types that are still missing, so a server with the usual three keys is connected to three times.
A server without a key of that type says so, or, as OpenSSH's does, hangs up without a word.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import asyncssh

log = logging.getLogger("nodepool.keyscan")

ATTEMPT_TIMEOUT = 10.0  # seconds for one connection and handshake
FIRST_PAUSE = 0.1  # seconds before a server is asked again; grows by half each time up to
LONGEST_PAUSE = 1.0  # seconds
MOST_ATTEMPTS = 256  # connections at one time; pauses do not count
HANG_UPS = 2  # of a server that has shown a key, until it has none of the type that it is asked for
STOP_TIMEOUT = 10.0  # seconds

KEY_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ed25519": ("ssh-ed25519",),
        "ecdsa": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        "rsa": ("rsa-sha2-256", "rsa-sha2-512", "ssh-rsa"),
    }
)
"""The types of host keys that servers have, with the algorithms that make one show it."""

EXCHANGES = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
)
"""Key exchanges, the cheapest first: nothing secret is sent, so the post-quantum ones would only cost time. The last
ones are for old network devices."""

SSH_CONNECTIONS = frozenset({"ssh", "network_cli"})


class Probe(StrEnum):
    """What is to be found out."""

    HOST_KEYS = "host keys"
    CONNECT = "connect"


class Failure(StrEnum):
    TIMEOUT = "timeout"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Scanned:
    """The server answers; with its host keys as `<type> <base64>` where these were asked for."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotScanned:
    """The server did not answer in time. `reason` says what the last attempt met."""

    failure: Failure
    reason: str


Outcome: TypeAlias = Scanned | NotScanned
Done: TypeAlias = Callable[[Outcome], None]


class Scanner(Protocol):
    """Scans servers; `done` is called exactly once for each, from a thread of the scanner's, and must not block."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def scan(self, address: str, port: int, deadline: float, done: Done, probe: Probe = Probe.HOST_KEYS) -> None:
        """Ask until an answer comes or the monotonic clock passes `deadline`."""
        ...


def probe_for(connection_type: str, host_key_checking: bool) -> Probe | None:
    """Return what must be found out about a new server before it is ready; None: nothing."""
    if not host_key_checking:
        return None
    return Probe.HOST_KEYS if connection_type in SSH_CONNECTIONS else Probe.CONNECT


class KeyScanner:
    """The scanner of the daemons."""

    def __init__(self, most_attempts: int = MOST_ATTEMPTS) -> None:
        self._most_attempts = most_attempts
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._lookups: set[asyncio.Task[tuple[str, ...] | str]] = set()

    def start(self) -> None:
        """Start the thread."""
        asyncssh.set_log_level(logging.WARNING)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop,), name="keyscan", daemon=True)
        with self._lock:
            self._loop, self._thread = loop, thread
        thread.start()

    def stop(self) -> None:
        """End all scans with `Failure.STOPPED` and wait for the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop, self._thread = None, None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join(STOP_TIMEOUT)

    def scan(self, address: str, port: int, deadline: float, done: Done, probe: Probe = Probe.HOST_KEYS) -> None:
        """See `Scanner`. After `stop` the outcome is told at once, in the caller's own thread."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._begin, address, port, deadline, done, probe)
                return
        done(NotScanned(Failure.STOPPED, "the scanner is not running"))

    def lookup(self, name: str, deadline: float, done: Callable[[tuple[str, ...] | str], None]) -> None:
        """Find the addresses of a machine, the best first; `done` gets them, or why there are none."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._begin_lookup, name, deadline, done)
                return
        done("the scanner is not running")

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        self._slots = asyncio.Semaphore(self._most_attempts)
        try:
            loop.run_forever()
            unfinished: tuple[asyncio.Task[Any], ...] = (*self._tasks, *self._lookups)
            for task in unfinished:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*unfinished, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    def _begin(self, address: str, port: int, deadline: float, done: Done, probe: Probe) -> None:
        patience = _Patience(deadline, self._slots)
        task = asyncio.get_running_loop().create_task(_scan(address, port, patience, probe))
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, done))

    def _begin_lookup(self, name: str, deadline: float, done: Callable[[tuple[str, ...] | str], None]) -> None:
        def end(task: asyncio.Task[tuple[str, ...] | str]) -> None:
            self._lookups.discard(task)
            done("the scanner was stopped" if task.cancelled() else task.result())

        task = asyncio.get_running_loop().create_task(_addresses(name, deadline))
        self._lookups.add(task)
        task.add_done_callback(end)

    def _end(self, done: Done, task: asyncio.Task[Outcome]) -> None:
        # Told here, since a task that is cancelled before its first step runs none of its own code.
        self._tasks.discard(task)
        done(NotScanned(Failure.STOPPED, "the scanner was stopped") if task.cancelled() else task.result())


async def _addresses(name: str, deadline: float) -> tuple[str, ...] | str:
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return "no answer"
    except (OSError, UnicodeError) as error:
        return str(error)
    return tuple(dict.fromkeys(str(each[4][0]) for each in found)) or "no address"


async def _scan(address: str, port: int, patience: "_Patience", probe: Probe) -> Outcome:
    try:
        if probe is Probe.CONNECT:
            await patience.until_done(partial(_connect_only, address, port))
            return Scanned(())
        return Scanned(await _host_keys(address, port, patience))
    except (_OutOfTime, _NoSuchKey) as error:
        return NotScanned(Failure.TIMEOUT, str(error))


class _OutOfTime(Exception):
    pass


class _NoSuchKey(Exception):
    """The server has no key of the types that were asked for; asking again would not help."""


class _HungUp(Exception):
    """The server ended the connection in the middle of the handshake."""


class _Patience:
    """Tries something again and again, with growing pauses, until a deadline."""

    def __init__(self, deadline: float, slots: asyncio.Semaphore) -> None:
        self._deadline = deadline
        self._slots = slots
        self._pause = FIRST_PAUSE
        self._reason = "there was no time for an attempt"

    async def until_done(self, attempt: Callable[[], Coroutine[None, None, str]]) -> str:
        """Return what the first attempt that succeeds returns. Raises _OutOfTime with the last failure's reason."""
        while True:
            try:
                async with asyncio.timeout(self._deadline - time.monotonic()), self._slots:
                    async with asyncio.timeout(ATTEMPT_TIMEOUT):
                        return await attempt()
            except TimeoutError:
                self._reason = "no answer"
            except (_NoSuchKey, _HungUp):
                raise
            except (OSError, asyncssh.Error) as error:
                self._reason = str(error) or type(error).__name__
            except Exception as error:  # noqa: BLE001 - the edge of an attempt: it becomes a reason
                # What a server sends that is no SSH reaches asyncssh's callers as whatever it made asyncssh raise.
                self._reason = f"{type(error).__name__}: {error}"
            if time.monotonic() + self._pause >= self._deadline:
                raise _OutOfTime(self._reason)
            await asyncio.sleep(self._pause)
            self._pause = min(1.5 * self._pause, LONGEST_PAUSE)


async def _host_keys(address: str, port: int, patience: _Patience) -> tuple[str, ...]:
    """Return one key of each type that the server has."""
    every = tuple(algorithm for algorithms in KEY_TYPES.values() for algorithm in algorithms)
    first = await patience.until_done(partial(_host_key, address, port, every))
    found = [first]
    for algorithms in KEY_TYPES.values():
        if _type_of(first) in algorithms:
            continue
        try:
            found.append(await _further_key(address, port, patience, algorithms))
        except _NoSuchKey:
            continue
    return tuple(dict.fromkeys(found))


async def _further_key(address: str, port: int, patience: _Patience, algorithms: tuple[str, ...]) -> str:
    """Return the key of one type of a server that has shown one of another type. Raises _NoSuchKey."""
    hang_ups = 0
    while True:
        try:
            return await patience.until_done(partial(_key_or_hang_up, address, port, algorithms))
        except _HungUp as error:
            hang_ups += 1
            if hang_ups == HANG_UPS:
                raise _NoSuchKey(str(error)) from None
        await asyncio.sleep(FIRST_PAUSE)


async def _key_or_hang_up(address: str, port: int, algorithms: tuple[str, ...]) -> str:
    try:
        return await _host_key(address, port, algorithms)
    except (asyncssh.ConnectionLost, ConnectionResetError, BrokenPipeError) as error:
        raise _HungUp(str(error)) from None


def _type_of(key: str) -> str:
    return key.partition(" ")[0]


async def _host_key(address: str, port: int, algorithms: tuple[str, ...]) -> str:
    with await _connected(address, port) as sock:
        try:
            key = await asyncssh.get_server_host_key(
                sock=sock, config=None, kex_algs=[*EXCHANGES], server_host_key_algs=[*algorithms]
            )
        except asyncssh.KeyExchangeFailed as error:
            raise _NoSuchKey(str(error)) from None
    if key is None:
        raise asyncssh.KeyExchangeFailed("the server showed no key")
    kind, base64 = key.export_public_key("openssh").decode().split()[:2]
    return f"{kind} {base64}"


async def _connect_only(address: str, port: int) -> str:
    with await _connected(address, port):
        return ""


async def _connected(address: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    family, where = await _resolved(address, port)
    sock = socket.socket(family)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolved(address: str, port: int) -> tuple[int, tuple[object, ...]]:
    try:
        version = ip_address(address).version
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return found[0][0], found[0][4]
    return socket.AF_INET if version == 4 else socket.AF_INET6, (address, port)
