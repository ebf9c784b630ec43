"""Components: the daemons and pools that are registered as alive."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodepool_ng.model.ids import Json, LabelName, PoolId, PoolName, ProviderName
from nodepool_ng.model.node import NO_EXTRA

LAUNCHER = "launcher"
BUILDER = "builder"
POOL = "pool"
KINDS = (LAUNCHER, BUILDER, POOL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """The record of `/nodepool/components/<kind>/<hostname><seq>`.

    `id`, `name`, `provider_name`, `supported_labels`, `priority` and `paused` are a pool's. `installation` is
    ours: a pool that carries it is of this software, and its launcher's lease arbitrates.
    """

    key: str
    kind: str
    hostname: str
    state: str
    version: str | None = None
    id: PoolId | None = None
    name: PoolName | None = None
    provider_name: ProviderName | None = None
    supported_labels: frozenset[LabelName] = frozenset()
    priority: int = 100
    paused: bool = False
    software: str | None = None
    extra: Mapping[str, Json] = field(default_factory=lambda: NO_EXTRA)
