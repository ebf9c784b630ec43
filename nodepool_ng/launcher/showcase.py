"""The hand-over of views: other threads ask, the reconciler's thread answers when it comes round.

Nobody but the reconciler touches its dictionaries, and it makes no view that nobody asked for: an asker posts one
letter, all who ask until it is dealt with get the same view, and one that is younger than a tenth of a second is
handed out again.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.view import View

FRESH: Seconds = 0.1


class Show:
    """The letter that asks the reconciler's thread to call `put`."""


class Showcase:
    def __init__(self, post: Callable[[Show], None], clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[Future[View]] = []
        self._latest: View | None = None
        self._put_at = 0.0

    @property
    def latest(self) -> View | None:
        """The view that was made last, however old."""
        return self._latest

    def look(self) -> Future[View]:
        """Return where a fresh view is, or will be. From any thread; the future may be waited for with a timeout."""
        future: Future[View] = Future()
        with self._lock:
            if self._latest is not None and self._clock.monotonic() - self._put_at < FRESH:
                future.set_result(self._latest)
                return future
            self._waiting.append(future)
            first = len(self._waiting) == 1
        if first:
            self._post(Show())
        return future

    def put(self, view: View) -> None:
        """Answer everybody who asked. On the reconciler's thread."""
        with self._lock:
            self._latest = view
            self._put_at = self._clock.monotonic()
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(view)
