"""The threads that call clouds: one elastic budget, shared so that a sick cloud stalls only itself."""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

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


_Job: TypeAlias = tuple[Call, Callable[[Any], None]]


class _Provider:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        """None tells a thread to end. To put something in never waits, and one thread wakes for it."""
        self.threads = 0
        self.submitted = 0
        self.answered = 0
        self.answering = threading.Lock()
        """Held to count an answer. Whoever submits reads the count without it: he may start a thread too many."""
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
        self._lock = threading.Lock()
        """Held only by those that submit, stop, or are a thread at its end, so that nobody waits for it."""
        self._providers: dict[ProviderName, _Provider] = {}
        self._total = 0
        self._stopped = threading.Event()

    def use(self, drivers: Mapping[ProviderName, Driver]) -> None:
        """From now on call these drivers; calls already queued for one that was replaced go to the new one."""
        with self._lock:
            for name, driver in drivers.items():
                if name in self._providers:
                    self._providers[name].driver = driver
                else:
                    self._providers[name] = _Provider(driver)

    def submit(self, provider: ProviderName, call: Call, done: Callable[[Any], None]) -> None:
        with self._lock:
            known = self._providers.get(provider)
            if known is not None and not self._stopped.is_set():
                known.submitted += 1
                known.jobs.put((call, done))
                if known.submitted - known.answered > known.threads and self._may_grow(known):
                    known.threads += 1
                    self._total += 1
                    threading.Thread(
                        target=self._work, args=(known,), name=f"api-{provider}-{known.threads}", daemon=True
                    ).start()
                return
        done(Unavailable(f"provider {provider} is not there"))

    def stop(self) -> None:
        """Answer what is queued with `Unavailable` and let the threads end after their present call."""
        with self._lock:
            self._stopped.set()
            known = list(self._providers.values())
        for provider in known:
            with contextlib.suppress(Empty):
                while True:
                    _refuse(provider.jobs.get_nowait())
            for _ in range(provider.threads):
                provider.jobs.put(None)

    @property
    def threads(self) -> int:
        return self._total

    def _may_grow(self, known: _Provider) -> bool:
        return known.threads < MOST_THREADS and (self._total < BUDGET or known.threads < LEAST)

    def _work(self, known: _Provider) -> None:
        while (job := self._next(known)) is not None:
            call, done = job
            answer = self._perform(known, call)
            with known.answering:
                known.answered += 1
            done(answer)

    def _next(self, known: _Provider) -> _Job | None:
        """Return the next job of the provider, or None when this thread is to end."""
        while True:
            try:
                job = known.jobs.get(timeout=IDLE)
            except Empty:
                job = None
            if job is not None and self._resumed(known):
                return job
            _refuse(job)
            with self._lock:
                if self._stopped.is_set() or known.jobs.empty():
                    known.threads -= 1
                    self._total -= 1
                    return None

    def _resumed(self, known: _Provider) -> bool:
        """Wait until the provider's pause is over; tell whether it was before the process stops."""
        while (paused := known.pause_until - self._clock.monotonic()) > 0:
            if self._stopped.wait(paused):
                return False
        return True

    def _perform(self, known: _Provider, call: Call) -> Any:
        try:
            return perform(known.connected(), call, self._clock.now())
        except Throttled as error:
            with known.answering:
                pause = self._clock.monotonic() + (1.0 if error.retry_after is None else error.retry_after)
                known.pause_until = max(known.pause_until, pause)
            return error
        except DriverError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the edge of a pool thread: it becomes an event
            _log.exception("A driver raised what it may not raise")
            return Unavailable(f"{type(error).__name__} in the driver; see the log")


def _refuse(job: _Job | None) -> None:
    if job is not None:
        job[1](Unavailable("the process is stopping"))
