"""Connections to the endpoints of a cloud, kept from one call to the next, and an exchange over one of them.

A thread lets go of the interpreter whenever it asks the system for something, and with dozens of them it waits for
milliseconds until it has it again. So an exchange asks for little: the request is sent in one piece, the answer is read
in as few as it comes in.
"""

import contextlib
import select
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import httptools
import requests

from nodepool_ng.model.ids import Seconds

SURE = 0.5
"""Seconds after an answer in which a connection is taken to be open still; later it is looked at before it is used."""
LENGTHS = frozenset({"content-length", "transfer-encoding"})
"""Headers that tell where a body ends."""
AT_ONCE = 65536
"""Bytes to be read at once, at most."""
OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""Options of sockets: nothing is held back, and who is not heard of for two minutes is gone."""


class Endpoint(NamedTuple):
    """Whom to connect to, and whom to believe that it is."""

    scheme: str
    host: str
    port: int | None
    verify: bool | str
    """A file or a folder of certificates; True: those that `requests` brings; False: believe anybody."""
    cert: tuple[str, ...]
    """Files with the certificate to be shown, and its key where that is not in the same; empty: none is shown."""


class Exchanged(NamedTuple):
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class _Connection(NamedTuple):
    sock: socket.socket
    host: str
    """What the header of that name says."""
    space: memoryview
    """Where answers are read to."""


_Idle: TypeAlias = dict[Endpoint, deque[tuple[_Connection, Seconds]]]


class Connections:
    """May be used from any number of threads. Each exchange has a connection for itself, so there are as many as there
    were exchanges at once."""

    def __init__(self) -> None:
        self._idle: _Idle = {}
        weakref.finalize(self, _close, self._idle)
        self._contexts: dict[tuple[bool | str, tuple[str, ...]], tuple[tuple[int, ...], ssl.SSLContext]] = {}
        """With when the files that each is made of were changed, in nanoseconds."""

    def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str | bytes],
        body: bytes | None,
        connect: Seconds | None,
        read: Seconds | None,
    ) -> Exchanged:
        """Send a request and read its answer; raise `requests.RequestException`, whose kinds tell what went wrong.

        `connect` and `read` are seconds to wait for a connection, and for each time that nothing comes. Not for HEAD,
        whose answers announce a body that does not come.
        """
        with _understood(requests.exceptions.ConnectTimeout):
            connection = self._kept(endpoint) or self._made(endpoint, connect)
        sock = connection.sock
        try:
            with _understood(requests.exceptions.ReadTimeout):
                if sock.gettimeout() != read:
                    sock.settimeout(read)
                sock.sendall(_head(connection.host, method, target, headers) + (body or b""))
                exchanged, is_last = _answer(sock, connection.space)
        except BaseException:
            sock.close()
            raise
        if is_last:
            sock.close()
        else:
            self._idle.setdefault(endpoint, deque()).append((connection, time.monotonic()))
        return exchanged

    def close(self) -> None:
        """Close those that nobody uses. That happens, too, when nobody refers to them any more."""
        _close(self._idle)

    def _kept(self, endpoint: Endpoint) -> _Connection | None:
        """Return the one that was used last and is open still."""
        idle = self._idle.get(endpoint, ())
        while idle:
            try:
                connection, since = idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if time.monotonic() < since + SURE or not _has_something_to_say(connection.sock):
                return connection
            connection.sock.close()
        return None

    def _made(self, endpoint: Endpoint, timeout: Seconds | None) -> _Connection:
        secure = endpoint.scheme == "https"
        context = self._context(endpoint.verify, endpoint.cert) if secure else None
        port = endpoint.port or (443 if secure else 80)
        sock = socket.create_connection((endpoint.host, port), timeout)
        try:
            for option in OPTIONS:
                sock.setsockopt(*option)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=endpoint.host)
        except BaseException:
            sock.close()
            raise
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        named = host if endpoint.port is None else f"{host}:{endpoint.port}"
        return _Connection(sock, named, memoryview(bytearray(AT_ONCE)))

    def _context(self, verify: bool | str, cert: tuple[str, ...]) -> ssl.SSLContext:
        """Return one context for all connections of a kind, since it takes longer to make than they do; another one
        once its files have changed."""
        trusted = [requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else verify] if verify else []
        # To be looked at first, too, because OpenSSL does not say which file it misses.
        changed = tuple(Path(file).stat().st_mtime_ns for file in (*trusted, *cert))
        kept = self._contexts.get((verify, cert))
        if kept is not None and kept[0] == changed:
            return kept[1]
        context = _trusting(*map(Path, trusted))
        context.set_alpn_protocols(["http/1.1"])
        if cert:
            context.load_cert_chain(cert[0], cert[1] if len(cert) > 1 else None)
        self._contexts[verify, cert] = changed, context
        return context


class _Collected:
    """What a parser has told of an answer so far."""

    parser: httptools.HttpResponseParser

    def __init__(self) -> None:
        self.is_whole = False
        self.is_last = False
        """Whether the connection is of no use after it."""
        self.goes_on_until_closed = False
        self.reason = b""
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.is_last = not self.parser.should_keep_alive()
        self.goes_on_until_closed = not LENGTHS.intersection(map(str.lower, self.headers))

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() < 200:  # the server has seen the request, and goes on
            self.reason, self.goes_on_until_closed = b"", False
            self.headers.clear()
        else:
            self.is_whole = True


def _head(host: str, method: str, target: str, headers: Mapping[str, str | bytes]) -> bytes:
    """Return the head of a request; raise ValueError where a header, or the target, would be read as two."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    for name, value in headers.items():
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
    head = "\r\n".join([*lines, "", ""])
    if not head.count("\r") == head.count("\n") == len(lines) + 1:
        raise ValueError("a header of more than one line")
    return head.encode("latin-1")


