"""Finds out how fast each cloud can be asked, from its answers alone.

Until a cloud complains there is no limit. When it says "too often", the densest stretch of calls that it accepted
lately tells what it allows, and not how little it was asked before; that is the rate from then on, and it grows slowly,
since clouds forget to say when they can do more.
Answers that take longer and longer are a complaint, too: then fewer calls are under way at the same time.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from nodepool_ng.model.ids import ProviderName, Seconds, Timestamp
from nodepool_ng.model.pace import WIDEST, Pace, tokens_at

SLOWER = 0.95
"""A little below what was accepted: lists and others' calls need some of it."""
AT_LEAST = 0.5
"""What stays of a rate after one complaint: at a quiet time little is asked, and as little accepted."""
GROWTH = 1.02
"""By which the rate grows each second without a complaint."""
LOWEST: float = 0.2  # calls a second
FORGOTTEN_AFTER: Seconds = 600.0
"""Without a complaint for so long, there is no limit any more."""
IDLE_AFTER: Seconds = 10.0
REMEMBERED = 512
"""Accepted calls of which is known when."""
SAVED_UP: Seconds = 1.0
"""A cloud that was not limited before lets in at once what it allows in about so long; then as much as it allows."""
NARROWEST = 4
SLUGGISH = 4.0
"""So many times the usual latency, and at least `SLUGGISH_FROM`, is too slow."""
SLUGGISH_FROM: Seconds = 1.0


@dataclass(slots=True)
class _Known:
    rate: float = math.inf
    tokens: float = 1.0
    at: Timestamp = 0.0
    width: float = WIDEST
    accepted: deque[Timestamp] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """When calls were answered since the rate was last set."""
    complained: Timestamp | None = None
    held_until: Timestamp = 0.0
    saved_up: Seconds | None = None
    """What is added to the stretch that is measured next; None: there was no complaint since the rate was last set."""
    tried: float = math.inf
    """The rate that was too high."""
    last: Timestamp = -math.inf
    usual: Seconds = math.inf
    recent: Seconds = 0.0
    narrowed: Timestamp = 0.0


class Paces:
    """The pace of every provider, kept as calls are started and answered."""

    def __init__(self) -> None:
        self._known: dict[ProviderName, _Known] = {}

    def view(self, now: Timestamp) -> dict[ProviderName, Pace]:
        """Return what a planner goes by."""
        found = {}
        for provider, known in self._known.items():
            self._settle(known, now)
            found[provider] = Pace(rate=known.rate, tokens=known.tokens, at=known.at, width=int(known.width))
        return found

    def started(self, provider: ProviderName, now: Timestamp) -> None:
        known = self._known.setdefault(provider, _Known(at=now))
        known.last = now
        self._settle(known, now)
        known.tokens -= 1

    def accepted(self, provider: ProviderName, now: Timestamp, took: Seconds | None) -> None:
        """A call was answered, whatever the answer was; `took` is its latency where that tells something."""
        known = self._known.get(provider)
        if known is None:
            return
        known.accepted.append(now)
        if took is None:
            return
        known.usual = min(took, known.usual * 1.001)
        known.recent = took if not known.recent else 0.8 * known.recent + 0.2 * took
        if known.recent > max(SLUGGISH_FROM, SLUGGISH * known.usual):
            if now >= known.narrowed + known.recent:
                known.width = max(NARROWEST, known.width * 0.8)
                known.narrowed = now
        else:
            known.width = min(WIDEST, known.width + 1.0 / known.width)

    def complained(self, provider: ProviderName, now: Timestamp, retry_after: Seconds | None) -> None:
        """The cloud said that it was asked too often. What was under way then says so, too, and counts once."""
        known = self._known.get(provider)
        if known is None:
            return
        wait = 1.0 if retry_after is None else retry_after
        if now < known.held_until:
            return
        known.saved_up = SAVED_UP if math.isinf(known.rate) else 0.0
        if math.isinf(known.rate):
            known.rate = LOWEST
            known.tried = math.inf
        else:
            known.tried = known.rate
        known.tokens = 0.0
        known.at = known.held_until = now + wait
        known.complained = now

    def _measure(self, known: _Known) -> None:
        """Set the rate, once the answers to what was under way at a complaint have come."""
        assert known.complained is not None
        assert known.saved_up is not None
        measured = SLOWER * densest(known.accepted, known.complained, known.saved_up)
        least = 0.0 if math.isinf(known.tried) else known.tried * AT_LEAST
        known.rate = max(LOWEST, least, min(measured, known.tried * SLOWER))
        known.saved_up = None
        known.accepted.clear()

    def _settle(self, known: _Known, now: Timestamp) -> None:
        """Bring tokens and rate up to an instant."""
        if math.isinf(known.rate) or now <= known.at:
            return
        if known.saved_up is not None:
            self._measure(known)
        if known.complained is not None and now - known.complained > FORGOTTEN_AFTER:
            known.rate, known.tokens, known.at = math.inf, 1.0, now
            return
        pace = Pace(rate=known.rate, tokens=known.tokens, at=known.at)
        known.tokens = tokens_at(pace, now)
        if now - known.last < IDLE_AFTER:
            known.rate *= GROWTH ** (now - known.at)
        known.at = now


def densest(accepted: Iterable[Timestamp], until: Timestamp, saved_up: Seconds) -> float:
    """Return the most calls a second that were let in over any stretch that ends with a complaint and takes a second or
    more, `saved_up` added to it. What was answered after the complaint had been let in before it.
    """
    latest_first = sorted(accepted, reverse=True)
    stretches = ((count, max(until - since, 0.0) + saved_up) for count, since in enumerate(latest_first, 1))
    return max((count / max(long, 1.0) for count, long in stretches), default=0.0)
