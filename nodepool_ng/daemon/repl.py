"""A Python console inside a running daemon, for those who develop it: `--repl`, as Nodepool 11 has it.

It listens on this machine only and asks nobody for a password: whoever may connect may do everything that the daemon
may. So there is none unless it is asked for.
"""

import code
import io
import logging
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO

PORT = 3000
_log = logging.getLogger("nodepool.repl")


class _Divided(io.TextIOBase):
    """Standard output that each thread may lead elsewhere."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual
        self.here = threading.local()

    def write(self, text: str) -> int:
        return int(getattr(self.here, "out", self.usual).write(text))

    def flush(self) -> None:
        getattr(self.here, "out", self.usual).flush()


class _Console(code.InteractiveConsole):
    def __init__(self, names: Mapping[str, Any], lines: TextIO, out: TextIO) -> None:
        super().__init__({**names, "__name__": "__console__"})
        self._lines, self._out = lines, out

    def write(self, data: str) -> None:
        self._out.write(data)
        self._out.flush()

    def raw_input(self, prompt: object = "") -> str:
        self.write(str(prompt))
        line = self._lines.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


class Repl:
    """Consoles for whoever connects; `names` are what they find there."""

    def __init__(self, names: Mapping[str, Any], port: int = PORT) -> None:
        divided = _Divided(sys.stdout)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines = io.TextIOWrapper(self.rfile, "utf-8", "replace", newline="\n")  # type: ignore[type-var]
                out = io.TextIOWrapper(self.wfile, "utf-8", "backslashreplace", write_through=True)  # type: ignore[type-var]
                divided.here.out = out
                # exit() ends the console, not the daemon; so does a connection that is closed.
                with suppress(SystemExit, OSError):
                    _Console(names, lines, out).interact("The names here: " + ", ".join(sorted(names)), "")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._divided = divided
        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="repl", daemon=True)
        self.port = int(self._server.server_address[1])

    def start(self) -> None:
        sys.stdout = self._divided
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        sys.stdout = self._divided.usual


@contextmanager
def console(daemon: object, *, wanted: bool) -> Iterator[None]:
    """A console for as long as the block lasts, if one is wanted; a port that is taken is no reason not to start."""
    repl: Repl | None = None
    if wanted:
        try:
            repl = Repl({"daemon": daemon})
            repl.start()
        except OSError as error:
            _log.error("There is no console: port %d cannot be had: %s", PORT, error)
    try:
        yield
    finally:
        if repl is not None:
            repl.stop()
