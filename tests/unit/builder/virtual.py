"""Builders in virtual time: the real reconciler, planner and effects on a tree, clouds and disks in memory."""

import random
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

from nodepool_ng.builder import jobs
from nodepool_ng.builder.dib import BuildResult
from nodepool_ng.builder.files import ImageFile
from nodepool_ng.builder.reconciler import DiskDue, Reconciler, Reconfigured
from nodepool_ng.builder.world import World
from nodepool_ng.drivers import Image, ImageOrder, Unavailable
from nodepool_ng.drivers.calls import ListImages, RemoveImage, UploadImage
from nodepool_ng.model.image_action import BuildKey
from nodepool_ng.model.image_snapshot import OnDisk
from nodepool_ng.model.settings import DiskImage, Provider, ProviderImage, Settings
from nodepool_ng.shell.effect import Step
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.installation import BASE
from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.mirror import Mirror
from nodepool_ng.zk.paths import BuildAt, UploadAt
from nodepool_ng.zk.store import Create, Delete, Set


class Killed(Exception):
    """Raised by a hook: the process dies here."""


@dataclass(slots=True)
class KillAt:
    """Hooks that let a process die at one of its steps: before it is taken, or when its answer has come.

    Steps are counted from 1, their beginnings and ends apart; with `point` 0 they are only counted.
    """

    point: int = 0
    seen: int = 0

    def before(self, action: object, step: Step) -> None:
        self._pass()

    def after(self, action: object, step: Step, answer: object) -> None:
        self._pass()

    def _pass(self) -> None:
        self.seen += 1
        if self.seen == self.point:
            raise Killed


INSTALLATION = "installation-1"
MESSAGE_TIME = 0.001
SESSION_TIMEOUT = 10.0
BUILD_TIME = 20.0
UPLOAD_TIME = 6.0
CALL_TIME = 0.05
IMAGE = "deb"


@dataclass(slots=True)
class Disk:
    """One host's images directory."""

    builder_id: str
    files: dict[BuildKey, set[str]] = field(default_factory=dict)
    claims: dict[BuildKey, str] = field(default_factory=dict)

    def seen(self) -> dict[BuildKey, OnDisk]:
        return {
            key: OnDisk(formats=frozenset(self.files.get(key, ())), known_to=self.claims.get(key))
            for key in self.files.keys() | self.claims.keys()
        }


class VirtualCloud:
    """One provider's images. What it is told to say instead of doing is in `refusals`, for one verb each."""

    def __init__(self) -> None:
        self.images: dict[str, ImageOrder] = {}
        self.refusals: list[tuple[type, Exception]] = []
        self.uploads = 0

    def refusal(self, call: object) -> Exception | None:
        for index, (kind, error) in enumerate(self.refusals):
            if isinstance(call, kind):
                del self.refusals[index]
                return error
        return None

    def listing(self) -> tuple[Image, ...]:
        return tuple(
            Image(
                id=id,
                name=order.name,
                status="active",
                provider=order.marks.provider,
                build=order.marks.build,
                upload=order.marks.upload,
                installation=order.marks.installation,
            )
            for id, order in self.images.items()
        )


