"""A node request: what a CI scheduler asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nodepool_ng.model.ids import Json, LabelName, NodeId, PoolId, RequestId, TenantName, Timestamp
from nodepool_ng.model.lifecycle import RequestEvent, RequestState, request_after
from nodepool_ng.model.node import NO_EXTRA

LAST_PRIORITY = "~"
"""Sorts after every priority that consists of digits and letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRequest:
    """The record of `/nodepool/requests/<id>`; `labels` is the wire's `node_types`, in order, repeats allowed."""

    id: RequestId
    state: RequestState
    state_time: Timestamp
    labels: tuple[LabelName, ...] = ()
    nodes: tuple[NodeId, ...] = ()
    declined_by: tuple[PoolId, ...] = ()
    reuse: bool = True
    requestor: str | None = None
    requestor_data: Json = None
    provider: str | None = None
    relative_priority: float = 0
    event_id: str | None = None
    created_time: Timestamp | None = None
    tenant_name: TenantName | None = None
    failed_because: Json = None
    complete: bool = True
    """The record has every key that Zuul reads without asking whether it is there. Jenkins leaves some out."""
    extra: Mapping[str, Json] = field(default_factory=lambda: NO_EXTRA)


def rank(request: NodeRequest) -> tuple[str, float, str]:
    """Return the key that orders waiting requests: priority string, relative priority, sequence.

    An id that is not `<priority>-<digits>` sorts last, so that it is never in the way of a proper one.
    """
    priority, _, sequence = request.id.partition("-")
    if not priority or not (sequence.isascii() and sequence.isdigit()):
        return LAST_PRIORITY, request.relative_priority, request.id
    return priority, request.relative_priority, sequence


def moved(request: NodeRequest, event: RequestEvent, now: Timestamp, /, **changes: object) -> NodeRequest:
    """Return the request after `event`, with `changes` applied."""
    state = request_after(request.state, event)
    return replace(request, state=state, state_time=now, **changes)  # type: ignore[arg-type]
