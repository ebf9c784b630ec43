"""Nodes that were cut into slots: what a metastatic provider writes into them, and what it makes of them.

The words are Nodepool 11's, so that either software goes on with what the other one began: the record of a backing node
carries, as a string of JSON in `user_data`, whose it is; that of a slot names its backing node in `driver_data`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from nodepool_ng.model.ids import Json, LabelName, NodeId, ProviderName, Timestamp
from nodepool_ng.model.node import Node

_OWNER = "NodePool:metastatic:"
REQUEST_PRIORITY = "100"
"""Of the requests for backing nodes, as in Nodepool 11: somebody waits for them already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What the record of a backing node says: into how many `slots` it was cut, for which label of which provider, and
    when it was taken. One that `failed` is given no new slots."""

    provider: ProviderName
    label: LabelName
    slots: int
    launched: Timestamp
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingNode:
    """A node that is cut, and the nodes in its slots. `idle_since` is when the last one was seen to go; `by_us` tells
    whether it was taken by this software."""

    id: NodeId
    cut: Cut
    used: Mapping[int, NodeId] = field(default_factory=lambda: MappingProxyType({}))
    idle_since: Timestamp | None = None
    by_us: bool = True


def owner(provider: ProviderName) -> str:
    """Return how a metastatic provider calls itself: as a requestor, and as the holder of a lock."""
    return f"{_OWNER}{provider}"


def owned_by(name: str | None) -> ProviderName | None:
    """Return the provider that calls itself so."""
    return ProviderName(name.removeprefix(_OWNER)) if name is not None and name.startswith(_OWNER) else None


def written(cut: Cut) -> str:
    """Return a cut as the record of the node has it."""
    return json.dumps(
        {
            "owner": owner(cut.provider),
            "label": cut.label,
            "slots": cut.slots,
            "failed": cut.failed,
            "launched": cut.launched,
        }
    )


def cut_of(node: Node) -> Cut | None:
    """Return what a record says of slots; None where nobody, or a client, wrote something."""
    if not isinstance(node.user_data, str):
        return None
    try:
        found = json.loads(node.user_data)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    name, label, slots = found.get("owner"), found.get("label"), found.get("slots")
    provider = owned_by(name) if isinstance(name, str) else None
    if provider is None or not isinstance(label, str) or not isinstance(slots, int):
        return None
    launched = found.get("launched")
    return Cut(
        provider=provider,
        label=LabelName(label),
        slots=slots,
        launched=float(launched) if isinstance(launched, int | float) else 0.0,
        failed=found.get("failed") is True,
    )


def place_of(node: Node) -> tuple[NodeId, int] | None:
    """Return the backing node and the slot that a node has; None where it has none."""
    told = node.driver_data
    if not isinstance(told, dict):
        return None
    backing, slot = told.get("backing_node"), told.get("slot")
    if not isinstance(backing, str) or not isinstance(slot, int):
        return None
    return NodeId(backing), slot


def placed(node: Node, backing: NodeId, slot: int) -> dict[str, Json]:
    """Return what the record of a node in a slot says of it."""
    marks: dict[str, Json] = {
        "nodepool_node_id": node.id,
        "nodepool_pool_name": node.pool,
        "nodepool_provider_name": node.provider,
    }
    return {"metadata": marks, "backing_node": backing, "slot": slot, "node": node.id}
