"""The record of a node request, as bytes and as `model.NodeRequest`."""

from nodepool_ng.model.ids import LabelName, NodeId, PoolId, RequestId, TenantName
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk.codec.fields import (
    Record,
    by_word,
    dump,
    flag,
    name,
    number,
    number_or_none,
    others,
    state,
    text,
    texts,
)

_STATES = by_word(RequestState)

KEYS = frozenset(
    [
        "state",
        "state_time",
        "node_types",
        "nodes",
        "declined_by",
        "reuse",
        "requestor",
        "requestor_data",
        "provider",
        "relative_priority",
        "event_id",
        "created_time",
        "tenant_name",
        "failed_because",
    ]
)


NEEDED = frozenset({"state", "state_time", "event_id", "requestor_data", "requestor", "node_types", "provider"})
"""What Zuul's reader takes for granted, in requests of others too."""


def from_record(id: RequestId, record: Record) -> NodeRequest:
    """Return the request; raise `BadField`."""
    return NodeRequest(
        id=id,
        state=state(record, _STATES),
        state_time=number(record, "state_time"),
        labels=tuple(map(LabelName, texts(record, "node_types"))),
        nodes=tuple(map(NodeId, texts(record, "nodes"))),
        declined_by=tuple(map(PoolId, texts(record, "declined_by"))),
        reuse=flag(record, "reuse", True),
        requestor=text(record, "requestor"),
        requestor_data=record.get("requestor_data"),
        provider=text(record, "provider"),
        relative_priority=number(record, "relative_priority"),
        event_id=text(record, "event_id"),
        created_time=number_or_none(record, "created_time"),
        tenant_name=name(record, "tenant_name", TenantName),
        failed_because=record.get("failed_because"),
        complete=record.keys() >= NEEDED and record.get("relative_priority", 0) is not None,
        extra=others(record, KEYS),
    )


def encode_request(request: NodeRequest) -> bytes:
    """Return all the keys that Nodepool 11 writes (Zuul needs most of them), ours where set, and the unknown ones."""
    record: dict[str, object] = {
        **request.extra,
        "state": request.state,
        "state_time": request.state_time,
        "node_types": request.labels,
        "nodes": request.nodes,
        "declined_by": request.declined_by,
        "reuse": request.reuse,
        "requestor": request.requestor,
        "requestor_data": request.requestor_data,
        "provider": request.provider,
        "relative_priority": request.relative_priority,
        "event_id": request.event_id,
        "created_time": request.created_time,
        "tenant_name": request.tenant_name,
    }
    if request.failed_because is not None:
        record["failed_because"] = request.failed_because
    return dump(record)
