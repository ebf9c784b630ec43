"""Everything a builder's decision may rest on, at one instant."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType

from nodepool_ng.model.action import Subject
from nodepool_ng.model.ids import BuildId, ImageName, InstallationId, ProviderName, Timestamp, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.image_action import BuildKey, Destination, ImageAction, UploadKey
from nodepool_ng.model.settings import Settings
from nodepool_ng.model.snapshot import Backoff, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """What the images directory holds of one build. `known_to` is the installation whose tree had its record once;
    None for files that nobody knows."""

    formats: frozenset[str] = frozenset()
    litter: bool = False
    """There is more than whole images, their checksums and the manifests."""
    known_to: InstallationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudImage:
    """An image in a provider's cloud that carries our installation's marks."""

    id: str
    build: BuildId
    upload: UploadId
    first_seen: Timestamp
    """When the first list that showed it without a record was asked for; later than `listed` where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudImages:
    """What the last list of a provider's images told: ours, how many there are in all, and when it was asked for."""

    ours: tuple[CloudImage, ...]
    count: int
    listed: Timestamp
    confirmed: bool = False
    """The operator permits a big sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSnapshot:
    """The views do not change while a plan is made. A lock that nobody holds is not listed."""

    now: Timestamp
    settings: Settings
    installation: InstallationId
    builder_id: str
    build_workers: int
    upload_workers: int
    builds: Mapping[BuildKey, Build]
    uploads: Mapping[UploadKey, Upload]
    unreadable: Set[BuildKey | UploadKey]
    """Builds and uploads that have a record which cannot be read."""
    empty: Set[str]
    """Paths of builds and uploads that are there without data and without a lock."""
    build_locks: Mapping[ImageName, Side]
    upload_locks: Mapping[Destination, Side]
    unlocked_since: Mapping[BuildKey | UploadKey, Timestamp]
    """Since when something under construction has been seen without the lock of whoever makes it."""
    paused: Set[ImageName]
    requested: Set[ImageName]
    """Images of which an operator asked for a build."""
    disk: Mapping[BuildKey, OnDisk] | None
    """None until the first look."""
    disk_looked: Timestamp
    """When the last look began: it shows no file that is younger."""
    disk_stale: bool
    running: Mapping[ImageName, BuildKey]
    """The builds that this process is making."""
    clouds: Mapping[ProviderName, CloudImages]
    in_flight: Mapping[Subject, ImageAction]
    cancels: Set[str] = frozenset()
    """Builds and uploads (as their keys are written) that an operator wants to end."""
    stale_clouds: Set[ProviderName] = frozenset()
    """Clouds in which something may have been left behind since their last list."""
    build_backoff: Mapping[ImageName, Backoff] = field(default_factory=lambda: MappingProxyType({}))
    upload_backoff: Mapping[tuple[ImageName, ProviderName], Backoff] = field(
        default_factory=lambda: MappingProxyType({})
    )
    cloud_backoff: Mapping[Subject, Backoff] = field(default_factory=lambda: MappingProxyType({}))
    """For deletions and lists."""
    cooling: Mapping[Subject, Timestamp] = field(default_factory=lambda: MappingProxyType({}))
    """Subjects of actions that just failed, and until when they are to be left alone."""
