"""What came of a builder's action: the event for the next look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.builder.dib import BuildResult
from nodepool_ng.drivers import DriverError, Image
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.image_action import BuildKey
from nodepool_ng.model.image_snapshot import OnDisk


@dataclass(frozen=True, slots=True)
class Done:
    """It was carried out; what changed is in the mirror already."""


@dataclass(frozen=True, slots=True)
class Lost:
    """It was not carried out, or nobody knows: the world was not as expected, or ZooKeeper did not answer. What is
    to be done next follows from what is there."""

    why: str


@dataclass(frozen=True, slots=True)
class Built:
    """There is a new image, and a ready record of it."""

    build: BuildKey
    formats: frozenset[str]
    result: BuildResult | None = None


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """There is no new image; try again later. `result` is that of a build that was begun; `by_order`: an operator
    ended it."""

    why: str
    result: BuildResult | None = None
    by_order: bool = False


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`seconds` is how long it took, with its hook."""

    seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class NotUploaded:
    """Try again later. `error` is the cloud's, if it was the cloud."""

    why: str
    error: DriverError | None = None


@dataclass(frozen=True, slots=True)
class DiskSeen:
    found: Mapping[BuildKey, OnDisk]
    began: Timestamp


@dataclass(frozen=True, slots=True)
class ImagesSeen:
    images: tuple[Image, ...]
    asked: Timestamp
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A cloud, or this machine, did not do what it was asked for; try again later."""

    why: str


Outcome: TypeAlias = Done | Lost | Built | NotBuilt | Uploaded | NotUploaded | DiskSeen | ImagesSeen | Failed
