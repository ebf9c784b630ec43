"""The threads that call clouds: one elastic budget, shared so that a sick cloud stalls only itself."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from nodepool_ng.drivers import Driver, DriverError, Throttled, Unavailable
from nodepool_ng.drivers.calls import Call, perform
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.pace import MOST_THREADS

BUDGET = 60
"""Threads in one process, at most."""
LEAST = 4
"""Threads that one provider may have even when the others use up the budget."""
IDLE = 20.0
"""Seconds after which a thread without work ends."""

_log = logging.getLogger("nodepool.api")


class _Provider:
    def __init__(self, driver: Driver, lock: threading.RLock) -> None:
        self.driver = driver
        self.work = threading.Condition(lock)
        """Told of each new call; one thread wakes for one call."""
        self.queue: deque[tuple[Call, Callable[[Any], None]]] = deque()
        self.threads = 0
        self.idle = 0
        self.pause_until = 0.0
        self._connected: Driver | None = None
        self._connecting = threading.Lock()

    def connected(self) -> Driver:
        """Return the driver, logged in; raises what its `connect` raises, and tries again the next time."""
        driver = self.driver
        if self._connected is not driver:
            with self._connecting:
                if self._connected is not driver:
                    driver.connect()
                    self._connected = driver
        return driver


class ApiThreads:
    """Calls drivers. Each provider has a queue of its own; its bound is what the planner starts at once.

    When a cloud answers "too often", calls to it wait for as long as it said before the next one is made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._providers: dict[ProviderName, _Provider] = {}
        self._total = 0
        self._stopping = False

    def use(self, drivers: Mapping[ProviderName, Driver]) -> None:
        """From now on call these drivers; calls already queued for one that was replaced go to the new one."""
        with self._lock:
            for name, driver in drivers.items():
                if name in self._providers:
                    self._providers[name].driver = driver
                else:
                    self._providers[name] = _Provider(driver, self._lock)

    def submit(self, provider: ProviderName, call: Call, done: Callable[[Any], None]) -> None:
        with self._lock:
            known = self._providers.get(provider)
            if known is None or self._stopping:
                done(Unavailable(f"provider {provider} is not there"))
                return
            known.queue.append((call, done))
            if len(known.queue) > known.idle and self._may_grow(known):
                known.threads += 1
                self._total += 1
                threading.Thread(
                    target=self._work, args=(known,), name=f"api-{provider}-{known.threads}", daemon=True
                ).start()
            else:
                known.work.notify()

    def stop(self) -> None:
        """Answer what is queued with `Unavailable` and let the threads end after their present call."""
        with self._lock:
            self._stopping = True
            for known in self._providers.values():
                while known.queue:
                    known.queue.popleft()[1](Unavailable("the process is stopping"))
                known.work.notify_all()

    @property
    def threads(self) -> int:
        return self._total

    def _may_grow(self, known: _Provider) -> bool:
        return known.threads < MOST_THREADS and (self._total < BUDGET or known.threads < LEAST)

    def _work(self, known: _Provider) -> None:
        while (job := self._next(known)) is not None:
            call, done = job
            done(self._perform(known, call))

    def _next(self, known: _Provider) -> tuple[Call, Callable[[Any], None]] | None:
        """Return the next job of the provider, or None when this thread is to end."""
        with self._lock:
            waited_from = self._clock.monotonic()
            while not self._stopping:
                now = self._clock.monotonic()
                paused = known.pause_until - now
                if known.queue and paused <= 0:
                    return known.queue.popleft()
                left = paused if known.queue else waited_from + IDLE - now
                if left <= 0:
                    break
                known.idle += 1
                known.work.wait(left)
                known.idle -= 1
            known.threads -= 1
            self._total -= 1
            return None

    def _perform(self, known: _Provider, call: Call) -> Any:
        try:
            return perform(known.connected(), call, self._clock.now())
        except Throttled as error:
            with self._lock:
                pause = self._clock.monotonic() + (1.0 if error.retry_after is None else error.retry_after)
                known.pause_until = max(known.pause_until, pause)
            return error
        except DriverError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the edge of a pool thread: it becomes an event
            _log.exception("A driver raised what it may not raise")
            return Unavailable(f"{type(error).__name__} in the driver; see the log")
