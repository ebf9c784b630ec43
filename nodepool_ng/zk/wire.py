"""What kazoo lacks: persistent recursive watches, many requests per write, and a connection that never gives up.

This module is the only one that reaches into kazoo's insides; `client` makes a Store of it. kazoo dispatches every
request singly, with a selector made anew for each wait, and hands results to a second thread. Here all queued
requests leave in one write, made by whoever asks, all frames that have come are read at once, and answers are given on
the connection's own thread. What is kept of kazoo: finding and trying hosts, TLS, the session, heartbeats, and the wire
format.
"""

import errno
import logging
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionDropped,
    ConnectionLoss,
    SessionExpiredError,
)
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.connection import CLOSE_RESPONSE, WATCH_XID, ConnectionHandler
from kazoo.protocol.serialization import ReplyHeader, int_int_struct, int_struct, write_string
from kazoo.protocol.states import KeeperState
from kazoo.retry import ForceRetryError, KazooRetry, RetryFailedError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.settings import AuthScheme, Protect, ZooKeeperAuth, ZooKeeperSettings
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Kind

FIRST_DELAY = 0.1  # seconds between rounds over all hosts
LONGEST_DELAY = 2.0  # seconds
READ_SIZE = 262_144  # bytes
WRITE_SIZE = 262_144  # bytes

_PERSISTENT_RECURSIVE = 1
_HEADER_SIZE = 16  # bytes: number of the request, of the last transaction, and an error
_EVENT = struct.Struct("!iii")
"""An event after its header: its kind, the state of the session, the length of the path that follows."""
_KINDS = MappingProxyType({1: Kind.CREATED, 2: Kind.DELETED, 3: Kind.CHANGED})
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_ENDLESS_RETRY = (ForceRetryError, ConnectionLoss, SessionExpiredError, ConnectionClosedError, RetryFailedError)


class Slot(Protocol):
    """Where the answer to a request goes; called on the connection's thread, so it may not block."""

    def set(self, value: Any) -> None: ...

    def set_exception(self, exception: Exception) -> None: ...


@dataclass(frozen=True, slots=True)
class AddWatch:
    """The request for a persistent recursive watch (ZooKeeper 3.6); it outlives events, but not the connection."""

    path: str
    type: int = 106

    def serialize(self) -> bytes:
        return bytes(write_string(self.path) + int_struct.pack(_PERSISTENT_RECURSIVE))

    @classmethod
    def deserialize(cls, data: bytes, offset: int) -> bool:
        return True


