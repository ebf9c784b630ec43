"""Virtual time: a clock that only moves when the next thing is due."""

import heapq
import itertools
from collections.abc import Callable

from nodepool_ng.model.ids import Seconds, Timestamp

EPOCH: Timestamp = 1_800_000_000.0
"""When every simulation begins; an arbitrary instant, the same for all."""


class Timeline:
    """Runs callbacks at their instants, in the order they were scheduled where those are equal. Also a `Clock`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> Timestamp:
        return EPOCH + self._now

    def monotonic(self) -> float:
        return self._now

    def worked(self) -> float:
        return 0.0

    def schedule(self, delay: Seconds, callback: Callable[[], None]) -> None:
        """Have something called after so many seconds."""
        heapq.heappush(self._agenda, (self._now + max(delay, 0.0), next(self._numbers), callback))

    def schedule_at(self, at: Timestamp, callback: Callable[[], None]) -> None:
        """Have something called at an instant, at once if it has passed."""
        self.schedule(at - self.now(), callback)

    def run(self, seconds: Seconds) -> int:
        """Let so much time pass; return how many callbacks were called."""
        return self.run_until(lambda: False, self._now + seconds)

    def run_until(self, reached: Callable[[], bool], end: float) -> int:
        """Go on until something holds, or else until an instant of the monotonic clock; return how many were called."""
        called = 0
        while self._agenda and self._agenda[0][0] <= end and not reached():
            self._now, _, callback = heapq.heappop(self._agenda)
            callback()
            called += 1
        if not reached():
            self._now = max(self._now, end)
        return called

    def wait_for(self, reached: Callable[[], bool], patience: Seconds) -> bool:
        """Let time pass until something holds; tell whether it did within `patience` seconds."""
        self.run_until(reached, self._now + patience)
        return reached()