@dataclass(slots=True, eq=False)
class VirtualBuilder:
    """One builder process, with the way to its clouds and the jobs that it has done."""

    site: "VirtualSite"
    disk: Disk
    store: MemoryStore
    alive: bool = True
    wakes: list[float] = field(default_factory=list)
    builds: int = 0
    reconciler: Reconciler = field(init=False)

    def submit(self, provider_or_job, *rest):
        """Both doors of an effect: `Clouds.submit(provider, call, done)` and `Workshop.submit(job, done)`."""
        if len(rest) == 2:
            self._call(self.site.clouds[provider_or_job], *rest)
        else:
            self._work(provider_or_job, *rest)

    def _later(self, seconds, does):
        self.site.timeline.schedule(seconds, lambda: does() if self.alive else None)

    def _call(self, cloud, call, done):
        if refusal := cloud.refusal(call):
            self._later(CALL_TIME, lambda: done(refusal))
            return
        match call:
            case UploadImage(order):
                cloud.uploads += 1
                id = f"image-{self.site.hex()[:8]}"
                # the cloud has it before the caller knows its id
                self._later(UPLOAD_TIME / 2, lambda: cloud.images.__setitem__(id, order))
                self._later(UPLOAD_TIME, lambda: done(id))
            case RemoveImage(image):
                self._later(CALL_TIME, lambda: done(cloud.images.pop(image, None) and None))
            case ListImages():
                self._later(CALL_TIME, lambda: done(cloud.listing()))

    def _work(self, job, done):
        disk = self.disk
        match job:
            case jobs.CheckOrder():
                self._later(CALL_TIME, lambda: done(tuple(self.site.troubles)))
            case jobs.RunBuild(order):
                self.builds += 1
                key = BuildKey(order.image, order.id)
                disk.claims[key] = job.installation
                disk.files[key] = set()
                self._later(BUILD_TIME, lambda: done(self._built(key, order)))
            case jobs.SeeDisk():
                seen = disk.seen()
                self._later(CALL_TIME, lambda: done(seen))
            case jobs.Discard(_, build, image_format):
                if image_format is None:
                    disk.files.pop(build, None)
                    disk.claims.pop(build, None)
                else:
                    disk.files[build].discard(image_format)
                self._later(CALL_TIME, lambda: done(()))
            case jobs.Claim(_, build, installation):
                disk.claims[build] = installation
                self._later(CALL_TIME, lambda: done(None))
            case jobs.FindFile(_, image, build, image_format):
                there = image_format in disk.files.get(BuildKey(image, build), ())
                file = ImageFile(format=image_format, path=Path("/images/x"), size=1, md5="m", sha256="s")
                self._later(CALL_TIME, lambda: done(file if there else None))
            case jobs.RunHook():
                self.site.hooks.append(job)
                why = self.site.hook_says
                self._later(CALL_TIME, lambda: done(why))

    def _built(self, key, order):
        if self.site.build_says:
            return BuildResult(returncode=1, duration=BUILD_TIME)
        self.disk.files[key] = set(order.formats)
        files = tuple(ImageFile(format=f, path=Path("x"), size=1) for f in sorted(order.formats))
        return BuildResult(returncode=0, duration=BUILD_TIME, files=files)


