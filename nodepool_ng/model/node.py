"""A node: one machine, from the intent to launch it until its record is gone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from nodepool_ng.model.ids import (
    AttemptId,
    Json,
    LabelName,
    NodeId,
    PoolId,
    PoolName,
    ProviderName,
    RequestId,
    TenantName,
    Timestamp,
)
from nodepool_ng.model.lifecycle import NodeEvent, NodeState, after
from nodepool_ng.model.quota import Resources

HELD_BY = "nodepool_ng_held_by"
"""The key of a record that says who held the node; Zuul keeps what it does not know."""
NO_EXTRA: Mapping[str, Json] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The record of `/nodepool/nodes/<id>`. Fields are the wire's, with `type` named `labels` here.

    `attempt` is ours: which launch attempt the record stands for (the server's metadata carry the same id), and
    `attempts` counts them. `extra` keeps keys that we do not know; they survive a rewrite.
    """

    id: NodeId
    state: NodeState
    state_time: Timestamp
    provider: ProviderName | None = None
    pool: PoolName | None = None
    labels: tuple[LabelName, ...] = ()
    allocated_to: RequestId | None = None
    launcher: PoolId | None = None
    created_time: Timestamp | None = None
    external_id: Json = None
    cloud: str | None = None
    region: str | None = None
    az: str | None = None
    public_ipv4: str | None = None
    private_ipv4: str | None = None
    public_ipv6: str | None = None
    interface_ip: str | None = None
    host_id: str | None = None
    hostname: str | None = None
    connection_type: str | None = None
    connection_port: Json = 22
    username: str | None = "zuul"
    python_path: str | None = None
    shell_type: str | None = None
    host_keys: tuple[str, ...] = ()
    image_id: str | None = None
    comment: str | None = None
    hold_job: str | None = None
    hold_expiration: Json = None
    user_data: Json = None
    resources: Resources | None = None
    slot: int | None = None
    attributes: Json = None
    tenant_name: TenantName | None = None
    requestor: str | None = None
    driver_data: Json = None
    node_properties: Json = None
    attempt: AttemptId | None = None
    attempts: int = 0
    extra: Mapping[str, Json] = field(default_factory=lambda: NO_EXTRA)

    @property
    def label(self) -> LabelName | None:
        """The label that decides about quota and image: the first one."""
        return self.labels[0] if self.labels else None

    @property
    def server_id(self) -> str | None:
        """The server's id where the record holds a usable one."""
        return self.external_id if isinstance(self.external_id, str) and self.external_id else None

    @property
    def free(self) -> bool:
        """Ready and nobody's."""
        return self.state is NodeState.READY and self.allocated_to is None


def moved(node: Node, event: NodeEvent, now: Timestamp, /, **changes: object) -> Node:
    """Return the node after `event`, with `changes` applied; the state's time moves only when the state does,
    or when a new attempt starts."""
    state = after(node.state, event)
    fresh = state is not node.state or event is NodeEvent.RETRIED
    return replace(node, state=state, state_time=now if fresh else node.state_time, **changes)  # type: ignore[arg-type]


def hold_limit(node: Node, max_hold_age: float) -> float:
    """Return how long a held node may be kept, in seconds; 0 means for ever.

    A client's own limit counts only where it is a positive number; the installation's limit caps it. Clients write
    all sorts of things there, among them numbers that no clock can reach.
    """
    value = node.hold_expiration
    try:
        own = float(int(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        own = 0.0
    limits = [limit for limit in (own, max_hold_age) if limit > 0]
    return min(limits) if limits else 0
