"""A scene for the planner of images: one image `deb` for the providers `north` and `south`, and what one adds to it."""

from dataclasses import replace

from nodepool_ng.model.action import Subject
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.image_action import BuildKey, Destination, ImageAction, UploadKey, image_subjects
from nodepool_ng.model.image_snapshot import CloudImage, CloudImages, ImageSnapshot, OnDisk
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code
from nodepool_ng.model.settings import DiskImage, Provider, ProviderImage, Settings
from nodepool_ng.model.snapshot import Backoff, Side
from nodepool_ng.plan.images import ImagePlan, plan_images

NOW = 1_000_000.0
OURS, THEIRS = "builder-a", "builder-b"
HOME, ELSEWHERE = "installation-1", "installation-2"
DEB = "deb"


def key(number: int, image: str = DEB) -> BuildKey:
    return BuildKey(image, f"{number:032x}")


def up(number: int, provider: str = "north", upload: int = 1, image: str = DEB) -> UploadKey:
    return UploadKey(image, f"{number:032x}", provider, f"{upload:010d}")


def to(number: int, provider: str = "north", image: str = DEB) -> Destination:
    return Destination(image, f"{number:032x}", provider)


class ImageScene:
    """What there is; `plan` tells what is done about it, `codes` in short."""

    def __init__(self) -> None:
        self.images = {DEB: DiskImage(name=DEB, elements=("debian",))}
        self.providers = {name: provider(name, DEB) for name in ("north", "south")}
        self.builds: dict[BuildKey, Build] = {}
        self.uploads: dict[UploadKey, Upload] = {}
        self.disk: dict[BuildKey, OnDisk] | None = {}
        self.build_locks: dict[str, Side] = {}
        self.upload_locks: dict[Destination, Side] = {}
        self.unlocked_since: dict[BuildKey | UploadKey, float] = {}
        self.running: dict[str, BuildKey] = {}
        self.requested: set[str] = set()
        self.cancels: set[str] = set()
        self.paused: set[str] = set()
        self.unreadable: set[BuildKey | UploadKey] = set()
        self.empty: set[str] = set()
        self.clouds = {name: CloudImages(ours=(), count=0, listed=NOW - 1) for name in self.providers}
        self.in_flight: dict[Subject, ImageAction] = {}
        self.build_backoff: dict[str, Backoff] = {}
        self.upload_backoff: dict[tuple[str, str], Backoff] = {}
        self.cloud_backoff: dict[Subject, Backoff] = {}
        self.cooling: dict[Subject, float] = {}
        self.disk_looked = NOW - 1
        self.disk_stale = False
        self.build_workers, self.upload_workers = 1, 4

    def build(
        self,
        number: int,
        state: ImageState = ImageState.READY,
        *,
        age: float = 100.0,
        by: str = OURS,
        formats: tuple[str, ...] = ("qcow2",),
        image: str = DEB,
        here: bool | None = None,
        known_to: str | None = HOME,
    ) -> BuildKey:
        """There is a build; its files are here if it is ours (or as `here` says)."""
        made = key(number, image)
        self.builds[made] = Build(
            image=image, id=made.build, state=state, state_time=NOW - age, builder_id=by, formats=formats
        )
        if here if here is not None else by == OURS:
            self.files(number, formats=formats, image=image, known_to=known_to)
        return made

    def files(
        self, number: int, *, formats: tuple[str, ...] = ("qcow2",), image: str = DEB, known_to: str | None = HOME
    ) -> BuildKey:
        made = key(number, image)
        assert self.disk is not None
        self.disk[made] = OnDisk(formats=frozenset(formats), known_to=known_to)
        return made

    def upload(
        self,
        number: int,
        provider: str = "north",
        state: ImageState = ImageState.READY,
        *,
        age: float = 90.0,
        upload: int = 1,
        image: str = DEB,
    ) -> UploadKey:
        made = up(number, provider, upload, image)
        self.uploads[made] = Upload(
            image=image,
            build=made.build,
            provider=provider,
            id=made.id,
            state=state,
            state_time=NOW - age,
            external_id=f"cloud-{number}-{provider}-{upload}" if state is not ImageState.UPLOADING else None,
        )
        return made

    def everywhere(self, number: int, *, age: float = 90.0, image: str = DEB) -> None:
        for name in self.providers:
            self.upload(number, name, age=age, image=image)

    def flying(self, action: ImageAction) -> None:
        self.in_flight.update(dict.fromkeys(image_subjects(action), action))

    def image(self, name: str = DEB, **changes: object) -> None:
        self.images[name] = replace(self.images.get(name, DiskImage(name=name, elements=("debian",))), **changes)

    def in_cloud(self, *ids: str, upload: int = 7, seen: float = NOW - 50, count: int = 100, confirmed=False) -> None:
        found = tuple(CloudImage(id=id, build=f"{9:032x}", upload=f"{upload:010d}", first_seen=seen) for id in ids)
        self.clouds["north"] = CloudImages(ours=found, count=count, listed=NOW - 1, confirmed=confirmed)

    def snapshot(self, now: float = NOW) -> ImageSnapshot:
        return ImageSnapshot(
            now=now,
            settings=Settings(diskimages=self.images, providers=self.providers),
            installation=HOME,
            builder_id=OURS,
            build_workers=self.build_workers,
            upload_workers=self.upload_workers,
            builds=self.builds,
            uploads=self.uploads,
            unreadable=self.unreadable,
            empty=self.empty,
            build_locks=self.build_locks,
            upload_locks=self.upload_locks,
            unlocked_since=self.unlocked_since,
            paused=self.paused,
            requested=self.requested,
            cancels=self.cancels,
            disk=self.disk,
            disk_looked=self.disk_looked,
            disk_stale=self.disk_stale,
            running=self.running,
            clouds=self.clouds,
            in_flight=self.in_flight,
            build_backoff=self.build_backoff,
            upload_backoff=self.upload_backoff,
            cloud_backoff=self.cloud_backoff,
            cooling=self.cooling,
        )

    def plan(self, now: float = NOW) -> ImagePlan:
        return plan_images(self.snapshot(now))

    def does(self, now: float = NOW) -> list[tuple[str, str, Code]]:
        """Return each action as (kind, what it is about, reason)."""
        return [
            (type(action).__name__, image_subjects(action)[0][1], action.why.code) for action in self.plan(now).actions
        ]


def provider(name: str, *images: str, image_format: str = "qcow2", pause: bool = False) -> Provider:
    listed = {image: ProviderImage(name=image, format=image_format, pause=pause) for image in images}
    return Provider(name=name, cloud=name, images=listed)
