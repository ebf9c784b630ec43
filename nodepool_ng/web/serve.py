"""The web server's thread."""

import asyncio
import contextlib
import logging
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.settings import WebSettings

BACKLOG = 512
LISTEN_AGAIN: Seconds = 5.0
STOP_PATIENCE: Seconds = 5.0

_log = logging.getLogger("nodepool.webapp")


def listen(address: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    # asyncio switches Nagle's algorithm off only where a socket says that it is TCP; otherwise every answer with a
    # body waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class WebServer:
    """Serves an application from a thread of its own. A port that is taken is asked for again and again: the launcher
    has more important things to do than to fail for want of a web page."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._settings = settings
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=1,
                backlog=BACKLOG,
            )
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self.listening = threading.Event()
        self.port = settings.port
        """The port in use, once it listens; of interest where port 0 was asked for."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.should_exit = True
        self._thread.join(STOP_PATIENCE)

    def _run(self) -> None:
        listener = self._listener()
        if listener is None:
            return
        with contextlib.closing(listener):
            self.port = listener.getsockname()[1]
            _log.info("Web pages are at port %d of %s", self.port, self._settings.listen_address)
            self.listening.set()
            asyncio.run(self._server.serve(sockets=[listener]))

    def _listener(self) -> socket.socket | None:
        told = False
        while not self._stopping.is_set():
            try:
                return listen(self._settings.listen_address, self._settings.port)
            except OSError as error:
                if not told:
                    where = f"{self._settings.listen_address} port {self._settings.port}"
                    _log.warning("No web pages yet: %s cannot be had: %s; trying on", where, error)
                told = True
            self._stopping.wait(LISTEN_AGAIN)
        return None