class VirtualSite:
    """A tree, two clouds, and builders."""

    def __init__(self, seed: int = 1, **image: object) -> None:
        self.rng = random.Random(seed)
        self.timeline = Timeline()
        self.tree = Tree(self.timeline.schedule, self.timeline.now)
        self.clouds = {name: VirtualCloud() for name in ("north", "south")}
        self.troubles: list[str] = []
        self.build_says = ""
        self.hook_says: str | None = None
        self.hooks: list[jobs.RunHook] = []
        deb = DiskImage(**{"name": IMAGE, "elements": ("debian",), "metadata": {"a": "1", "b": "1"}} | image)
        self.settings = Settings(
            diskimages={IMAGE: deb},
            providers={
                name: Provider(name=name, images={IMAGE: ProviderImage(name=IMAGE, meta={"b": "2"})})
                for name in self.clouds
            },
            images_dir="/images",
        )
        self._found: dict[type, list] = {}
        self.tree.listen(lambda changed: self._found.clear())
        self.client = MemoryStore(self.tree, lambda: MESSAGE_TIME)
        self.client.start()
        self.timeline.run(0.1)
        for path in BASE:
            self.commit(Create(path))
        self.commit(Create(paths.INSTALLATION, codec.encode_installation(INSTALLATION)))

    def commit(self, *ops):
        return self.tree.commit(ops, self.client.session_id)

    def hex(self) -> str:
        return uuid.UUID(int=self.rng.getrandbits(128)).hex

    def builder(self, disk: Disk | None = None, hooks=None, settings: Settings | None = None) -> VirtualBuilder:
        """Start a builder, on a host of its own or with the disk of an earlier one."""
        store = MemoryStore(self.tree, lambda: MESSAGE_TIME)
        builder = VirtualBuilder(self, disk or Disk(self.hex()), store)

        def post(letter):
            self.timeline.schedule(0.0, lambda: self._deal(builder, letter))

        mirror = Mirror(store, post)
        world = World(
            settings=settings or self.settings,
            images_dir=Path("/images"),
            installation=INSTALLATION,
            owner=self.hex(),
            builder_id=builder.disk.builder_id,
            hostname="host",
            picture=mirror.picture,
            new_id=self.hex,
            progress=lambda to, size: lambda count: None,
            build_workers=1,
            upload_workers=4,
            now=self.timeline.now(),
        )
        builder.reconciler = Reconciler(
            world=world,
            mirror=mirror,
            store=store,
            clouds=builder,
            workshop=builder,
            clock=self.timeline,
            post=post,
            hooks=hooks,
        )
        mirror.start()
        store.start()
        self._tick(builder)
        return builder

    def kill(self, builder: VirtualBuilder) -> None:
        """End a builder as kill -9 does."""
        if builder.alive:
            builder.alive = False
            session = builder.store.vanish()
            self.timeline.schedule(SESSION_TIMEOUT, lambda: self.tree.end_session(session))

    def reconfigure(self, builder: VirtualBuilder, settings: Settings) -> None:
        self.settings = settings
        self._deal(builder, Reconfigured(settings))

    def request_build(self) -> None:
        self.commit(Create(paths.build_requested(IMAGE)))

    def order_deletion(self, key: BuildKey) -> None:
        """Do as `nodepool dib-image-delete` does."""
        build = self.builds()[key]
        record = codec.encode_build(replace(build, state="deleting"))
        self.commit(Set(paths.build(key.image, key.build), record))

    def erase_all(self) -> None:
        """Lose all records of the image, as an operator with a wrong command would."""
        for path in sorted((p for p in self.tree.paths() if p.startswith(paths.image(IMAGE))), reverse=True):
            self.commit(Delete(path))

    def builds(self):
        return {BuildKey(at.image, at.id): record for at, record in self._records(BuildAt)}

    def uploads(self):
        return {(at.provider, at.build, at.id): record for at, record in self._records(UploadAt)}

    def states(self) -> list[str]:
        """Return the state of every build and upload."""
        return sorted(str(record.state) for record in (*self.builds().values(), *self.uploads().values()))

    def _records(self, kind):
        """Return records with their places; read again only when the tree has changed."""
        if kind not in self._found:
            at_paths = [(path, paths.parse(path)) for path in self.tree.paths()]
            self._found[kind] = [
                (at, codec.decode(path, at, data))
                for path, at in at_paths
                if isinstance(at, kind) and (data := self.tree.look(path).data)
            ]
        return self._found[kind]

    def contenders(self) -> list[str]:
        return [path for path in self.tree.paths() if "__lock__" in path]

    def run(self, seconds: float) -> None:
        self.timeline.run(seconds)

    def wait(self, reached, patience: float = 600.0) -> None:
        assert self.timeline.wait_for(reached, patience), (self.states(), self.contenders())

    def in_service(self, count: int = 1):
        """Return what tells whether so many builds are ready, everywhere, and nothing else is there."""

        def reached() -> bool:
            return self.states() == ["ready"] * 3 * count

        return reached

    def faults(self, *disks: Disk) -> list[str]:
        """Return what is wrong with a site at rest: images without records, records without images, and litter."""
        found = []
        recorded = {(provider, record.external_id) for (provider, _, _), record in self.uploads().items()}
        there = {(provider, image) for provider, cloud in self.clouds.items() for image in cloud.images}
        found += [f"leaked {one}" for one in there - recorded] + [f"lost {one}" for one in recorded - there]
        builds = self.builds()
        for disk in disks:
            mine = {key for key, build in builds.items() if build.builder_id == disk.builder_id}
            found += [f"files of {key}" for key in disk.seen().keys() - mine]
            found += [f"no files of {key}" for key in mine if not disk.files.get(key)]
        found += [f"locked {path}" for path in self.contenders()]
        return found

    def _tick(self, builder: VirtualBuilder) -> None:
        if builder.alive:
            self.timeline.schedule(30.0, lambda: self._tick(builder))
            self.timeline.schedule(30.0, lambda: self._deal(builder, DiskDue()))

    def _deal(self, builder: VirtualBuilder, letter) -> None:
        if not builder.alive:
            return
        try:
            builder.reconciler.deal(letter)
            self._turn(builder)
        except Killed:
            self.kill(builder)

    def _woken(self, builder: VirtualBuilder, wake: float) -> None:
        builder.wakes.remove(wake)
        if builder.alive:
            try:
                self._turn(builder)
            except Killed:
                self.kill(builder)

    def _turn(self, builder: VirtualBuilder) -> None:
        wake = builder.reconciler.turn()
        if wake is not None and wake not in builder.wakes:
            builder.wakes.append(wake)
            self.timeline.schedule_at(wake, lambda: self._woken(builder, wake))


def requested(site: VirtualSite) -> bool:
    return site.tree.look(paths.build_requested(IMAGE)) is not None


def lost_answer() -> Unavailable:
    return Unavailable("no answer")
