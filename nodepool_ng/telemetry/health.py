"""Whether each loop of a process goes round: those with a rhythm beat, others are asked."""

import threading
from collections.abc import Callable

from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import Seconds


class Health:
    """Loops by name. May be told and asked from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[str, tuple[Seconds, float]] = {}
        self._probes: dict[str, Callable[[], str | None]] = {}

    def expect(self, name: str, within: Seconds) -> None:
        """Expect a beat at least so often, beginning now."""
        with self._lock:
            self._beats[name] = (within, self._clock.monotonic())

    def beat(self, name: str) -> None:
        """Tell that a loop went round; one that nobody expects is let pass."""
        with self._lock:
            if name in self._beats:
                self._beats[name] = (self._beats[name][0], self._clock.monotonic())

    def probe(self, name: str, ask: Callable[[], str | None]) -> None:
        """Ask `ask` for what is wrong with a loop; None when nothing is."""
        with self._lock:
            self._probes[name] = ask

    def troubles(self) -> dict[str, str | None]:
        """Return for each loop what is wrong with it, or None."""
        now = self._clock.monotonic()
        with self._lock:
            beats, probes = dict(self._beats), dict(self._probes)
        found = {name: _late(now - last, within) for name, (within, last) in beats.items()}
        return found | {name: ask() for name, ask in probes.items()}


def _late(since: Seconds, within: Seconds) -> str | None:
    return None if since <= within else f"has not gone round for {since:.0f} s"
