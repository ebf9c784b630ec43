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
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import requests

from nodepool_ng.model.ids import Seconds

SURE = 0.5
"""Seconds after an answer in which a connection is taken to be open still; later it is looked at before it is used."""
KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""Options of sockets: who is not heard of for two minutes is gone."""


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
    head: HTTPResponse
    """Read to its end."""
    body: bytes


class _OnePiece(HTTPConnection):
    """Sends head and body of a request together: the system takes as long for each piece as for all of it."""

    def __init__(self, *address: Any, **options: Any) -> None:
        super().__init__(*address, **options)
        self._pieces: list[bytes] = []

    def send(self, data: Any) -> None:
        self._pieces.append(data)

    def getresponse(self) -> HTTPResponse:
        self.sock.sendall(b"".join(self._pieces))
        self._pieces.clear()
        return super().getresponse()


class _OnePieceTls(_OnePiece, HTTPSConnection):
    """The same over TLS."""


_Idle: TypeAlias = dict[Endpoint, deque[tuple[HTTPConnection, Seconds]]]


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
        headers: Any,
        body: bytes | None,
        connect: Seconds | None,
        read: Seconds | None,
    ) -> Exchanged:
        """Send a request and read its answer; raise `requests.RequestException`, whose kinds tell what went wrong.

        `connect` and `read` are seconds to wait for a connection, and for each time that nothing comes.
        """
        with _understood(requests.exceptions.ConnectTimeout):
            connection = self._kept(endpoint) or self._made(endpoint, connect)
        try:
            with _understood(requests.exceptions.ReadTimeout):
                if connection.sock.gettimeout() != read:
                    connection.sock.settimeout(read)
                connection.request(method, target, body, headers)
                head = connection.getresponse()
                exchanged = Exchanged(head, head.read())
        except BaseException:
            connection.close()
            raise
        if head.will_close:
            connection.close()
        else:
            self._idle.setdefault(endpoint, deque()).append((connection, time.monotonic()))
        return exchanged

    def close(self) -> None:
        """Close those that nobody uses. That happens, too, when nobody refers to them any more."""
        _close(self._idle)

    def _kept(self, endpoint: Endpoint) -> HTTPConnection | None:
        """Return the one that was used last and is open still."""
        idle = self._idle.get(endpoint, ())
        while idle:
            try:
                connection, since = idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if time.monotonic() < since + SURE or not _has_something_to_say(connection.sock):
                return connection
            connection.close()
        return None

    def _made(self, endpoint: Endpoint, timeout: Seconds | None) -> HTTPConnection:
        connection: HTTPConnection
        if endpoint.scheme == "https":
            context = self._context(endpoint.verify, endpoint.cert)
            connection = _OnePieceTls(endpoint.host, endpoint.port, timeout=timeout, context=context)
        else:
            connection = _OnePiece(endpoint.host, endpoint.port, timeout=timeout)
        try:
            connection.connect()
            for option in KEEP_ALIVE:
                connection.sock.setsockopt(*option)
        except BaseException:
            connection.close()
            raise
        return connection

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


def _close(idle: _Idle) -> None:
    for endpoint in list(idle):
        for connection, _ in idle.pop(endpoint):
            connection.close()


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
    except (OSError, HTTPException) as error:
        raise requests.exceptions.ConnectionError(str(error) or type(error).__name__) from error
    except ValueError as error:  # a host name or a header that cannot be sent
        raise requests.exceptions.InvalidURL(str(error)) from error
