"""A builder under virtual time: the daemon's own reconciler, planner and effects, with a disk in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from nodepool_ng.builder import jobs
from nodepool_ng.builder.dib import BuildOrder, BuildResult
from nodepool_ng.builder.files import ImageFile
from nodepool_ng.builder.reconciler import DiskDue, Reconciler
from nodepool_ng.builder.world import World
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.image_action import BuildKey
from nodepool_ng.model.image_snapshot import OnDisk
from nodepool_ng.model.settings import Settings
from nodepool_ng.shell.runner import Clouds
from nodepool_ng.sim.virtual.process import VirtualProcess
from nodepool_ng.sim.virtual.promise import INSTALLATION
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.sim.virtual.witness import reading
from nodepool_ng.zk.mirror import Mirror

BUILD_TIME: Seconds = 8.0
JOB_TIME: Seconds = 0.02
DISK_EVERY: Seconds = 30.0
IMAGES_DIR = Path("images")

VirtualBuilder: TypeAlias = VirtualProcess[Reconciler]


@dataclass(slots=True)
class Disk:
    """What one host keeps when its builder dies: files by build, and whose they are."""

    builder_id: str
    files: dict[BuildKey, frozenset[str]] = field(default_factory=dict)
    whose: dict[BuildKey, str] = field(default_factory=dict)

    def seen(self) -> dict[BuildKey, OnDisk]:
        builds = dict.fromkeys((*self.files, *self.whose))
        return {
            key: OnDisk(formats=self.files.get(key, frozenset()), known_to=self.whose.get(key))  # type: ignore[arg-type]
            for key in builds
        }


class DiskWorkshop:
    """Does a builder's jobs on a disk. What runs when the process dies is never heard of."""

    def __init__(self, timeline: Timeline, process: VirtualBuilder, disk: Disk) -> None:
        self._timeline = timeline
        self._process = process
        self._disk = disk

    def submit(self, job: object, done: Callable[[Any], None]) -> None:
        seconds = BUILD_TIME if isinstance(job, jobs.RunBuild) else JOB_TIME
        if isinstance(job, jobs.RunBuild):
            self._disk.whose[_key(job.order)] = job.installation
        self._timeline.schedule(seconds, lambda: self._finish(job, done))

    def _finish(self, job: object, done: Callable[[Any], None]) -> None:
        if self._process.alive:
            done(self._perform(job))

    def _perform(self, job: object) -> object:
        disk = self._disk
        match job:
            case jobs.CheckOrder():
                return ()
            case jobs.RunBuild(order):
                disk.files[_key(order)] = order.formats
                files = tuple(_file(image_format) for image_format in sorted(order.formats))
                return BuildResult(returncode=0, duration=BUILD_TIME, files=files)
            case jobs.SeeDisk():
                return disk.seen()
            case jobs.Discard(build=build, format=None):
                disk.files.pop(build, None)
                disk.whose.pop(build, None)
                return ()
            case jobs.Discard(build=build, format=str(image_format)):
                disk.files[build] = disk.files.get(build, frozenset()) - {image_format}
                return ()
            case jobs.Claim(build=build, installation=installation):
                disk.whose[build] = installation
                return None
            case jobs.FindFile(image=image, build=build_id, format=image_format):
                there = image_format in disk.files.get(BuildKey(image, build_id), frozenset())
                return _file(image_format) if there else None
            case _:
                return None


def _key(order: BuildOrder) -> BuildKey:
    return BuildKey(order.image, order.id)


def _file(image_format: str) -> ImageFile:
    return ImageFile(format=image_format, path=IMAGES_DIR / image_format, size=1, md5="0", sha256="0")


def assemble(
    process: VirtualBuilder,
    timeline: Timeline,
    settings: Settings,
    disk: Disk,
    clouds: Clouds,
    new_id: Callable[[], str],
) -> None:
    """Put a builder together and start it."""
    mirror = Mirror(process.store, process.post, decode=reading)
    world = World(
        settings=settings,
        images_dir=IMAGES_DIR,
        installation=INSTALLATION,
        owner=new_id(),
        builder_id=disk.builder_id,
        hostname=process.name,
        picture=mirror.picture,
        new_id=new_id,
        progress=lambda to, size: lambda count: None,
        build_workers=1,
        upload_workers=4,
        now=process.clock.now(),
    )
    process.reconciler = Reconciler(
        world=world,
        mirror=mirror,
        store=process.store,
        clouds=clouds,
        workshop=DiskWorkshop(timeline, process, disk),
        clock=process.clock,
        post=process.post,
    )

    def look_at_disk() -> None:
        if process.alive:
            process.post(DiskDue())
            timeline.schedule(DISK_EVERY, look_at_disk)

    mirror.start()
    process.store.start()
    timeline.schedule(DISK_EVERY, look_at_disk)
