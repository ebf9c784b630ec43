"""Looking at the disk and at clouds, and holding on to locks."""

from nodepool_ng.builder.effects.locked import Lock, hold
from nodepool_ng.builder.jobs import SeeDisk
from nodepool_ng.builder.outcome import DiskSeen, Done, Failed, ImagesSeen, Lost, Outcome
from nodepool_ng.builder.preflight import TOOLS
from nodepool_ng.builder.world import World
from nodepool_ng.drivers import DriverError, calls
from nodepool_ng.model import image_action as do
from nodepool_ng.model.ids import ImageName
from nodepool_ng.model.image_action import Destination
from nodepool_ng.model.settings import formats_needed
from nodepool_ng.shell.effect import Effect, ask, call, fence, work
from nodepool_ng.shell.locking import Busy, give_back
from nodepool_ng.zk import paths
from nodepool_ng.zk.paths import BuildsAt, UploadsAt
from nodepool_ng.zk.store import Get, Got


def look_at_disk(world: World, action: do.LookAtDisk) -> Effect[Outcome]:
    began = world.now
    formats = {*TOOLS, *(f for image in world.settings.diskimages for f in formats_needed(world.settings, image))}
    formats |= {one for entry in world.picture.builds.values() for one in entry.record.formats}
    found = yield from work(SeeDisk(world.images_dir, frozenset(formats)))
    return Failed(found) if isinstance(found, str) else DiskSeen(found, began)


def list_images(world: World, action: do.ListImages) -> Effect[Outcome]:
    """List a cloud's images, and hold the list against a mirror that is at least as new."""
    asked = world.now
    images = yield from call(action.provider, calls.ListImages())
    if isinstance(images, DriverError):
        return Failed(str(images))
    yield from fence()
    (confirmed,) = yield from ask(Get(paths.confirmed(action.provider)))
    return ImagesSeen(images, asked, isinstance(confirmed, Got))


def _lock_and_guarded(of: ImageName | Destination) -> tuple[Lock, str]:
    if isinstance(of, Destination):
        return UploadsAt(of.image, of.build, of.provider), paths.build(of.image, of.build)
    return BuildsAt(of), paths.builds(of)


def hold_on(world: World, action: do.HoldOn) -> Effect[Outcome]:
    """Take a lock again that we had; the work that it is for goes on meanwhile and gives it back."""
    held = yield from hold(world, _lock_and_guarded(action.of))
    return Lost(held.why) if isinstance(held, Busy) else Done()


def let_go(world: World, action: do.LetGo) -> Effect[Outcome]:
    contender = world.our_contender(_lock_and_guarded(action.of)[0])
    if contender is not None:
        yield from give_back([contender])
    return Done()
