"""What a launcher shows of itself at one instant: to its web pages, and to those who count.

Like a snapshot, but it is *kept*: nothing in it changes once it was made, so any thread may read it for as long as it
likes. Records are shared, the collections are copies of its own.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.cordon import Cordon, CordonKey
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.ids import ImageName, NodeId, PoolId, ProviderName, RequestId, Timestamp
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import ProviderFacts
from nodepool_ng.model.settings import Settings


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """What lies beside the builds of an image. `requested` is when somebody asked for a build by hand."""

    paused: bool = False
    requested: Timestamp | None = None
    building: bool = False
    """Somebody holds the lock for building it, and has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits inside the process."""

    letters: int = 0
    """News and answers that the reconciler has not dealt with yet."""
    reads: int = 0
    """Znodes that the mirror has yet to read."""
    verbs: int = 0
    """Verbs that ZooKeeper has not answered yet."""
    calls: int = 0
    """Effects in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    now: Timestamp
    settings: Settings = field(default_factory=Settings)
    hostname: str = ""
    complete: bool = False
    """Whether the mirror is whole; otherwise this is what was known before the connection was lost."""
    planned: bool = False
    """Whether a plan was made since this process started."""
    elected: bool = False
    """Whether this launcher tells the numbers of the whole installation."""
    nodes: Mapping[NodeId, Node] = field(default_factory=_nothing)
    locked: Set[NodeId] = frozenset()
    requests: Mapping[RequestId, NodeRequest] = field(default_factory=_nothing)
    builds: tuple[Build, ...] = ()
    uploads: tuple[Upload, ...] = ()
    images: Mapping[ImageName, ImageView] = field(default_factory=_nothing)
    components: Mapping[str, Component] = field(default_factory=_nothing)
    pool_ids: Mapping[PoolKey, PoolId] = field(default_factory=_nothing)
    """The pools of this launcher."""
    leased: Set[ProviderName] = frozenset()
    verdicts: Mapping[RequestId, tuple[Reason, ...]] = field(default_factory=_nothing)
    """Why requests wait, as the last plan had it."""
    alarms: Mapping[ProviderName, str] = field(default_factory=_nothing)
    frozen: Mapping[ProviderName, Freeze] = field(default_factory=_nothing)
    """Providers that an operator has frozen; those that are frozen as part of all are listed each."""
    freezes: Mapping[str, Freeze] = field(default_factory=_nothing)
    """The orders to freeze as they were given: by provider, or for all."""
    broken_files: str = ""
    """What is wrong with the files of the configuration; what they said before is in force."""
    facts: Mapping[ProviderName, ProviderFacts] = field(default_factory=_nothing)
    foreign: Mapping[ProviderName, Resources] = field(default_factory=_nothing)
    """What others use of a provider's project."""
    used: Mapping[PoolKey, Resources] = field(default_factory=_nothing)
    used_in_provider: Mapping[ProviderName, Resources] = field(default_factory=_nothing)
    cordons: Mapping[CordonKey, Cordon] = field(default_factory=_nothing)
    """What gets nothing new, by order of an operator."""
    backlog: Backlog = field(default_factory=Backlog)
    work: tuple[Mapping[str, Any], ...] = ()
    """What builders tell of their work: a document of each."""


def pools(view: View) -> tuple[Component, ...]:
    """Return the registered pools of all launchers."""
    return tuple(component for component in view.components.values() if component.kind == POOL)
