"""All nodes with the sums and indexes that decisions need, kept as records change.

The owner calls `put` and `drop`; everybody else only reads. A pass of the planner must not walk through thousands
of nodes that need nothing, so the ones that may need something are found by state here.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from nodepool_ng.model.gate import proves
from nodepool_ng.model.ids import LabelName, NodeId, PoolName, ProviderName, RequestId, TenantName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import NONE, Resources

PoolKey: TypeAlias = tuple[ProviderName, PoolName]
ZoneName: TypeAlias = str
_Key = TypeVar("_Key")

_LAUNCHING = (NodeState.INIT, NodeState.BUILDING)
LEAVING = frozenset({NodeState.USED, NodeState.FAILED, NodeState.ABORTED, NodeState.DELETING, NodeState.DELETED})
"""States of nodes that are done with and on their way out."""


class Census:
    """Nodes by id, by state, by request and by pool; resources in use by provider, pool and tenant.

    `cost` tells what a node uses when its record does not say (a client may have dropped the key).
    """

    def __init__(self, cost: Callable[[Node], Resources]) -> None:
        self._cost = cost
        self.nodes: dict[NodeId, Node] = {}
        self.by_state: dict[NodeState, dict[NodeId, Node]] = {state: {} for state in NodeState}
        self.by_request: dict[RequestId, dict[NodeId, Node]] = {}
        self.allocated: dict[NodeId, Node] = {}
        """Ready nodes that are somebody's: picked for a request, or handed out and not yet taken."""
        self.spare: dict[PoolKey, dict[NodeId, Node]] = {}
        """Ready nodes that are nobody's, those first that have been so for longest."""
        self.shelves: dict[tuple[PoolKey, LabelName], dict[ZoneName | None, dict[NodeId, Node]]] = {}
        """The same by label and zone."""
        self.warm: dict[LabelName, dict[PoolKey, int]] = {}
        """How many nodes of a label are nobody's: ready, or on their way to be."""
        self.launching: dict[ProviderName, int] = {}
        """How many nodes are init or building."""
        self._counted: dict[NodeId, Resources] = {}
        self._by_provider: dict[ProviderName, dict[str, float]] = {}
        self._by_pool: dict[PoolKey, dict[str, float]] = {}
        self._by_tenant: dict[TenantName, dict[str, float]] = {}
        self._leaving: dict[PoolKey, dict[str, float]] = {}

    @classmethod
    def of(cls, nodes: Iterable[Node], cost: Callable[[Node], Resources] = lambda node: NONE) -> "Census":
        census = cls(cost)
        for node in nodes:
            census.put(node)
        return census

    def put(self, node: Node) -> None:
        """Take in a new or changed record."""
        self.drop(node.id)
        self.nodes[node.id] = node
        self.by_state[node.state][node.id] = node
        if node.allocated_to is not None:
            self.by_request.setdefault(node.allocated_to, {})[node.id] = node
            if node.state is NodeState.READY:
                self.allocated[node.id] = node
        if node.provider is None:
            return
        if node.pool is not None:
            self._sort_in(node, (node.provider, node.pool))
        if node.state in _LAUNCHING:
            self.launching[node.provider] = self.launching.get(node.provider, 0) + 1
        used = node.resources if node.resources is not None else self._cost(node)
        self._counted[node.id] = used
        self._count(node, used, 1)

    def drop(self, node_id: NodeId) -> None:
        """Forget a record; nothing happens where there is none."""
        node = self.nodes.pop(node_id, None)
        if node is None:
            return
        del self.by_state[node.state][node_id]
        if node.allocated_to is not None:
            _discard(self.by_request, node.allocated_to, node_id)
            self.allocated.pop(node_id, None)
        if node.provider is None:
            return
        if node.pool is not None:
            self._sort_out(node, (node.provider, node.pool))
        if node.state in _LAUNCHING:
            self.launching[node.provider] -= 1
        self._count(node, self._counted.pop(node_id), -1)

    def of_request(self, request: RequestId) -> tuple[Node, ...]:
        return tuple(self.by_request.get(request, {}).values())

    def in_state(self, *states: NodeState) -> tuple[Node, ...]:
        return tuple(node for state in states for node in self.by_state[state].values())

    def uses(self, node_id: NodeId) -> Resources:
        """Return what a node is counted with."""
        return self._counted.get(node_id, NONE)

    def used_in_provider(self, provider: ProviderName) -> Resources:
        return Resources(self._by_provider.get(provider, {}))

    def used_in_pool(self, key: PoolKey) -> Resources:
        return Resources(self._by_pool.get(key, {}))

    def used_by_tenant(self, tenant: TenantName) -> Resources:
        return Resources(self._by_tenant.get(tenant, {}))

    def leaving(self) -> dict[PoolKey, Resources]:
        """Return, for each pool, what those of its nodes use that are on their way out."""
        return {key: Resources(amounts) for key, amounts in self._leaving.items()}

    def _sort_in(self, node: Node, key: PoolKey) -> None:
        if node.free:
            self.spare.setdefault(key, {})[node.id] = node
            for label in node.labels:
                self.shelves.setdefault((key, label), {}).setdefault(node.az, {})[node.id] = node
        if _warm(node):
            for label in dict.fromkeys(node.labels):
                pools = self.warm.setdefault(label, {})
                pools[key] = pools.get(key, 0) + 1

    def _sort_out(self, node: Node, key: PoolKey) -> None:
        if node.free:
            _discard(self.spare, key, node.id)
            for label in dict.fromkeys(node.labels):
                _discard(self.shelves[key, label], node.az, node.id)
                if not self.shelves[key, label]:
                    del self.shelves[key, label]
        if _warm(node):
            for label in dict.fromkeys(node.labels):
                self.warm[label][key] -= 1

    def _count(self, node: Node, used: Resources, sign: int) -> None:
        assert node.provider is not None
        sums = [self._by_provider.setdefault(node.provider, {})]
        if node.pool is not None:
            sums.append(self._by_pool.setdefault((node.provider, node.pool), {}))
            if node.state in LEAVING:
                sums.append(self._leaving.setdefault((node.provider, node.pool), {}))
        if node.tenant_name is not None:
            sums.append(self._by_tenant.setdefault(node.tenant_name, {}))
        for amounts in sums:
            for name, amount in used.amounts.items():
                amounts[name] = amounts.get(name, 0) + sign * amount


def _warm(node: Node) -> bool:
    there = node.state is NodeState.READY or node.state in _LAUNCHING
    return there and node.allocated_to is None and proves(node) is None


def _discard(index: dict[_Key, dict[NodeId, Node]], key: _Key, node_id: NodeId) -> None:
    members = index[key]
    del members[node_id]
    if not members:
        del index[key]
