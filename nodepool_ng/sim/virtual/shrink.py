"""The shortest history that still fails: events are left out, one after the other, as long as the same promise is
broken without them."""

from collections.abc import Iterable
from dataclasses import replace

from nodepool_ng.sim.virtual.history import History, Verdict, play


def kept(history: History, events: Iterable[int]) -> History:
    """Return a history with only some of its events, which are counted from 0."""
    wanted = set(events)
    return replace(history, events=tuple(event for at, event in enumerate(history.events) if at in wanted))


def shortest(history: History, verdict: Verdict) -> tuple[tuple[int, ...], Verdict]:
    """Return the events that it takes to break the same promise, and what comes of them alone."""
    promise = verdict.breaches[0].promise
    needed = list(range(len(history.events)))
    size = max(len(needed) // 2, 1)
    while True:
        dropped = False
        for start in range(0, len(needed), size):
            fewer = needed[:start] + needed[start + size :]
            tried = play(kept(history, fewer))
            if tried.breaches and tried.breaches[0].promise is promise:
                needed, verdict, dropped = fewer, tried, True
                break
        if not dropped:
            if size == 1:
                return tuple(needed), verdict
            size //= 2
