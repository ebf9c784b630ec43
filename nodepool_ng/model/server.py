"""What a cloud shows: servers, and what a provider can do at the moment.

A driver turns its API's answers into these; above a driver nobody knows an API's words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from nodepool_ng.model.ids import (
    AttemptId,
    InstallationId,
    LabelName,
    NodeId,
    PoolName,
    ProviderName,
    Seconds,
    ServerId,
    Timestamp,
)
from nodepool_ng.model.quota import NONE, ONE_INSTANCE, Resources


class ServerStatus(StrEnum):
    BUILDING = "building"
    ACTIVE = "active"
    FAILED = "failed"
    DELETED = "deleted"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a server answers; empty strings where it has none, as the wire wants it."""

    interface_ip: str = ""
    public_ipv4: str = ""
    private_ipv4: str = ""
    public_ipv6: str = ""


NO_ADDRESSES = Addresses()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of a project. The four marks are None where its metadata do not carry them."""

    id: ServerId
    name: str
    status: ServerStatus
    provider: ProviderName | None = None
    node: NodeId | None = None
    attempt: AttemptId | None = None
    installation: InstallationId | None = None
    addresses: Addresses = NO_ADDRESSES
    az: str | None = None
    host_id: str | None = None
    created: Timestamp | None = None
    fault: str | None = None
    unplaced: bool = False
    """The fault says that no host took it: for a while the cloud would say so again."""
    no_capacity: bool = False
    """The fault says that the cloud had no room (a quota), not that this server is broken."""
    deleting: bool = False
    resources: Resources = ONE_INSTANCE
    fixed_ipv4: bool = False
    """It has an IPv4 address that a floating IP could lead to."""
    step: bool = False
    """The cloud waits for us: the driver has to take a further step before the server goes on."""
    busy: bool = False
    """The cloud is at work on it and takes no orders meanwhile, not even for its end."""
    returning: bool = False
    """What it uses comes back by itself: it takes room now, but not for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacts:
    """What one pool's label costs in this cloud, or why it cannot be had."""

    needs: Resources
    broken: str | None = None
    """A sentence; set where the configuration asks for what the cloud does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """What is known of a provider, and since when. `listed` is None until the first list came back.

    `servers` holds every server of the project, ours or not. `limits` are the project's; foreign use is
    computed from `servers`, since what is foreign depends on our records. Instants are Unix time.
    """

    provider: ProviderName
    servers: Mapping[ServerId, Server] = field(default_factory=lambda: MappingProxyType({}))
    by_node: Mapping[NodeId, tuple[Server, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Servers that say that they are of a node and of this provider."""
    several: tuple[NodeId, ...] = ()
    """Nodes with more than one of these."""
    listed: Timestamp | None = None
    """When the list that `servers` comes from was *asked for*: evidence for nothing younger."""
    full_listed: Timestamp | None = None
    """The same for the last list of everything; the others told only what changed."""
    risen: int = 0
    """Servers marked as this provider's that the latest list was the first to find up."""
    limits: Resources = NONE
    limits_read: Timestamp | None = None
    labels: Mapping[LabelName, LabelFacts] = field(default_factory=lambda: MappingProxyType({}))
    pool_labels: Mapping[tuple[PoolName, LabelName], LabelFacts] = field(default_factory=lambda: MappingProxyType({}))
    """The same where pools make a label differently."""
    loose: Resources = NONE
    """What things in the project use that belong to no server."""
    network: bool = False
    """Things may be left behind in a network, which can be swept."""
    floating: bool = False
    """Servers that nobody outside can reach can be given a floating IP."""
    list_every: Seconds = 0.0
    """How often the cloud is to be asked for its servers at most."""
    trouble: str = ""
    """What an operator has to see to in this provider, in a sentence."""
    zones: tuple[str, ...] = ()
    error: str | None = None
    """Why the provider cannot be used at the moment, in a sentence."""

    def with_servers(self, servers: Mapping[ServerId, Server]) -> "ProviderFacts":
        """Return the same facts with these servers, and with what follows from them."""
        own = self.provider
        marked = [(s.node, s) for s in servers.values() if s.node is not None and s.provider == own]
        by_node: dict[NodeId, tuple[Server, ...]] = {node: (server,) for node, server in marked}
        several: dict[NodeId, None] = {}
        if len(by_node) < len(marked):
            by_node.clear()
            for node, server in marked:
                if node in by_node:
                    several[node] = None
                by_node[node] = (*by_node.get(node, ()), server)
        return replace(self, servers=servers, by_node=by_node, several=tuple(several))

    def label(self, pool: PoolName | None, label: LabelName) -> LabelFacts | None:
        """Return what a pool's label needs; None as long as the cloud has not told."""
        if pool is not None and (pool, label) in self.pool_labels:
            return self.pool_labels[pool, label]
        return self.labels.get(label)
