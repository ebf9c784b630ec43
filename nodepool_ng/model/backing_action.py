"""What the launcher may do about nodes that are cut into slots; a part of `action`."""

from dataclasses import dataclass

from nodepool_ng.model.backing import Cut
from nodepool_ng.model.ids import AttemptId, LabelName, NodeId, ProviderName, RequestId
from nodepool_ng.model.reason import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AskForBacking:
    """Request nodes to be cut into slots for a label of a metastatic provider."""

    provider: ProviderName
    label: LabelName
    backing: LabelName
    count: int
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawBacking:
    """Take back a request for a backing node, whatever became of it. The `failed` attempts were waiting for it and have
    no hope any more."""

    request: RequestId
    provider: ProviderName
    failed: tuple[AttemptId, ...] = ()
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBacking:
    """Take the node that a request brought, and write down how it is cut."""

    request: RequestId
    node: NodeId
    cut: Cut
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSlot:
    """Give a node that is building a slot of a backing node."""

    node: NodeId
    backing: NodeId
    slot: int
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoilBacking:
    """Write down that a backing node is given no new slots."""

    node: NodeId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseBacking:
    """Let go of a backing node none of whose slots is used."""

    node: NodeId
    provider: ProviderName
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockBacking:
    """Remove our lasting locks from a node that is no backing node of ours any more."""

    node: NodeId
    why: Reason
