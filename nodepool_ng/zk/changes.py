"""What the mirror holds, and what it tells its owner has changed."""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from nodepool_ng.model.component import Component
from nodepool_ng.model.ids import InstallationId, NodeId, RequestId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.paths import (
    BuildAt,
    BuildRequestedAt,
    CancelAt,
    ComponentAt,
    ConfirmedAt,
    CordonAt,
    FreezeAt,
    Lockable,
    PausedAt,
    UploadAt,
)
from nodepool_ng.zk.store import SessionNews

T = TypeVar("T")

Contenders: TypeAlias = tuple[str, ...]
"""The names in a lock directory, the owner first."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A record as it stands in the tree. `version` is for conditional writes; nodes and requests have contenders."""

    record: T
    version: int
    mzxid: int
    contenders: Contenders = ()


@dataclass(frozen=True, slots=True)
class NodeChange:
    """The record or the contenders of a node changed; None where there was none, or is none now."""

    id: NodeId
    before: Entry[Node] | None
    after: Entry[Node] | None


@dataclass(frozen=True, slots=True)
class RequestChange:
    id: RequestId
    before: Entry[NodeRequest] | None
    after: Entry[NodeRequest] | None


@dataclass(frozen=True, slots=True)
class BuildChange:
    at: BuildAt
    before: Entry[Build] | None
    after: Entry[Build] | None


@dataclass(frozen=True, slots=True)
class UploadChange:
    at: UploadAt
    before: Entry[Upload] | None
    after: Entry[Upload] | None


@dataclass(frozen=True, slots=True)
class ComponentChange:
    at: ComponentAt
    before: Entry[Component] | None
    after: Entry[Component] | None


@dataclass(frozen=True, slots=True)
class InstallationChange:
    after: InstallationId | None


@dataclass(frozen=True, slots=True)
class FlagChange:
    """An image was paused or a build of it requested, or that is over."""

    at: PausedAt | BuildRequestedAt | CancelAt
    raised: bool


@dataclass(frozen=True, slots=True)
class OrderChange:
    """An operator's order came, changed, or is over: a freeze, a cordon, or the permission for a sweep."""

    at: FreezeAt | CordonAt | ConfirmedAt


@dataclass(frozen=True, slots=True)
class LockChange:
    """The contenders of any lock changed; None where there is no lock directory. For locks of nodes and requests
    whose record is known, a NodeChange or RequestChange goes with it."""

    of: Lockable
    before: Contenders | None
    after: Contenders | None


@dataclass(frozen=True, slots=True)
class DamageChange:
    """A record became unusable, unusable in another way, or usable again."""

    path: str
    before: Damaged | None
    after: Damaged | None


@dataclass(frozen=True, slots=True)
class GhostChange:
    path: str
    there: bool


@dataclass(frozen=True, slots=True)
class SessionChange:
    news: SessionNews


@dataclass(frozen=True, slots=True)
class Completed:
    """The walk has ended: from here on the mirror is what the tree was a moment ago."""


@dataclass(frozen=True, slots=True)
class FencePassed:
    """Everything that was in the tree when this fence was set is in the mirror now."""

    number: int


@dataclass(frozen=True, slots=True)
class FenceLost:
    """The connection failed before the fence was passed; set another one."""

    number: int


Change: TypeAlias = (
    NodeChange
    | RequestChange
    | BuildChange
    | UploadChange
    | ComponentChange
    | InstallationChange
    | FlagChange
    | OrderChange
    | LockChange
    | DamageChange
    | GhostChange
    | SessionChange
    | Completed
    | FencePassed
    | FenceLost
)
