"""The lives of a node, a request, a build and an upload, as tables.

The values of the enumerations are the words on the wire. A transition that is not in its table is a defect of the
caller and raises `ImpossibleTransition`; nothing else decides what may follow what.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class NodeState(StrEnum):
    INIT = "init"
    BUILDING = "building"
    TESTING = "testing"
    READY = "ready"
    IN_USE = "in-use"
    USED = "used"
    HOLD = "hold"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    ABORTED = "aborted"


class NodeEvent(StrEnum):
    LOCKED = "locked"
    RETRIED = "retried"
    BOOTED = "booted"
    LAUNCH_FAILED = "launch failed"
    NO_CAPACITY = "no capacity"
    ALLOCATED = "allocated"
    FREED = "freed"
    TAKEN = "taken"
    RETURNED = "returned"
    HELD = "held"
    UNWANTED = "unwanted"
    GONE = "gone"


NODE_STATES: Mapping[NodeState, str] = MappingProxyType(
    {
        NodeState.INIT: "The record exists, nothing was asked of a cloud yet.",
        NodeState.BUILDING: "A launcher holds the lock and is making the server.",
        NodeState.TESTING: "Unused; known because old records may carry it.",
        NodeState.READY: "The server is up and waits for a request, or for its client to lock it.",
        NodeState.IN_USE: "A client holds the lock and runs a job on it.",
        NodeState.USED: "The client is done; the server will be deleted.",
        NodeState.HOLD: "Kept for a human, unlocked; counts towards quota until it expires.",
        NodeState.DELETING: "The decision to delete is committed; no state leads back from here.",
        NodeState.DELETED: "The server is gone, the record goes next.",
        NodeState.FAILED: "The launch failed for good; the record and any server will be deleted.",
        NodeState.ABORTED: "The cloud had no room; not a failure of the node, and not counted as one.",
    }
)

_ANY_LIVE = (
    NodeState.INIT,
    NodeState.BUILDING,
    NodeState.TESTING,
    NodeState.READY,
    NodeState.IN_USE,
    NodeState.USED,
    NodeState.HOLD,
    NodeState.FAILED,
    NodeState.ABORTED,
)

NODE_TRANSITIONS: Mapping[tuple[NodeState, NodeEvent], NodeState] = MappingProxyType(
    {
        (NodeState.INIT, NodeEvent.LOCKED): NodeState.BUILDING,
        (NodeState.BUILDING, NodeEvent.LOCKED): NodeState.BUILDING,
        (NodeState.BUILDING, NodeEvent.RETRIED): NodeState.BUILDING,
        (NodeState.BUILDING, NodeEvent.BOOTED): NodeState.READY,
        (NodeState.BUILDING, NodeEvent.LAUNCH_FAILED): NodeState.FAILED,
        (NodeState.BUILDING, NodeEvent.NO_CAPACITY): NodeState.ABORTED,
        (NodeState.READY, NodeEvent.ALLOCATED): NodeState.READY,
        (NodeState.READY, NodeEvent.FREED): NodeState.READY,
        (NodeState.READY, NodeEvent.TAKEN): NodeState.IN_USE,
        (NodeState.IN_USE, NodeEvent.RETURNED): NodeState.USED,
        (NodeState.USED, NodeEvent.RETURNED): NodeState.USED,
        (NodeState.HOLD, NodeEvent.RETURNED): NodeState.USED,
        **{(state, NodeEvent.HELD): NodeState.HOLD for state in _ANY_LIVE},
        **{(state, NodeEvent.UNWANTED): NodeState.DELETING for state in _ANY_LIVE},
        (NodeState.DELETING, NodeEvent.UNWANTED): NodeState.DELETING,
        (NodeState.DELETED, NodeEvent.UNWANTED): NodeState.DELETED,
        (NodeState.DELETING, NodeEvent.GONE): NodeState.DELETED,
        (NodeState.DELETED, NodeEvent.GONE): NodeState.DELETED,
    }
)

GARBAGE_WHEN_UNLOCKED = frozenset(
    {
        NodeState.USED,
        NodeState.IN_USE,
        NodeState.BUILDING,
        NodeState.FAILED,
        NodeState.ABORTED,
        NodeState.DELETING,
        NodeState.DELETED,
    }
)
"""States in which a node without a lock has been abandoned by whoever was to look after it."""


class RequestState(StrEnum):
    REQUESTED = "requested"
    PENDING = "pending"
    FULFILLED = "fulfilled"
    FAILED = "failed"


class RequestEvent(StrEnum):
    CLAIMED = "claimed"
    RELEASED = "released"
    DECLINED = "declined"
    DECLINED_BY_ALL = "declined by all"
    SERVED = "served"


REQUEST_STATES: Mapping[RequestState, str] = MappingProxyType(
    {
        RequestState.REQUESTED: "Waits, unlocked, for a pool that can serve all of it.",
        RequestState.PENDING: "A launcher holds the lock and is making its nodes.",
        RequestState.FULFILLED: "Its nodes are ready and unlocked; the client takes over. Never written again.",
        RequestState.FAILED: "Every registered pool has declined it. Never written again.",
    }
)

REQUEST_TRANSITIONS: Mapping[tuple[RequestState, RequestEvent], RequestState] = MappingProxyType(
    {
        (RequestState.REQUESTED, RequestEvent.CLAIMED): RequestState.PENDING,
        (RequestState.PENDING, RequestEvent.CLAIMED): RequestState.PENDING,
        (RequestState.PENDING, RequestEvent.RELEASED): RequestState.REQUESTED,
        (RequestState.REQUESTED, RequestEvent.DECLINED): RequestState.REQUESTED,
        (RequestState.PENDING, RequestEvent.DECLINED): RequestState.REQUESTED,
        (RequestState.REQUESTED, RequestEvent.DECLINED_BY_ALL): RequestState.FAILED,
        (RequestState.PENDING, RequestEvent.DECLINED_BY_ALL): RequestState.FAILED,
        (RequestState.REQUESTED, RequestEvent.SERVED): RequestState.FULFILLED,
        (RequestState.PENDING, RequestEvent.SERVED): RequestState.FULFILLED,
    }
)


class ImageState(StrEnum):
    """States of builds and of uploads; a build is never `uploading`, an upload never `building`."""

    BUILDING = "building"
    UPLOADING = "uploading"
    READY = "ready"
    DELETING = "deleting"
    FAILED = "failed"


class ImageEvent(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNWANTED = "unwanted"


IMAGE_TRANSITIONS: Mapping[tuple[ImageState, ImageEvent], ImageState] = MappingProxyType(
    {
        (ImageState.BUILDING, ImageEvent.SUCCEEDED): ImageState.READY,
        (ImageState.BUILDING, ImageEvent.FAILED): ImageState.FAILED,
        (ImageState.BUILDING, ImageEvent.UNWANTED): ImageState.DELETING,
        (ImageState.UPLOADING, ImageEvent.SUCCEEDED): ImageState.READY,
        (ImageState.UPLOADING, ImageEvent.FAILED): ImageState.FAILED,
        (ImageState.UPLOADING, ImageEvent.UNWANTED): ImageState.DELETING,
        (ImageState.READY, ImageEvent.UNWANTED): ImageState.DELETING,
        (ImageState.FAILED, ImageEvent.UNWANTED): ImageState.DELETING,
        (ImageState.DELETING, ImageEvent.UNWANTED): ImageState.DELETING,
    }
)


class ImpossibleTransition(Exception):
    """Somebody asked for a change of state that no table knows."""


def after(state: NodeState, event: NodeEvent) -> NodeState:
    """Return the node state that follows; raise `ImpossibleTransition` where none does."""
    try:
        return NODE_TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleTransition(f"a node that is {state} cannot be {event}") from None


def request_after(state: RequestState, event: RequestEvent) -> RequestState:
    """Return the request state that follows; raise `ImpossibleTransition` where none does."""
    try:
        return REQUEST_TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleTransition(f"a request that is {state} cannot be {event}") from None


def image_after(state: ImageState, event: ImageEvent) -> ImageState:
    """Return the state of a build or upload that follows; raise `ImpossibleTransition` where none does."""
    try:
        return IMAGE_TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleTransition(f"an image that is {state} cannot have {event}") from None
