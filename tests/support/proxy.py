"""A TCP proxy that can cut, refuse and withhold: the weather between a client and a server."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable


class Proxy:
    """Forwards a free loopback port, or what a given socket listens on, to another. One thread; ended by `close`.
    `begin` is called first in that thread."""

    def __init__(
        self, target: tuple[str, int], listener: socket.socket | None = None, begin: Callable[[], None] | None = None
    ) -> None:
        self._target = target
        self._begin = begin
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._door, self._bell = socket.socketpair()
        self._selector.register(self._door, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._refusing = self._holding = self._closed = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Close every connection and accept no new one until `mend`."""
        with self._lock:
            self._refusing = True
            for one in list(self._pairs):
                self._part(one)

    def mend(self) -> None:
        with self._lock:
            self._refusing = self._holding = False
        self._bell.send(b"x")

    def reset(self) -> None:
        """Close every connection, as a router does that lost its table; new ones are welcome."""
        with self._lock:
            for one in list(self._pairs):
                self._part(one)

    def hold(self) -> None:
        """Keep the connections, but let nothing through any more."""
        with self._lock:
            self._holding = True

    def close(self) -> None:
        self._closed = True
        self._bell.send(b"x")
        self._thread.join()
        for one in (*self._pairs, self._listener, self._door, self._bell):
            one.close()
        self._selector.close()

    def _run(self) -> None:
        if self._begin is not None:
            self._begin()
        while not self._closed:
            ready = [key.fileobj for key, _ in self._selector.select()]
            with self._lock:
                for one in ready:
                    if one is self._door:
                        self._door.recv(100)
                        self._resume()
                    elif one is self._listener:
                        self._accept()
                    elif one in self._pairs:
                        self._forward(one)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._refusing:
            client.close()
            return
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        self._pairs[client], self._pairs[server] = server, client
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        if self._holding:
            self._selector.unregister(source)
            return
        try:
            data = source.recv(65536)
            if data:
                self._pairs[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._part(source)

    def _resume(self) -> None:
        for one in self._pairs:
            with contextlib.suppress(KeyError):
                self._selector.unregister(one)
            self._selector.register(one, selectors.EVENT_READ)

    def _part(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for end in (one, other):
            with contextlib.suppress(KeyError):
                self._selector.unregister(end)
            end.close()
