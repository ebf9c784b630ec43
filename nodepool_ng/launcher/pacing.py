"""When to plan: at once for a request that has just come and may be served, otherwise once for all that happens in a
short while.

A node's life is some twenty events, and a plan looks at everything there is; planning for each event would cost more
than all the rest. And whatever happens, planning takes no more than its share of a core.
"""

from enum import IntEnum

from nodepool_ng.model.ids import Seconds

GATHER: Seconds = 0.1
"""How long after a plan other events than a new request wait, so that one plan is made for all of them. The first
event after a quiet while does not wait."""
GATHER_UNAWAITED: Seconds = 0.2
"""The same while no request waits for nodes: what is left to do is to delete used ones and to make others."""
GATHER_QUEUED: Seconds = 0.125
"""The same while requests queue, as where clouds are full, and nobody beside them waits: they wait for seconds, and
clouds are busy enough to have something happen all the time. Instants that have come wait with the events."""
LINGER: Seconds = 0.002
"""How long ZooKeeper's words are gathered meanwhile before the first of them is heard: to wake up for each is most of
what they cost."""
SHARE_OF_A_CORE = 0.4
"""What planning may take while events keep coming: where a plan takes 50 ms, there is one every 125. Only its own CPU
time counts: on a busy machine it is not slowed down a second time."""
SETTLE: Seconds = 0.02
"""How long at most a plan that is due waits for records which are being read. What a client writes at once comes as
several events: a plan made of the first alone is in vain, and what it starts may be lost."""
CREDIT: Seconds = 0.05
"""CPU time that may be used up at once after a quiet while."""

SHORTEST: Seconds = 0.001
"""Unix time has too few digits to wait for much less."""


class News(IntEnum):
    """How soon somebody wants a plan."""

    NONE = 0
    SOON = 1
    NOW = 2
    """A request came, or can be served again, and none like it waits already: somebody waits for milliseconds."""


class Pace:
    """The account of planning. Times are monotonic."""

    def __init__(self, now: Seconds) -> None:
        self._credit = CREDIT
        self._counted = now
        self._planned = now - GATHER_UNAWAITED
        self._due: Seconds | None = None
        """Since when a plan waits for nothing but records."""

    def wait(
        self, news: News, now: Seconds, *, reading: bool = False, awaited: bool = True, queued: bool = False
    ) -> Seconds:
        """Return how long a plan has to wait that is wanted by such news, while records are being read or not, and
        requests wait for nodes or not, or do nothing but queue for them; 0 when it may be made now."""
        self._credit = min(self._credit + (now - self._counted) * SHARE_OF_A_CORE, CREDIT)
        self._counted = now
        gather = GATHER_QUEUED if queued else GATHER if awaited else GATHER_UNAWAITED
        gathers = news is News.SOON or (queued and news is News.NONE)
        gathering = self._planned + gather - now if gathers else 0.0
        indebted = -self._credit / SHARE_OF_A_CORE
        wait = max(gathering, indebted)
        if wait < SHORTEST and reading and news is News.SOON:
            self._due = now if self._due is None else self._due
            wait = self._due + SETTLE - now
        return wait if wait >= SHORTEST else 0.0

    def planned(self, now: Seconds, worked: Seconds) -> None:
        """Book a plan that took so much CPU time."""
        self._planned = now
        self._due = None
        self._credit -= worked
