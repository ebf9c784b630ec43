"""What an answer rests on: the records, the orders in force, and what launchers told."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nodepool_ng.explain.told import Told
from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.cordon import Cordon, CordonKey, CordonKind
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.ids import ImageName, NodeId, RequestId, Seconds, Timestamp
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.settings import Settings

ALL = "all"


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Read at one go, though not at one instant: something may have gone meanwhile."""

    now: Timestamp
    told: Told = field(default_factory=Told)
    settings: Settings = field(default_factory=Settings)
    nodes: Mapping[NodeId, Node] = field(default_factory=_nothing)
    locked: Set[NodeId] = frozenset()
    requests: Mapping[RequestId, NodeRequest] = field(default_factory=_nothing)
    components: tuple[Component, ...] = ()
    builds: tuple[Build, ...] = ()
    uploads: tuple[Upload, ...] = ()
    paused: Set[ImageName] = frozenset()
    """Images that an operator has paused."""
    asked: Mapping[ImageName, Timestamp] = field(default_factory=_nothing)
    """Images of which somebody wants a build, since when."""
    freezes: Mapping[str, Freeze] = field(default_factory=_nothing)
    cordons: Mapping[CordonKey, Cordon] = field(default_factory=_nothing)

    def waiting(self) -> list[NodeRequest]:
        """Return the requests that wait for a pool, in their order."""
        return sorted((one for one in self.requests.values() if one.state is RequestState.REQUESTED), key=rank)

    def pools(self) -> tuple[Component, ...]:
        return tuple(one for one in self.components if one.kind == POOL)

    def pool_names(self) -> list[str]:
        """Return all pools that are registered or told of, as `provider/pool`."""
        registered = {f"{one.provider_name}/{one.name}" for one in self.pools()}
        return sorted(registered | set(self.told.pools))

    def orders(self, provider: str, pool: str | None = None, image: str | None = None) -> list[str]:
        """Return the orders in force that concern a provider, a pool (`provider/pool`) or an image, as sentences."""
        return orders_for(self.freezes, self.cordons, provider, pool, image)


def orders_for(
    freezes: Mapping[str, Freeze],
    cordons: Mapping[CordonKey, Cordon],
    provider: str,
    pool: str | None = None,
    image: str | None = None,
) -> list[str]:
    """Return the orders that concern a provider, a pool (`provider/pool`) or an image, as sentences."""
    found = []
    for name in (provider, ALL) if provider else ():
        order = freezes.get(name)
        if order is not None:
            what = " and ".join(word for word, on in (("creates", order.creates), ("deletes", order.deletes)) if on)
            found.append(f"frozen by an operator: no {what} until `nodepool thaw {name}`")
    keys = [(CordonKind.PROVIDER, provider), (CordonKind.POOL, pool), (CordonKind.IMAGE, image)]
    for kind, named in keys:
        cordon = cordons.get((kind, named)) if named else None
        if cordon is not None:
            found.append(_cordoned(str(named), cordon))
    return found


def _cordoned(name: str, cordon: Cordon) -> str:
    word = "drained" if cordon.drain else "cordoned"
    by = f" by {cordon.by}" if cordon.by else ""
    reason = f" ({cordon.reason})" if cordon.reason else ""
    return f"{word}{by}{reason}: nothing new until `nodepool uncordon {name}`"


def span(seconds: Seconds) -> str:
    """Return a length of time as people say it."""
    seconds = max(seconds, 0.0)
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"
