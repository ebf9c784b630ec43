"""What one pass works with: the snapshot, and the books that keep its decisions from contradicting each other."""

from dataclasses import dataclass, field

from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import ProviderName, RequestId
from nodepool_ng.model.reason import Reason
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.capacity import Ledger
from nodepool_ng.plan.eviction import Evictions
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.registry import Registry
from nodepool_ng.plan.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Desk:
    """`verdicts` says why each request waits; `short` are pools that something waits for."""

    s: Snapshot
    agenda: Agenda
    ledger: Ledger
    registry: Registry
    shelf: Shelf
    evictions: Evictions
    verdicts: dict[RequestId, tuple[Reason, ...]] = field(default_factory=dict)
    short: set[PoolKey] = field(default_factory=set)
    alarms: dict[ProviderName, str] = field(default_factory=dict)
    started: list[RequestId] = field(default_factory=list)
    """Requests that this pass begins to serve, in their order."""


def laid_out(s: Snapshot, agenda: Agenda) -> Desk:
    """Return a desk with fresh books; what the agenda has already is booked."""
    ledger = Ledger(s)
    shelf = Shelf(s, agenda)
    return Desk(s, agenda, ledger, Registry(s), shelf, Evictions(s, agenda, ledger, shelf))
