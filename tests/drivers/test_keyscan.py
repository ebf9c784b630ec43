"""Scanning host keys over real sockets, on the loopback address."""

from __future__ import annotations

import asyncio
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, repeat

import asyncssh
import pytest

from nodepool_ng.drivers import keyscan
from nodepool_ng.drivers.keyscan import Failure, KeyScanner, NotScanned, Outcome, Probe, Scanned, probe_for

HOST = "127.0.0.1"


def key_of(algorithm: str) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(algorithm)


def text_of(key: asyncssh.SSHKey) -> str:
    kind, base64 = key.export_public_key().decode().split()[:2]
    return f"{kind} {base64}"


class Visit(asyncssh.SSHServer):
    """One connection, counted when it comes and when it goes."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._servers.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._servers.ended += 1


class Servers:
    """SSH servers in a thread of their own."""

    def __init__(self) -> None:
        self.connections = 0
        self.ended = 0
        self.accepted = 0  # by a server that hangs up
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: list[asyncssh.SSHAcceptor] = []
        self._turns: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._thread.start()

    def listen(self, *keys: asyncssh.SSHKey, port: int = 0) -> int:
        """Start a server with these host keys and return its port."""
        return asyncio.run_coroutine_threadsafe(self._listen(keys, port), self._loop).result(5)

    def listen_and_hang_up(self, *turns: asyncssh.SSHKey | None) -> int:
        """Serve each connection in its turn: one with that host key, or an end in the middle of the handshake, which
        is what OpenSSH's server does without a fitting key. The last turn is that of all that come later."""
        return asyncio.run_coroutine_threadsafe(self._listen_and_hang_up(turns), self._loop).result(5)

    async def _listen_and_hang_up(self, turns: tuple[asyncssh.SSHKey | None, ...]) -> int:
        listening = socket.create_server((HOST, 0))
        listening.setblocking(False)
        self._turns = self._loop.create_task(self._take_turns(listening, turns))
        return int(listening.getsockname()[1])

    async def _take_turns(self, listening: socket.socket, turns: tuple[asyncssh.SSHKey | None, ...]) -> None:
        with listening:
            for turn in chain(turns, repeat(turns[-1])):
                connection, _ = await self._loop.sock_accept(listening)
                self.accepted += 1
                if turn is None:
                    with connection:
                        await self._loop.sock_sendall(connection, b"SSH-2.0-OpenSSH_9.2p1\r\n")
                        await self._loop.sock_recv(connection, 10)
                else:
                    with suppress(asyncssh.Error, OSError):  # scanners never log in
                        await asyncssh.run_server(
                            connection, server_host_keys=[turn], server_factory=lambda: Visit(self), config=None
                        )

    async def _listen(self, keys: tuple[asyncssh.SSHKey, ...], port: int) -> int:
        acceptor = await asyncssh.listen(
            HOST, port, server_host_keys=list(keys), server_factory=lambda: Visit(self), config=None
        )
        self._open.append(acceptor)
        return int(acceptor.get_port())

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        if self._turns is not None:
            self._turns.cancel()
        for acceptor in self._open:
            acceptor.close()
        # The last connection may have been accepted and not begun yet.
        begun = asyncio.all_tasks() - {asyncio.current_task()}
        if begun:
            await asyncio.wait(begun, timeout=1.0)
        while self.ended < self.connections:
            await asyncio.sleep(0.01)
        for acceptor in self._open:
            await acceptor.wait_closed()
        await asyncio.sleep(0)  # a transport closes its socket one round after its protocol was told
        await self._loop.shutdown_default_executor()


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    servers.start()
    yield servers
    servers.stop()


@pytest.fixture
def scanner() -> Iterator[KeyScanner]:
    scanner = KeyScanner()
    scanner.start()
    yield scanner
    scanner.stop()


Scan = Callable[..., Outcome]


@pytest.fixture
def scan(scanner) -> Scan:
    def scan(port: int, seconds: float = 5.0, probe: Probe = Probe.HOST_KEYS) -> Outcome:
        done: queue.Queue[Outcome] = queue.Queue()
        scanner.scan(HOST, port, time.monotonic() + seconds, done.put, probe)
        return done.get(timeout=seconds + 5)

    return scan


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def test_three_keys_take_three_connections(servers, scan):
    keys = [key_of("ssh-ed25519"), key_of("ecdsa-sha2-nistp384"), key_of("ssh-rsa")]
    found = scan(servers.listen(*keys))
    assert set(found.keys) == {text_of(key) for key in keys}
    assert len(found.keys) == 3
    assert servers.connections == 3


def test_a_server_with_one_key_shows_one(servers, scan):
    key = key_of("ecdsa-sha2-nistp256")
    assert scan(servers.listen(key)) == Scanned((text_of(key),))


