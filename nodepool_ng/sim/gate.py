"""What every call to a region passes first: the counter, the pace, the faults.

The gate owns the region's settings, so that a change of them is seen by all of it at once. It draws one
random number for a call that has faults configured and none for the others, so a region's luck does not
change when calls without faults are added.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from nodepool_ng.sim.calls import Call, Fate
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.settings import Fault, RateLimit, RegionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A token bucket as it was at one moment."""

    left: float
    at: float  # seconds


def take(tokens: Tokens | None, limit: RateLimit, *, now: float) -> tuple[Tokens, float]:
    """Return the bucket after one call, and the seconds until the call would be allowed (0: it is)."""
    pace = limit.calls / limit.seconds
    left = float(limit.calls)
    if tokens is not None:
        left = min(left, tokens.left + max(0.0, now - tokens.at) * pace)
    if left >= 1:
        return Tokens(left=left - 1, at=now), 0.0
    return Tokens(left=left, at=now), (1 - left) / pace


@dataclass(frozen=True, slots=True)
class _Pending:
    fault: Fault
    left: int | None  # calls it will still hit; None: for ever


class Gate:
    """The counters, the rate limit and the faults of one region."""

    def __init__(self, settings: RegionSettings, rng: random.Random) -> None:
        self.settings = settings
        self.rng = rng
        self.calls: Counter[Call] = Counter()
        self.refusals: Counter[tuple[Call, int]] = Counter()
        self._tokens: Tokens | None = None
        self._scripted: tuple[_Pending, ...] = ()
        self._standing = _pending(settings.faults)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0

    def change(self, settings: RegionSettings) -> None:
        """Put new settings into force; faults that were scripted meanwhile stay."""
        if settings.faults != self.settings.faults:
            self._standing = _pending(settings.faults)
        self.settings = settings

    def script(self, faults: Iterable[Fault]) -> None:
        """Let these faults happen before those of the settings."""
        self._scripted += _pending(faults)

    def forget_script(self) -> None:
        """Drop the scripted faults that have not happened yet."""
        self._scripted = ()

    def latency(self, call: Call) -> float:
        """Return how long this call takes, in seconds, without what depends on the size of the answer."""
        latency = self.settings.latency
        fault = self._draw(call, slow=True)
        return latency.calls.get(call, latency.default).draw(self.rng) + (fault.seconds if fault else 0.0)

    def latency_of_items(self, call: Call, items: int) -> float:
        """Return what the number of things in the answer adds to the time of the call, in seconds."""
        latency = self.settings.latency
        return latency.calls.get(call, latency.default).per_item * items

    def at(self, when: float, effect: Callable[[], None]) -> None:
        """Let something happen at a later time; it does so when that time is next looked at."""
        self._entries += 1
        heapq.heappush(self._agenda, (when, self._entries, effect))

    def settle(self, now: float) -> None:
        """Let everything happen that is due by now."""
        while self._agenda and self._agenda[0][0] <= now:
            heapq.heappop(self._agenda)[2]()

    def enter(self, call: Call, now: float) -> Fault | None:
        """Let one call in; return the fault it is to meet.

        Raises Refused: 429 above the rate limit, or what a fault says.
        """
        self.settle(now)
        self.calls[call] += 1
        with self.counting(call):
            self._pace(now)
            fault = self._draw(call, slow=False)
            if fault is not None and fault.fate is Fate.REFUSED:
                raise Refused(fault.status, fault.message, fault.retry_after)
        return fault

    def leave(self, call: Call, fault: Fault | None) -> None:
        """Let the answer of a call out, unless it gets lost (Refused)."""
        if fault is not None and fault.fate is Fate.ANSWER_LOST:
            self.refusals[call, fault.status] += 1
            raise Refused(fault.status, fault.message, fault.retry_after)

    @contextmanager
    def passing(self, call: Call, now: float) -> Iterator[Fault | None]:
        """Enter, do the body, leave; refusals of the body are counted too."""
        fault = self.enter(call, now)
        with self.counting(call):
            yield fault
        self.leave(call, fault)

    @contextmanager
    def counting(self, call: Call) -> Iterator[None]:
        """Count the refusals of the body as those of a call that has been let in before."""
        try:
            yield
        except Refused as refused:
            self.refusals[call, refused.status] += 1
            raise

    def _pace(self, now: float) -> None:
        limit = self.settings.rate_limit
        if limit is None:
            return
        self._tokens, wait = take(self._tokens, limit, now=now)
        if wait:
            seconds = max(1, math.ceil(wait)) if limit.retry_after is None else limit.retry_after
            raise Refused(429, "This request was rate-limited.", seconds)

    def _draw(self, call: Call, *, slow: bool) -> Fault | None:
        for pending in (self._scripted, self._standing):
            if any(_meant(one.fault, call, slow) for one in pending):
                break
        else:
            return None
        luck = self.rng.random()
        for one in self._scripted + self._standing:
            if not _meant(one.fault, call, slow):
                continue
            if luck < one.fault.probability:
                self._use_up(one)
                return one.fault
            luck -= one.fault.probability
        return None

    def _use_up(self, used: _Pending) -> None:
        if used.left is None:
            return
        left = [replace(used, left=used.left - 1)] if used.left > 1 else []
        self._scripted = _replaced(self._scripted, used, left)
        self._standing = _replaced(self._standing, used, left)


def _pending(faults: Iterable[Fault]) -> tuple[_Pending, ...]:
    return tuple(_Pending(fault, fault.times) for fault in faults)


def _meant(fault: Fault, call: Call, slow: bool) -> bool:
    return fault.call is call and (fault.fate is Fate.SLOW) == slow


def _replaced(row: tuple[_Pending, ...], old: _Pending, new: list[_Pending]) -> tuple[_Pending, ...]:
    return tuple(one for each in row for one in (new if each is old else [each]))