def _answer(sock: socket.socket, space: memoryview) -> tuple[Exchanged, bool]:
    """Read an answer; tell whether the connection is of no use after it.

    Raises OSError or `httptools.HttpParserError` where there is none, or not all of it.
    """
    collected = _Collected()
    parser = collected.parser = httptools.HttpResponseParser(collected)
    try:
        while not collected.is_whole:
            if size := sock.recv_into(space):
                parser.feed_data(space[:size])
            elif collected.goes_on_until_closed:
                break
            else:
                raise ConnectionError("the server closed the connection before its answer was whole")
        reason = collected.reason.decode("latin-1")
        answer = Exchanged(parser.get_status_code(), reason, collected.headers, b"".join(collected.pieces))
    finally:
        del collected.parser  # it refers to what is collected
    return answer, collected.is_last


def _close(idle: _Idle) -> None:
    for endpoint in list(idle):
        for connection, _ in idle.pop(endpoint):
            connection.sock.close()


def _trusting(authorities: Path | None = None) -> ssl.SSLContext:
    """Return a context that believes those alone; without any, everybody."""
    if authorities is None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    if authorities.is_dir():
        return ssl.create_default_context(capath=str(authorities))
    return ssl.create_default_context(cafile=str(authorities))


def _has_something_to_say(sock: socket.socket) -> bool:
    """Tell whether a server that owes no answer has closed the connection, or breaks the rules."""
    asking = select.poll()
    asking.register(sock, select.POLLIN)
    return bool(asking.poll(0))


@contextlib.contextmanager
def _understood(too_late: type[requests.RequestException]) -> Iterator[None]:
    """Tell what went wrong as `requests` does."""
    try:
        yield
    except TimeoutError as error:
        raise too_late(str(error)) from error
    except ssl.SSLError as error:
        raise requests.exceptions.SSLError(error) from error
    except (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise requests.exceptions.ConnectionError(str(error) or type(error).__name__) from error
    except ValueError as error:  # a host name or a header that cannot be sent
        raise requests.exceptions.InvalidURL(str(error)) from error
