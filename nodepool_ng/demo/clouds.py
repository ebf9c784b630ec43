"""What a demo needs of its clouds, whichever they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nodepool_ng.demo.children import Child
from nodepool_ng.demo.settings import Stage
from nodepool_ng.model.ids import InstallationId, ProviderName, ServerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What one provider's cloud holds. `images` are those that were uploaded to it and can be used, with their sizes in
    bytes; `servers` all that exist, with their names; `up` those of them that are ACTIVE."""

    images: Mapping[str, int] = field(default_factory=dict)
    servers: Mapping[ServerId, str] = field(default_factory=dict)
    up: frozenset[ServerId] = frozenset()
    refusals: Mapping[str, int] = field(default_factory=dict)
    """How often it refused which call, where it counts that."""


class Clouds(Protocol):
    """The clouds of a demo, from before they are up until they are not needed any more."""

    @property
    def stage(self) -> Stage: ...

    @property
    def what(self) -> str:
        """What they are called."""
        ...

    @property
    def children(self) -> Sequence[Child]:
        """Processes without which the demo cannot go on."""
        ...

    @property
    def ssh_ports(self) -> Mapping[ProviderName, int]:
        """The ports on which servers listen where it is not the usual one. Known once the clouds are up."""
        ...

    def start(self) -> None:
        """Have them start; returns before they are up."""
        ...

    def await_up(self) -> str:
        """Wait until they are up, write clouds.yaml, and return where they are. Raises `DemoFailed`."""
        ...

    def holds(self, provider: ProviderName) -> Inventory:
        """Look into a provider's cloud."""
        ...

    def clear(self, installation: InstallationId) -> None:
        """Remove what an installation whose daemons have ended has left."""
        ...

    def stop(self) -> None:
        """End what `start` has started, whatever state it is in."""
        ...
