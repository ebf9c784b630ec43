"""What the records say of nodes that are cut into slots, kept as they change.

Above this a slot looks like a server that is up: facts about a metastatic provider are made of records instead of a
cloud's answers.
"""

import uuid
from collections.abc import Iterable, Mapping

from nodepool_ng.model.backing import BackingNode, cut_of, owner, place_of
from nodepool_ng.model.ids import InstallationId, NodeId, ProviderName, Seconds, ServerId, Timestamp
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import ONE_INSTANCE
from nodepool_ng.model.server import Addresses, LabelFacts, ProviderFacts, Server, ServerStatus
from nodepool_ng.model.settings import METASTATIC, Provider, Settings
from nodepool_ng.shell.contender import is_contender_of

_NAMES = uuid.UUID("5d1f5b3c-6f0e-4a51-9a3e-3b7f0c4f5a27")


def keeper(provider: ProviderName) -> str:
    """Return what the lasting contenders of a metastatic provider have in the place of a process: all launchers know
    them for the provider's."""
    return uuid.uuid5(_NAMES, owner(provider)).hex


def kept_by(provider: ProviderName, contenders: Iterable[str]) -> list[str]:
    """Return the lasting contenders of a provider among those of a lock."""
    name = keeper(provider)
    return [each for each in contenders if is_contender_of(name, each)]


class Backings:
    """Nodes that are cut, who is in their slots, and since when they are idle."""

    def __init__(self, settings: Settings) -> None:
        self.providers: set[ProviderName] = set()
        """All metastatic ones that were ever configured here."""
        self.kept: set[NodeId] = set()
        """Nodes with a lasting lock of these providers that are no backing nodes."""
        self._cut: dict[ProviderName, dict[NodeId, Node]] = {}
        self._by_us: set[NodeId] = set()
        self._slots: dict[NodeId, Node] = {}
        self._idle: dict[NodeId, Timestamp] = {}
        self._view: dict[ProviderName, tuple[BackingNode, ...]] | None = None
        self.reconfigured(settings)

    def reconfigured(self, settings: Settings) -> None:
        self.providers |= {name for name, each in settings.providers.items() if each.driver == METASTATIC}
        self.providers -= {name for name, each in settings.providers.items() if each.driver != METASTATIC}
        self._view = None

    def changed(self, node_id: NodeId, node: Node | None, contenders: tuple[str, ...]) -> None:
        """Take in a record with its lock; None is one that is gone."""
        if not self.providers:
            return
        if node is not None and node.provider in self.providers and place_of(node) is not None:
            self._slots[node_id] = node
            self._view = None
        elif self._slots.pop(node_id, None) is not None:
            self._view = None
        cut = cut_of(node) if node is not None and node.state is NodeState.IN_USE and contenders else None
        for provider in [name for name, nodes in self._cut.items() if node_id in nodes]:
            if cut is None or cut.provider != provider:
                del self._cut[provider][node_id]
                self._view = None
        ours = {name for name in self.providers if kept_by(name, contenders)} if contenders else set()
        if cut is not None and node is not None:
            self._cut.setdefault(cut.provider, {})[node_id] = node
            self._view = None
            ours -= {cut.provider}
            (self._by_us.add if kept_by(cut.provider, contenders) else self._by_us.discard)(node_id)
        else:
            self._by_us.discard(node_id)
        (self.kept.add if ours else self.kept.discard)(node_id)

    def has(self, provider: ProviderName) -> bool:
        return bool(self._cut.get(provider))

    def clock_jumped(self, by: Seconds) -> None:
        self._idle = {node: since + by for node, since in self._idle.items()}
        self._view = None

    def view(self, now: Timestamp) -> Mapping[ProviderName, tuple[BackingNode, ...]]:
        """Return the nodes that each provider has cut, the oldest first."""
        if self._view is None:
            used: dict[NodeId, dict[int, NodeId]] = {}
            for node in self._slots.values():
                place = place_of(node)
                if place is not None:
                    used.setdefault(place[0], {})[place[1]] = node.id
            there = {node for nodes in self._cut.values() for node in nodes}
            for node_id in there:
                if node_id in used:
                    self._idle.pop(node_id, None)
                else:
                    self._idle.setdefault(node_id, now)
            self._idle = {node: since for node, since in self._idle.items() if node in there}
            self._view = {
                provider: tuple(self._seen(nodes[each], used.get(each, {})) for each in sorted(nodes))
                for provider, nodes in self._cut.items()
                if nodes and provider in self.providers
            }
        return self._view

    def _seen(self, node: Node, used: Mapping[int, NodeId]) -> BackingNode:
        cut = cut_of(node)
        assert cut is not None
        return BackingNode(
            id=node.id, cut=cut, used=used, idle_since=self._idle.get(node.id), by_us=node.id in self._by_us
        )

    def bereft(self) -> set[NodeId]:
        """Return the ready nodes in slots of nodes that are no backing nodes any more."""
        return {
            node.id for node in self._slots.values() if node.state is NodeState.READY and self._backing_of(node) is None
        }

    def facts(self, provider: Provider, installation: InstallationId, now: Timestamp) -> ProviderFacts:
        """Return what a cloud would have told of a metastatic provider."""
        servers: dict[ServerId, Server] = {}
        for node in self._slots.values():
            backing = self._backing_of(node) if node.provider == provider.name else None
            if backing is not None:
                server = _as_server(node, backing, installation)
                servers[server.id] = server
        facts = ProviderFacts(
            provider=provider.name,
            listed=now,
            full_listed=now,
            limits_read=now,
            labels={label: LabelFacts(needs=ONE_INSTANCE) for pool in provider.pools.values() for label in pool.labels},
        )
        return facts.with_servers(servers)

    def _backing_of(self, node: Node) -> Node | None:
        place = place_of(node)
        if place is None or node.provider is None:
            return None
        return self._cut.get(node.provider, {}).get(place[0])


def _as_server(node: Node, backing: Node, installation: InstallationId) -> Server:
    return Server(
        id=ServerId(node.id),
        name=backing.hostname or backing.id,
        status=ServerStatus.ACTIVE,
        provider=node.provider,
        node=node.id,
        attempt=node.attempt,
        installation=installation,
        addresses=Addresses(
            interface_ip=backing.interface_ip or "",
            public_ipv4=backing.public_ipv4 or "",
            private_ipv4=backing.private_ipv4 or "",
            public_ipv6=backing.public_ipv6 or "",
        ),
        az=backing.az,
        host_id=backing.host_id,
        created=node.created_time,
    )
