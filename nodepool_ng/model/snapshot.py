"""Everything a decision may rest on, at one instant.

A snapshot is made of shared, read-only views; nothing in it changes while a plan is made, and a planner that is
given the same snapshot decides the same.
"""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from nodepool_ng.model.action import Action, Subject
from nodepool_ng.model.backing import BackingNode
from nodepool_ng.model.census import Census, PoolKey
from nodepool_ng.model.component import Component
from nodepool_ng.model.cordon import Cordon, CordonKey, CordonKind
from nodepool_ng.model.freeze import NOT_FROZEN, Freeze
from nodepool_ng.model.hosts import HostAt, HostSeen
from nodepool_ng.model.ids import (
    AttemptId,
    ImageName,
    InstallationId,
    LabelName,
    NodeId,
    PoolId,
    ProviderName,
    RequestId,
    Seconds,
    ServerId,
    Timestamp,
)
from nodepool_ng.model.image import Upload
from nodepool_ng.model.pace import Pace
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import ProviderFacts
from nodepool_ng.model.settings import Settings


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


class Side(StrEnum):
    """Who holds a lock. One that nobody holds is not listed anywhere."""

    OURS = "ours"
    FOREIGN = "foreign"


class AttemptState(StrEnum):
    """What this process knows of a launch attempt. One that it does not know is another process's."""

    FRESH = "fresh"
    """Nobody has asked a cloud for its server."""
    ASKED = "asked"
    """The cloud accepted; the server's id is in the record."""
    UNKNOWN = "unknown"
    """Asked, but the answer was lost: only lists can tell."""
    REFUSED = "refused"
    """The cloud said no; there is no server."""
    NO_CAPACITY = "no-capacity"
    """The cloud had no room; there is no server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    state: AttemptState
    since: Timestamp
    detail: str = ""
    answered: bool = False
    """The cloud told that it failed, and not something on the way to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The host keys of one attempt's server, or why there are none."""

    keys: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Do not try again before an instant. `failures` in a row made it so long."""

    until: Timestamp
    failures: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """A floating IP was asked for, for the server of one attempt; `until` says when to ask again if none shows."""

    until: Timestamp
    failures: int = 0
    no_room: str = ""
    """The cloud's words where it has none left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepping:
    """The further steps of one attempt's server were asked for; `until` says when to ask again if it still waits."""

    until: Timestamp
    failures: int = 0
    refused: str = ""
    """The cloud's words where it will not do it."""
    no_room: bool = False
    """It lacks something of which there is no more at the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What an image's check found on a canary that came up after so many seconds; None: nothing."""

    booted_after: Seconds
    trouble: str | None = None


