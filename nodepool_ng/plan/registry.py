"""Who is there to serve a request: the registered pools, ours and others'."""

import functools
import hashlib
from collections.abc import Iterable

from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.ids import LabelName, PoolId
from nodepool_ng.model.snapshot import Snapshot

SOFTWARE = "nodepool_ng"
"""What our own pools carry in their registration."""


class Registry:
    """The registered pools as one pass sees them; look-ups by set of labels are made once each."""

    def __init__(self, s: Snapshot) -> None:
        self._pools = tuple(
            component
            for component in s.components.values()
            if component.kind == POOL and component.id and component.provider_name and component.name
        )
        self._leased = s.leased
        self.own = frozenset(s.pool_ids.values())
        self.paused_keys = frozenset(key_of(pool) for pool in self._pools if pool.paused and pool.software == SOFTWARE)
        self._by_labels: dict[frozenset[LabelName], tuple[Component, ...]] = {}
        self.ids = frozenset(pool.id for pool in self._pools if pool.id)

    def supporting(self, labels: frozenset[LabelName]) -> tuple[Component, ...]:
        """Return the registered pools that have all of the labels."""
        found = self._by_labels.get(labels)
        if found is None:
            found = tuple(pool for pool in self._pools if labels <= pool.supported_labels)
            self._by_labels[labels] = found
        return found

    def unanswered(self, declined_by: Iterable[PoolId]) -> list[Component]:
        """Return the registered pools that have not declined."""
        said = set(declined_by)
        return [pool for pool in self._pools if pool.id not in said]

    def elsewhere(self, pools: Iterable[Component]) -> list[Component]:
        """Return the pools that another launcher acts for. A standby's registration of a pool whose lease is ours
        is none of them, and neither is our own registration as a standby."""
        return [pool for pool in pools if pool.id not in self.own and not self._ours(pool)]

    def paused(self, pool: Component) -> bool:
        """Tell whether a pool has no room at the moment. Only the launcher that holds the lease publishes that, but
        it holds for its standbys' registrations too."""
        return pool.paused or (pool.software == SOFTWARE and key_of(pool) in self.paused_keys)

    def answered_for(self, key: PoolKey) -> tuple[PoolId, ...]:
        """Return the ids of all launchers' registrations of one pool of ours: the one that holds the lease answers
        for its standbys too."""
        return tuple(pool.id for pool in self._pools if pool.id and key_of(pool) == key and pool.software == SOFTWARE)

    def _ours(self, pool: Component) -> bool:
        return pool.software == SOFTWARE and pool.provider_name in self._leased


def key_of(pool: Component) -> PoolKey:
    """Return what names a registered pool in the whole installation."""
    assert pool.provider_name is not None
    assert pool.name is not None
    return pool.provider_name, pool.name


@functools.lru_cache(maxsize=1 << 16)
def rendezvous(thing: str, place: str) -> int:
    """Return the weight of a place for a thing; the highest weight has it. The same in every process, and when a
    place goes, only its own things move."""
    return int.from_bytes(hashlib.blake2b(f"{thing}\0{place}".encode(), digest_size=8).digest())
