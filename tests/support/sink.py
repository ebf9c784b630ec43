"""A statsd server that only writes down what it hears."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Sink:
    """Metrics as they came, and how often: `name|type`, or with values."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.lines: list[str] = []
        self.longest = 0
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    @property
    def names(self) -> Counter[str]:
        """How often each name came with each type."""
        return Counter(f"{line.rpartition(':')[0]}|{line.rpartition('|')[2]}" for line in tuple(self.lines))

    def last(self, name: str) -> str | None:
        """Return the last value of a name, with its type."""
        return next((line[len(name) + 1 :] for line in reversed(self.lines) if line.startswith(f"{name}:")), None)

    def wait(self, condition: Callable[[], bool], what: str, patience: float = 30.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, patience), (what, self.lines[-50:])

    def _listen(self) -> None:
        while data := self._socket.recv(65536):
            with self._changed:
                self.longest = max(self.longest, len(data))
                self.lines += data.decode().split("\n")
                self._changed.notify_all()


@contextmanager
def sink() -> Iterator[Sink]:
    made = Sink()
    made.start()
    try:
        yield made
    finally:
        made.stop()
