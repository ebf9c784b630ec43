"""A driver's verbs as values, so that a call can wait in a queue, be counted, delayed, or made in a simulation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.drivers import (
    Capacity,
    Driver,
    Image,
    ImageOrder,
    Listing,
    Misconfigured,
    Networked,
    ServerOrder,
    Stepwise,
    Sweeping,
    Swept,
)
from nodepool_ng.model.ids import InstallationId, ServerId, Timestamp


@dataclass(frozen=True, slots=True)
class ListAll:
    """List servers: all, or those changed since an instant."""

    since: Timestamp | None


@dataclass(frozen=True, slots=True)
class Look:
    """Read capacity."""


@dataclass(frozen=True, slots=True)
class Create:
    order: ServerOrder


@dataclass(frozen=True, slots=True)
class Remove:
    server: ServerId


@dataclass(frozen=True, slots=True)
class ReadConsole:
    server: ServerId


@dataclass(frozen=True, slots=True)
class Advance:
    server: ServerId
    order: ServerOrder


@dataclass(frozen=True, slots=True)
class AttachAddress:
    server: ServerId
    installation: InstallationId


@dataclass(frozen=True, slots=True)
class SweepNetwork:
    installation: InstallationId
    gone: frozenset[ServerId]
    ports: bool
    floating_ips: bool


@dataclass(frozen=True, slots=True)
class UploadImage:
    order: ImageOrder
    progress: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RemoveImage:
    image: str


@dataclass(frozen=True, slots=True)
class ListImages:
    pass


Call: TypeAlias = (
    ListAll
    | Look
    | Create
    | Remove
    | ReadConsole
    | Advance
    | AttachAddress
    | SweepNetwork
    | UploadImage
    | RemoveImage
    | ListImages
)
Value: TypeAlias = Listing | Capacity | ServerId | str | Swept | tuple[Image, ...] | None


def perform(driver: Driver, call: Call, now: Timestamp) -> Value:
    """Make the call; raises `DriverError` and nothing else, as the driver does."""
    match call:
        case ListAll(since):
            return driver.list_servers(since, now)
        case Look():
            return driver.capacity(now)
        case Create(order):
            return driver.create_server(order)
        case Remove(server):
            driver.delete_server(server)
            return None
        case ReadConsole(server):
            return driver.console(server)
        case Advance(server, order):
            _stepwise(driver).advance(server, order)
            return None
        case AttachAddress(server, installation):
            return _networked(driver).attach_address(server, installation)
        case SweepNetwork(installation, gone, ports, floating_ips):
            return _sweeping(driver).sweep_network(installation, gone, ports=ports, floating_ips=floating_ips)
        case UploadImage(order, progress):
            return driver.upload_image(order, progress)
        case RemoveImage(image):
            driver.delete_image(image)
            return None
        case ListImages():
            return driver.list_images()


def _networked(driver: Driver) -> Networked:
    if isinstance(driver, Networked):
        return driver
    raise Misconfigured(f"{driver.provider}: this kind of provider has no floating IPs")


def _sweeping(driver: Driver) -> Sweeping:
    if isinstance(driver, Sweeping):
        return driver
    raise Misconfigured(f"{driver.provider}: servers of this kind of provider leave nothing behind")


def _stepwise(driver: Driver) -> Stepwise:
    if isinstance(driver, Stepwise):
        return driver
    raise Misconfigured(f"{driver.provider}: this kind of provider makes servers in one step")