class OneThread(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads without the two that would only carry results to callbacks."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def create_connection(
        self,
        address: tuple[str, int],
        hostname: str | None = None,
        timeout: float | None = None,
        use_ssl: bool = False,
        ca: str | None = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        **others: Any,
    ) -> socket.socket:
        """Connect, over TLS where that is wanted. Files are read each time, so renewed certificates are taken up.

        kazoo's own would leak a socket for each failed handshake, and would trust every public authority beside the
        configured one. Host names are not compared: the certificates that Nodepool's users have do not bear them.
        """
        connection = socket.create_connection(address, timeout)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not use_ssl:
                return connection
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            if ca:
                context.load_verify_locations(ca)
            else:
                context.load_default_certs()
            if certfile:
                context.load_cert_chain(certfile, keyfile)
            return context.wrap_socket(connection, server_hostname=hostname)
        except OSError:
            connection.close()
            raise

    def select(
        self, readable: list[Any], writable: list[Any], exceptional: list[Any], timeout: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Wait with poll(2), which costs no file descriptor."""
        poll = select.poll()
        for one in readable:
            poll.register(one, select.POLLIN)
        for one in writable:
            poll.register(one, select.POLLOUT)
        ready = dict(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))
        if any(mask & select.POLLNVAL for mask in ready.values()):
            raise OSError(errno.EBADF, "the socket was closed")
        return [x for x in readable if x.fileno() in ready], [x for x in writable if x.fileno() in ready], []


class Wire(ConnectionHandler):  # type: ignore[misc]
    """One connection after the other to whichever server answers, until the client is stopped."""

    def __init__(self, client: "Client", retry: Any, logger: logging.Logger) -> None:
        super().__init__(client, retry, logger=logger)
        self._awake = False
        self._xid: int = 0
        self._received = bytearray()
        self._frame: bytes | None = None
        self._sending = threading.RLock()
        """Held by whoever writes, so that requests leave in the order of their numbers."""
        self._unsent = bytearray()
        """What the socket has not taken of what was to be written; nothing else may be written before it."""
        self._serving = False
        """Whoever asks may write. Not before the connection's thread has also authenticated: until then it takes
        whatever comes for the answer to its own question."""

    def send(self) -> None:
        """Send what is queued, from any thread, while there is a connection. Never waits: what cannot be written now is
        left to the connection's thread, and so is finding out that the connection is broken."""
        if not self._sending.acquire(blocking=False):
            self.wake()
            return
        try:
            while self._serving and self.client._queue and not self._unsent:
                self._unsent += self._packet()
                del self._unsent[: self._socket.send(self._unsent)]
        except _NOT_NOW:
            self.wake()
        except (OSError, AttributeError):
            return  # it was just closed; the connection's thread fails everything that has no answer
        finally:
            self._sending.release()
        if self._unsent or self.client._queue:
            self.wake()

    def wake(self) -> None:
        """Tell the connection's thread that something is queued; at most one byte is ever on its way."""
        if not self._awake:
            self._awake = True
            if (door := self._write_sock) is not None:
                door.send(b"\0")

    def _connect_loop(self, retry: Any) -> Any:
        """Whatever goes wrong in a round over the hosts, there is a next round."""
        try:
            return super()._connect_loop(retry)
        except _ENDLESS_RETRY:
            raise
        except Exception:
            self.logger.exception("An attempt to connect to ZooKeeper ended unexpectedly; it is repeated.")
            self.client.drop()
            raise ForceRetryError("unexpected") from None

    def _connect(self, host: str, hostip: str, port: int) -> Any:
        """Connect and authenticate. kazoo would end for good where that is refused; an operator who corrects the
        password on either side expects the next attempt to succeed."""
        self._received.clear()
        with self._sending:
            self._unsent.clear()
            self._serving = False
        self.sasl_options = self.client.sasl()
        try:
            timeouts = super()._connect(host, hostip, port)
        except AuthFailedError:
            raise ConnectionDropped("ZooKeeper does not accept the user or the password of zookeeper-auth") from None
        self._serving = True
        return timeouts

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        """Send everything that is queued. The flag goes down first: what is queued later rings again."""
        self._read_sock.recv(4096)
        self._awake = False
        with self._sending:
            while self.client._queue:
                self._write(self._packet(), connect_timeout)
            self._write(b"", connect_timeout)

    def _packet(self) -> bytearray:
        """Return the next queued requests as bytes; from now on they wait for their answers."""
        queue, pending = self.client._queue, self.client._pending
        packet = bytearray()
        while queue and len(packet) < WRITE_SIZE:
            request, slot = queue.popleft()
            self._xid = self._xid % 0x7FFFFFFF + 1
            pending.append((request, slot, self._xid))
            body = request.serialize()
            packet += int_struct.pack(len(body) + int_int_struct.size)
            packet += int_int_struct.pack(self._xid, request.type)
            packet += body
        return packet

    def _write(self, msg: bytes | bytearray, timeout: float) -> None:
        """Write all of it, after what is left of what others wrote. For the connection's own thread."""
        with self._sending:
            left, self._unsent = self._unsent, bytearray()
            super()._write(left + msg, timeout)

    def _read_socket(self, read_timeout: float) -> Any:
        """Read what has come and dispatch every complete frame of it. Most frames are events: they are read here, in
        a fifth of the time that kazoo takes."""
        if self.client.linger:
            time.sleep(self.client.linger)
        self._receive()
        data, start = self._received, 0
        try:
            while len(data) - start >= int_struct.size:
                end = start + int_struct.size + int_struct.unpack_from(data, start)[0]
                if len(data) < end:
                    break
                frame = bytes(data[start + int_struct.size : end])
                start = end
                if int_struct.unpack_from(frame)[0] == WATCH_XID:
                    self._read_event(frame)
                    continue
                self._frame = frame
                if super()._read_socket(read_timeout) == CLOSE_RESPONSE:
                    return CLOSE_RESPONSE
        finally:
            self._frame = None
            del data[:start]
        return None

    def _receive(self) -> None:
        # TLS is one state for both directions: no other thread may write meanwhile.
        alone = self._sending if isinstance(self._socket, ssl.SSLSocket) else nullcontext()
        with self._socket_error_handling():
            while True:
                try:
                    with alone:
                        chunk = self._socket.recv(READ_SIZE)
                except _NOT_NOW:
                    return
                if not chunk:
                    raise ConnectionDropped("the server closed the connection")
                self._received += chunk
                if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                    return

    def _read_header(self, timeout: float) -> Any:
        if self._frame is None:
            return super()._read_header(timeout)
        header, offset = ReplyHeader.deserialize(self._frame, 0)
        return header, self._frame, offset

    def _read_event(self, frame: bytes) -> None:
        number, _state, length = _EVENT.unpack_from(frame, _HEADER_SIZE)
        kind = _KINDS.get(number)
        if kind is not None and not self.client._stopped.is_set():
            start = _HEADER_SIZE + _EVENT.size
            self.client.on_change(self.client.unchroot(frame[start : start + length].decode()), kind)


class Client(KazooClient):  # type: ignore[misc]
    """kazoo's client on a `Wire`. `on_change` hears of every change below the watched roots."""

    def __init__(
        self,
        settings: ZooKeeperSettings,
        logger: logging.Logger,
        on_change: Callable[[str, Kind], None],
        session: tuple[int, bytes] | None = None,
    ) -> None:
        handler = OneThread()
        super().__init__(
            hosts=",".join(settings.hosts) + settings.chroot,
            timeout=settings.session_timeout,
            client_id=session,
            handler=handler,
            connection_retry=KazooRetry(
                max_tries=-1, delay=FIRST_DELAY, max_delay=LONGEST_DELAY, sleep_func=handler.sleep_func
            ),
            logger=logger,
            use_ssl=settings.tls_ca is not None or settings.tls_cert is not None,
            ca=settings.tls_ca,
            certfile=settings.tls_cert,
            keyfile=settings.tls_key,
            verify_certs=True,
        )
        self._identify(settings.auth)
        self._connection = Wire(self, self._conn_retry.copy(), logger)
        self.on_change = on_change
        self.linger: Seconds = 0.0
        """How long the connection's thread lets more come once there is something to read."""

    def reach(self, settings: ZooKeeperSettings) -> None:
        """Have the next connection go to these servers, with these TLS files; the chroot stays as it is."""
        self.set_hosts(",".join(settings.hosts) + str(self.chroot))
        self.use_ssl = settings.tls_ca is not None or settings.tls_cert is not None
        self.ca, self.certfile, self.keyfile = settings.tls_ca, settings.tls_cert, settings.tls_key
        self._identify(settings.auth)

    def _identify(self, auth: ZooKeeperAuth | None) -> None:
        """Authenticate so from the next connection on. kazoo copies `auth_data` before it goes through it."""
        self._auth = auth
        digest = auth is not None and auth.scheme is AuthScheme.DIGEST
        self.auth_data = {("digest", f"{auth.user}:{auth.password}")} if auth is not None and digest else set()

    def sasl(self) -> dict[str, str] | None:
        """Return what kazoo needs to authenticate by SASL, where that is wanted."""
        auth = self._auth
        if auth is None or auth.scheme is not AuthScheme.SASL:
            return None
        return {"mechanism": "DIGEST-MD5", "username": auth.user, "password": auth.password}

    def acl(self, path: str) -> Any:
        """Return who may do what with a record that is created at `path`, which is relative to the chroot."""
        protect = Protect.NONE if self._auth is None else self._auth.protect
        ours = protect is Protect.ALL or (protect is Protect.OWN and _is_ours(path))
        return CREATOR_ALL_ACL if ours else OPEN_ACL_UNSAFE

    def enqueue(self, request: Any, slot: Slot) -> None:
        """Put a request where `send` finds it; its slot hears of the answer, or that the connection was lost."""
        self._queue.append((request, slot))

    @property
    def queued(self) -> int:
        """Tell how many requests wait to be sent."""
        return len(self._queue)

    def send(self) -> None:
        """Send what is queued, at once where that is possible. Only once the connection was found to be there."""
        self._connection.send()

    def send_later(self) -> None:
        """Have what is queued sent by the connection's own thread."""
        self._connection.wake()

    def fail_unsent(self) -> None:
        """Fail what was queued or sent on a connection that is gone. For the connection's own thread."""
        self._notify_pending(KeeperState.CONNECTING)

    def drop(self) -> None:
        """Count the connection as lost. For the connection's own thread."""
        self._session_callback(KeeperState.CONNECTING)

    def absolute(self, path: str) -> str:
        """Return the path with the chroot in front."""
        return str(self.chroot) + path if path != "/" else self.chroot or "/"


def _is_ours(path: str) -> bool:
    """Tell whether only launchers, builders and commands of ours have to do with this record."""
    return any(path == root or path.startswith(f"{root}/") for root in (paths.OURS, paths.IMAGES))
