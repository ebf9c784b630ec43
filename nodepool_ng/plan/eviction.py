"""Which spare nodes give up their places for a request that waits: the fewest that help, and only if they do."""

from collections import deque
from collections.abc import Iterator

from nodepool_ng.model.action import RetireNode
from nodepool_ng.model.census import LEAVING, PoolKey
from nodepool_ng.model.ids import NodeId, ProviderName
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import NONE, Resources, left, total
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.capacity import Ledger
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.serving import Offer
from nodepool_ng.plan.shelf import Shelf


class Evictions:
    """Keeps, through one pass, what is on its way out of each pool and what could be sent after it."""

    def __init__(self, s: Snapshot, agenda: Agenda, ledger: Ledger, shelf: Shelf) -> None:
        self._s = s
        self._ledger = ledger
        self._shelf = shelf
        self._leaving = s.nodes.leaving()
        self._leaving_there: dict[ProviderName, Resources] = {}
        self._in_the_end: dict[PoolKey, tuple[Resources, Resources]] = {}
        self._pools: dict[ProviderName, list[PoolKey]] = {}
        for pool in s.nodes.spare:
            self._pools.setdefault(pool[0], []).append(pool)
        self._kept: set[NodeId] = set()
        for action in (*s.in_flight.values(), *agenda.actions):
            node = s.nodes.nodes.get(action.node) if isinstance(action, RetireNode) else None
            if node is not None and node.state not in LEAVING:
                self._send_away(node)
        self._spares: dict[PoolKey, deque[Node]] = {}
        self._all_spare: dict[PoolKey, Resources] = {}
        self._all_spare_there: dict[ProviderName, Resources] = {}

    def make_room(self, offer: Offer) -> tuple[Node, ...] | None:
        """Return the nodes that are to go so that the offer can start once they are gone.

        Empty when what is on its way out suffices already; None when nothing can be done: even all spare nodes would
        not do, or launches in flight have to show in records first. Nodes that the offer would use itself are kept,
        from those who ask later too.
        """
        self._kept.update(offer.nodes)
        key = offer.pool.key
        pools = self._pools.get(key[0])
        if not pools or key[0] in self._ledger.unsettled:
            return None
        here = self._leaving.get(key, NONE)
        there = self._leaving_in(key[0])
        if not self._short(offer, here, there):
            return ()
        if self._short(offer, *self._once_all_are_gone(key)):
            return None
        chosen: list[Node] = []
        for node in self._candidates(offer, pools):
            uses = self._s.nodes.uses(node.id)
            chosen.append(node)
            there += uses
            here += uses if node.pool == key[1] else NONE
            if not self._short(offer, here, there):
                break
        else:
            return None
        needed = []
        for node in chosen[:-1]:
            uses = self._s.nodes.uses(node.id)
            without = left(here, uses) if node.pool == key[1] else here, left(there, uses)
            if self._short(offer, *without):
                needed.append(node)
            else:
                here, there = without
        needed.append(chosen[-1])  # without it the others did not suffice
        for node in needed:
            self._send_away(node)
        return tuple(needed)

    def _short(self, offer: Offer, here: Resources, there: Resources) -> bool:
        """Tell whether the offer could not start even with more room in its pool and provider."""
        return self._ledger.lacks(offer.pool, offer.needs, in_pool=here, in_provider=there)

    def _leaving_in(self, provider: ProviderName) -> Resources:
        found = self._leaving_there.get(provider)
        if found is None:
            found = total(amounts for key, amounts in self._leaving.items() if key[0] == provider)
            self._leaving_there[provider] = found
        return found

    def _candidates(self, offer: Offer, pools: list[PoolKey]) -> Iterator[Node]:
        """Yield the spare nodes of the pool, then those of the provider's other pools: they use the same quota."""
        for key in sorted(pools, key=lambda key: (key != offer.pool.key, key)):
            spares = self._spares.get(key)
            if spares is None:
                spares = self._spares[key] = deque(self._s.nodes.spare[key].values())
            # What is not to be had once is not to be had in this pass any more.
            while spares and not self._is_candidate(spares[0]):
                spares.popleft()
            yield from filter(self._is_candidate, spares)

    def _is_candidate(self, node: Node) -> bool:
        return node.id not in self._kept and self._shelf.has(node)

    def _at_most(self, key: PoolKey) -> Resources:
        """Return what a pool's spare nodes use: no more than that can be had by sending them away."""
        amounts = self._all_spare.get(key)
        if amounts is None:
            amounts = self._all_spare[key] = total(map(self._s.nodes.uses, self._s.nodes.spare.get(key, ())))
        return amounts

    def _at_most_in(self, provider: ProviderName) -> Resources:
        amounts = self._all_spare_there.get(provider)
        if amounts is None:
            amounts = self._all_spare_there[provider] = total(map(self._at_most, self._pools[provider]))
        return amounts

    def _once_all_are_gone(self, key: PoolKey) -> tuple[Resources, Resources]:
        """Return what will be free besides, in a pool and in its provider, if all spare nodes are sent away too."""
        amounts = self._in_the_end.get(key)
        if amounts is None:
            here = self._leaving.get(key, NONE) + self._at_most(key)
            amounts = self._in_the_end[key] = here, self._leaving_in(key[0]) + self._at_most_in(key[0])
        return amounts

    def _send_away(self, node: Node) -> None:
        self._in_the_end.clear()
        if node.provider is not None and node.pool is not None:
            key = (node.provider, node.pool)
            self._leaving[key] = self._leaving.get(key, NONE) + self._s.nodes.uses(node.id)
            self._leaving_there.pop(node.provider, None)
