"""The second seam: clouds.

A driver turns one provider's API into the few verbs below. Above it nobody knows an SDK's classes, exceptions or
words. This package holds the contract and one package per driver; `drivers.registry` finds them by name.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from nodepool_ng.model.ids import (
    AttemptId,
    BuildId,
    InstallationId,
    Json,
    LabelName,
    NodeId,
    PoolName,
    ProviderName,
    Seconds,
    ServerId,
    Timestamp,
    UploadId,
)
from nodepool_ng.model.quota import NONE, Resources
from nodepool_ng.model.server import LabelFacts, Server
from nodepool_ng.model.settings import Pool, PoolLabel

MARK_NODE = "nodepool_node_id"
MARK_POOL = "nodepool_pool_name"
MARK_PROVIDER = "nodepool_provider_name"
MARK_BUILD = "nodepool_build_id"
MARK_UPLOAD = "nodepool_upload_id"
MARK_ATTEMPT = "nodepool_ng_attempt_id"
MARK_INSTALLATION = "nodepool_ng_installation_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Whose a cloud resource is. Written into its metadata by the driver, under the names above."""

    provider: ProviderName
    installation: InstallationId
    node: NodeId | None = None
    pool: PoolName | None = None
    attempt: AttemptId | None = None
    build: BuildId | None = None
    upload: UploadId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOrder:
    """Everything a driver needs to make one server. `image` is the cloud's id of an uploaded image, or None for a
    label with a cloud image (the driver looks that up)."""

    name: str
    marks: Marks
    pool: Pool
    label: PoolLabel
    image: str | None
    config_drive: bool | None
    zone: str | None
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Metadata beside the marks, rendered already; the marks win."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOrder:
    """One file to upload. Checksums are hex digests as recorded when the image was built."""

    name: str
    marks: Marks
    path: str
    format: str
    md5: str | None
    sha256: str | None
    properties: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is in the cloud. The marks are None where its properties do not carry them."""

    id: str
    name: str
    status: str
    provider: ProviderName | None = None
    build: BuildId | None = None
    upload: UploadId | None = None
    installation: InstallationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Servers of the whole project. With `full` unset these are only the ones changed since the instant asked for,
    deleted ones among them (status DELETED)."""

    servers: tuple[Server, ...]
    asked: Timestamp
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What changes slowly: the project's limits, zones that are available, and what each label needs.

    A label that the cloud cannot make at the moment has `broken` set to the reason. Where pools make a label
    differently, `pool_labels` says so.
    """

    limits: Resources
    zones: tuple[str, ...]
    labels: Mapping[LabelName, LabelFacts]
    asked: Timestamp
    pool_labels: Mapping[tuple[PoolName, LabelName], LabelFacts] = field(default_factory=lambda: MappingProxyType({}))
    loose: Resources = NONE
    """What things use that belong to no server: volumes that were left behind, or are somebody's."""
    network: bool = False
    """The driver is `Sweeping`, and the cloud has what that takes."""
    floating: bool = False
    """Servers that nobody outside can reach can be given a floating IP."""
    list_every: Seconds = 0.0
    """How often servers are to be listed at most, where that costs the cloud much and servers take their time."""
    trouble: str = ""
    """What an operator has to see to, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How much of ours was found left behind and deleted."""

    ports: int = 0
    floating_ips: int = 0
    volumes: int = 0
    machines: int = 0
    """Machines that had failed and were put to work again."""


class DriverError(Exception):
    """What a verb raises; nothing else comes out of a driver.

    DriverError
     ├─ NoCapacity      the cloud has no room (quota): try again later, no attempt is used up
     ├─ Throttled       asked too often: wait `retry_after` seconds
     ├─ Unavailable     no answer, a timeout or a 5xx: nobody knows whether it was done
     ├─ Refused         the cloud said no (4xx): this attempt failed
     ├─ Misconfigured   what the configuration names does not exist there: the label or provider is broken
     └─ Cancelled       whoever asked for it wants it no more; raised by what is told of an upload's progress
    """


class NoCapacity(DriverError):
    pass


class Throttled(DriverError):
    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds, as the cloud said; None where it did not."""


class Unavailable(DriverError):
    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered
        """The service itself said that it failed, so it is not at it any more: what it had begun is there by now."""


class Refused(DriverError):
    pass


class Misconfigured(DriverError):
    pass


class Cancelled(DriverError):
    pass


class Driver(Protocol):
    """One provider. All verbs block, may be called from several threads at once, end within a timeout of the
    driver's own, and raise only `DriverError`."""

    @property
    def provider(self) -> ProviderName: ...

    def connect(self) -> None:
        """Log in and touch every service once, so that later calls only do what they say."""
        ...

    def list_servers(self, since: Timestamp | None, now: Timestamp) -> Listing:
        """List all servers of the project, or (where the cloud can) those changed since an instant.

        A list of changes reaches further back, as `changes` says. A driver that cannot list changes answers
        with a full listing. `now` becomes `asked`.
        """
        ...

    def capacity(self, now: Timestamp) -> Capacity: ...

    def create_server(self, order: ServerOrder) -> ServerId:
        """Ask for a server and return its id; it will show up in the lists."""
        ...

    def delete_server(self, server: ServerId) -> None:
        """Ask for the end of a server. One that does not exist is a success; it is over when a list says so."""
        ...

    def console(self, server: ServerId) -> str:
        """Return what the server printed on its console, as far as the cloud keeps it."""
        ...

    def upload_image(self, order: ImageOrder, progress: Callable[[int], None]) -> str:
        """Stream a file into the cloud and return the image's id once it can be used.

        `progress` is told the bytes sent so far. What was left by a failure is deleted again where its id is known.
        """
        ...

    def delete_image(self, image: str) -> None:
        """Delete an image; one that does not exist is a success."""
        ...

    def list_images(self) -> tuple[Image, ...]: ...

    def close(self) -> None: ...


@runtime_checkable
class Networked(Protocol):
    """What drivers can do in addition whose servers may need floating IPs."""

    def attach_address(self, server: ServerId, installation: InstallationId) -> str:
        """Give a server that nobody outside can reach a floating IP and return it. Asked again, it answers the same."""
        ...


@runtime_checkable
class Sweeping(Protocol):
    """What drivers can do in addition whose servers leave things behind, in a network or elsewhere."""

    def sweep_network(
        self, installation: InstallationId, gone: Set[ServerId], *, ports: bool, floating_ips: bool
    ) -> Swept:
        """Delete what our servers left behind: of servers that are `gone`, with `ports`, the ports and those volumes
        that were to go with them; floating IPs of this installation that are attached to nothing. Machines of ours that
        failed may be put to work again."""
        ...


@runtime_checkable
class Stepwise(Protocol):
    """What drivers do in addition whose cloud does not make a server out of one order."""

    def advance(self, server: ServerId, order: ServerOrder) -> None:
        """Take all further steps that a server with `step` set needs. Asked again, this does what is left of them, and
        nothing once they are done. Raises Unavailable where it cannot be done yet."""
        ...
