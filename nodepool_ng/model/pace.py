"""How fast a cloud may be asked: what a planner goes by when it starts calls."""

import math
from dataclasses import dataclass

from nodepool_ng.model.ids import Seconds, Timestamp

MOST_THREADS = 48
"""Threads that call one provider at the same time, at most; each has a connection of its own."""
WIDEST = 2 * MOST_THREADS
"""Calls to one provider that are started and not answered: some wait for a thread, so that none of these idles while
the next plan gathers what it is made for."""
SHORTEST_WAIT: Seconds = 0.1
"""Nobody wakes more often than that for another call."""
BURST_SHARE = 0.25
"""Calls that may be started at once after a pause, as a share of a second's worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`rate` is in calls a second, infinite until the cloud said that it was asked too often. `tokens` are the calls
    that might be started at `at`; below zero they are owed. `width` limits the calls that are under way."""

    rate: float = math.inf
    tokens: float = 1.0
    at: Timestamp = 0.0
    width: int = WIDEST


UNLIMITED = Pace()


def tokens_at(pace: Pace, now: Timestamp) -> float:
    """Return how many calls may be started; infinite where nothing limits them."""
    if math.isinf(pace.rate):
        return math.inf
    return min(max(1.0, pace.rate * BURST_SHARE), pace.tokens + (now - pace.at) * pace.rate)


def ready_at(pace: Pace, tokens: float, now: Timestamp) -> Timestamp:
    """Return when there will be a whole token, of which there are `tokens` now."""
    return now + max(SHORTEST_WAIT, (1.0 - tokens) / pace.rate)