def test_a_server_that_hangs_up_when_it_has_no_such_key_shows_the_one_it_has(servers, scan):
    key = key_of("ssh-ed25519")
    assert scan(servers.listen_and_hang_up(key, None)) == Scanned((text_of(key),))
    assert servers.accepted == 5  # two for each of the types that it does not have


def test_one_hang_up_is_not_yet_a_missing_key(servers, scan):
    keys = [key_of("ssh-ed25519"), key_of("ecdsa-sha2-nistp256")]
    assert scan(servers.listen_and_hang_up(keys[0], None, keys[1], None)) == Scanned(tuple(map(text_of, keys)))
    assert servers.accepted == 5


def test_a_server_that_boots_is_waited_for(servers, scan):
    port = free_port()
    key = key_of("ssh-ed25519")
    late = threading.Timer(0.3, servers.listen, [key], {"port": port})
    late.start()
    assert scan(port) == Scanned((text_of(key),))
    late.join()


def test_a_server_that_never_answers_is_given_up_with_a_reason(scan):
    began = time.monotonic()
    outcome = scan(free_port(), seconds=0.5)
    assert outcome.failure is Failure.TIMEOUT
    assert "refused" in outcome.reason.lower() or "Connect call failed" in outcome.reason
    assert time.monotonic() - began < 1.5


def test_a_server_that_says_nothing_is_given_up(scan):
    with socket.create_server((HOST, 0)) as silent:
        assert scan(silent.getsockname()[1], seconds=0.4) == NotScanned(Failure.TIMEOUT, "no answer")


NO_LINGER = struct.pack("ii", 1, 0)
"""A socket that is closed with this resets its connection."""


@pytest.mark.parametrize("words", [b"", b"\r\n" * 1100, b"SSH-2.0-\xff\xfe\r\n", b"SSH-2.0-x\r\n" + bytes(100)])
@pytest.mark.parametrize("reset", [False, True])
def test_one_that_hangs_up_is_asked_again(scan, words, reset):
    def hang_up() -> None:
        for _ in range(3):
            connection, _ = rude.accept()
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            with suppress(ConnectionError):
                connection.sendall(words)
            connection.close()

    with socket.create_server((HOST, 0)) as rude:
        thread = threading.Thread(target=hang_up)
        thread.start()
        outcome = scan(rude.getsockname()[1], seconds=0.8)
        thread.join()
    assert outcome.failure is Failure.TIMEOUT


def test_a_host_may_have_a_name(servers, scanner):
    done: queue.Queue[Outcome] = queue.Queue()
    key = key_of("ssh-ed25519")
    scanner.scan("localhost", servers.listen(key), time.monotonic() + 5, done.put)
    assert done.get(timeout=5) == Scanned((text_of(key),))


def test_a_deadline_in_the_past_is_no_attempt(servers, scan):
    outcome = scan(servers.listen(key_of("ssh-ed25519")), seconds=-1)
    assert outcome.failure is Failure.TIMEOUT


def test_for_other_connections_it_is_enough_to_connect(scan):
    with socket.create_server((HOST, 0)) as winrm:
        assert scan(winrm.getsockname()[1], probe=Probe.CONNECT) == Scanned(())
    assert scan(free_port(), seconds=0.3, probe=Probe.CONNECT).failure is Failure.TIMEOUT


def test_no_more_than_so_many_connect_at_once(monkeypatch):
    at_once, most = 0, 0
    real = keyscan._connect_only

    async def counted(address: str, port: int) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        try:
            return await real(address, port)
        finally:
            at_once -= 1

    monkeypatch.setattr(keyscan, "_connect_only", counted)
    scanner = KeyScanner(most_attempts=4)
    scanner.start()
    done: queue.Queue[Outcome] = queue.Queue()
    with socket.create_server((HOST, 0), backlog=32) as server:
        for _ in range(20):
            scanner.scan(HOST, server.getsockname()[1], time.monotonic() + 5, done.put, Probe.CONNECT)
        assert {done.get(timeout=5) for _ in range(20)} == {Scanned(())}
    assert most == 4
    scanner.stop()


def test_stop_ends_every_scan_and_later_ones_at_once():
    scanner = KeyScanner()
    scanner.start()
    done: queue.Queue[Outcome] = queue.Queue()
    for _ in range(5):
        scanner.scan(HOST, free_port(), time.monotonic() + 60, done.put)
    scanner.stop()
    scanner.stop()
    scanner.scan(HOST, 22, time.monotonic() + 60, done.put)
    assert {done.get(timeout=1).failure for _ in range(6)} == {Failure.STOPPED}


@pytest.mark.parametrize(
    ("connection", "checking", "probe"),
    [
        ("ssh", True, Probe.HOST_KEYS),
        ("network_cli", True, Probe.HOST_KEYS),
        ("winrm", True, Probe.CONNECT),
        ("ssh", False, None),
        ("winrm", False, None),
    ],
)
def test_what_is_asked_depends_on_the_connection(connection, checking, probe):
    assert probe_for(connection, checking) is probe