QUARANTINED_AFTER = 6
"""Deletes asked for in vain after which an operator is told; by then about three minutes have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    now: Timestamp
    settings: Settings
    installation: InstallationId
    leased: Set[ProviderName]
    """Providers that this launcher may act for."""
    pool_ids: Mapping[PoolKey, PoolId]
    """Our own registered pools."""
    components: Mapping[str, Component]
    registry_changed: Timestamp
    registry_settle: Seconds
    """A decline that would fail a request waits until the registry has been the same for so long."""
    nodes: Census
    node_locks: Mapping[NodeId, Side]
    held: Collection[NodeId]
    """Nodes whose locks are ours."""
    unlocked: Set[NodeId]
    """Nodes with a record whose locks nobody holds."""
    ghosts: Set[NodeId]
    requests: Mapping[RequestId, NodeRequest]
    request_locks: Mapping[RequestId, Side]
    unlocked_since: Mapping[RequestId, Timestamp]
    """Since when a pending request has been seen without a lock."""
    uploads: Mapping[tuple[ImageName, ProviderName], Upload]
    """The ready upload to boot from."""
    at_gate: Mapping[tuple[ImageName, ProviderName], str] = field(default_factory=_nothing)
    """The newest upload that has to prove itself before it comes into service, by its path."""
    checked: Mapping[NodeId, Checked] = field(default_factory=_nothing)
    """Canaries that the check of their image was run on."""
    facts: Mapping[ProviderName, ProviderFacts]
    in_flight: Mapping[Subject, Action]
    attempts: Mapping[AttemptId, Attempt] = field(default_factory=_nothing)
    scans: Mapping[AttemptId, Scan] = field(default_factory=_nothing)
    resting: Mapping[NodeId, Timestamp] = field(default_factory=_nothing)
    """Nodes that are being built of which an earlier plan found that there is nothing to do for them before an instant,
    unless there is news of them; of these there was none since. It only saves work."""
    first_active: Mapping[AttemptId, Timestamp] = field(default_factory=_nothing)
    """When a server was first seen with an address: host keys are to be had within `boot-timeout` of that."""
    launch_backoff: Mapping[tuple[ProviderName, str, LabelName], Backoff] = field(default_factory=_nothing)
    provider_backoff: Mapping[ProviderName, Backoff] = field(default_factory=_nothing)
    delete_backoff: Mapping[ServerId, Backoff] = field(default_factory=_nothing)
    suspects: Mapping[tuple[ProviderName, ServerId], Timestamp] = field(default_factory=_nothing)
    """Servers seen without a record by a full list, and when first."""
    foreign_use: Mapping[ProviderName, Resources] = field(default_factory=_nothing)
    """Resources in a provider's project that are not ours."""
    away: Mapping[ProviderName, Resources] = field(default_factory=_nothing)
    """Resources in a provider that nobody can have at the moment, and that come back by themselves."""
    unreadable: Set[NodeId] = frozenset()
    """Nodes that have a record which cannot be read."""
    recorded: Set[NodeId] = frozenset()
    """Nodes that had a record in this tree since this process started."""
    bereft: Set[NodeId] = frozenset()
    """Ready nodes whose servers are gone or broken."""
    sweeps_confirmed: Mapping[ProviderName, Timestamp] = field(default_factory=_nothing)
    """Providers whose large sweep an operator permitted, and since when that is known."""
    addressing: Mapping[AttemptId, Addressing] = field(default_factory=_nothing)
    stepping: Mapping[AttemptId, Stepping] = field(default_factory=_nothing)
    consoles: Set[AttemptId] = frozenset()
    """Attempts whose console was read already, or could not be."""
    swept: Mapping[ProviderName, Timestamp] = field(default_factory=_nothing)
    """When a provider's network was swept last."""
    frozen: Mapping[ProviderName, Freeze] = field(default_factory=_nothing)
    """Providers that are frozen; those that are frozen as part of all are listed each."""
    cordons: Mapping[CordonKey, Cordon] = field(default_factory=_nothing)
    """What gets nothing new, by order of an operator."""
    settings_until: Timestamp | None = None
    """When a timetable in the settings has something else in force."""
    quickest_boots: Mapping[ProviderName, Seconds] = field(default_factory=_nothing)
    """The shortest time from a node's record to its being ready that was seen lately in a provider."""
    paces: Mapping[ProviderName, Pace] = field(default_factory=_nothing)
    """How fast each cloud may be asked, where something is known of it."""
    orphan_locks: Mapping[RequestId, Timestamp] = field(default_factory=_nothing)
    """Lock directories of requests that are gone, those first that have been without one for longest; since when."""
    hosts: Mapping[HostAt, HostSeen] = field(default_factory=lambda: MappingProxyType({}))
    """The last look at each machine of static providers."""
    without_cloud: Set[ProviderName] = frozenset()
    """Providers, ones that just left the configuration too, whose machines are there already."""
    silent: Mapping[NodeId, str] = field(default_factory=lambda: MappingProxyType({}))
    """Static nodes whose machine did not answer when they were to be given away, and what was met."""
    backings: Mapping[ProviderName, tuple[BackingNode, ...]] = field(default_factory=_nothing)
    """The nodes that each metastatic provider has cut into slots, the oldest first."""
    kept: Set[NodeId] = frozenset()
    """Nodes with a lasting lock of a metastatic provider of ours that are no backing nodes."""
    cooling: Mapping[Subject, Timestamp] = field(default_factory=_nothing)
    """Subjects of actions that just failed, and until when they are to be left alone."""


def rests_until(snapshot: Snapshot, node: NodeId) -> Timestamp | None:
    """Return until when a node needs nothing, as an earlier plan found; None where it is to be looked at."""
    until = snapshot.resting.get(node)
    return until if until is not None and until > snapshot.now else None


def freeze_of(snapshot: Snapshot, provider: ProviderName | None) -> Freeze:
    """Return what an operator has frozen of a provider."""
    if not snapshot.frozen or provider is None:
        return NOT_FROZEN
    return snapshot.frozen.get(provider, NOT_FROZEN)


def cordon_of(snapshot: Snapshot, key: PoolKey, images: Iterable[ImageName | None] = ()) -> CordonKey | None:
    """Return which order keeps a pool, or one of the images, from getting anything new; None where there is none."""
    if not snapshot.cordons:
        return None
    wanted = [(CordonKind.PROVIDER, str(key[0])), (CordonKind.POOL, "/".join(key))]
    wanted += [(CordonKind.IMAGE, str(image)) for image in images if image is not None]
    return next((one for one in wanted if one in snapshot.cordons), None)


def drained(snapshot: Snapshot, key: PoolKey) -> bool:
    """Tell whether the ready nodes of a pool have to go, by order of an operator."""
    wanted = ((CordonKind.PROVIDER, str(key[0])), (CordonKind.POOL, "/".join(key)))
    return any(snapshot.cordons[one].drain for one in wanted if one in snapshot.cordons)


def busy(snapshot: Snapshot, *subjects: Subject) -> bool:
    """Tell whether something is in flight on any of the subjects."""
    return any(subject in snapshot.in_flight for subject in subjects)
