"""Building an image: intent first, then the work, then what came of it; the image's lock is held all the while."""

import logging
from pathlib import Path

from nodepool_ng.builder import dib, files
from nodepool_ng.builder.effects.locked import Settled, ensure, finish, hold, let_go
from nodepool_ng.builder.jobs import CheckOrder, RunBuild
from nodepool_ng.builder.limits import Limits
from nodepool_ng.builder.outcome import Built, Lost, NotBuilt, Outcome
from nodepool_ng.builder.world import World
from nodepool_ng.model import image_action as do
from nodepool_ng.model.ids import ImageName
from nodepool_ng.model.image import Build, build_moved
from nodepool_ng.model.image_action import BuildKey
from nodepool_ng.model.lifecycle import ImageEvent, ImageState
from nodepool_ng.model.settings import DiskImage
from nodepool_ng.plan.image_agenda import Stock
from nodepool_ng.plan.images_due import build_due
from nodepool_ng.shell.effect import Effect, commit, fence, work
from nodepool_ng.shell.locking import Busy
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.paths import BuildsAt
from nodepool_ng.zk.store import Check, Create, Delete, Failure, Op, Set

_log = logging.getLogger("nodepool.builder")


def build_image(world: World, action: do.BuildImage) -> Effect[Outcome]:
    """Build an image, if that is still due once nobody else can begin to."""
    image = action.image
    configured = world.settings.diskimages.get(image)
    if configured is None:
        return Lost("the image is not configured any more")
    key = world.new_build(image)
    order = order_of(world, key, configured, action.formats)
    troubles = yield from work(CheckOrder(order))
    if troubles:
        return NotBuilt("; ".join(troubles))
    if failure := (yield from ensure(paths.image(image), paths.builds(image))):
        return Lost(str(failure))
    held = yield from hold(world, (BuildsAt(image), paths.builds(image)))
    if isinstance(held, Busy):
        return Lost(held.why)
    yield from fence()
    snapshot = world.snapshot({})
    if build_due(snapshot, Stock(snapshot), image) is None:
        yield from let_go(*held)
        return Lost("another builder was faster")
    by_hand = image in world.picture.build_requests
    begun = Build(
        image=image,
        id=key.build,
        state=ImageState.BUILDING,
        state_time=world.now,
        builder=world.hostname,
        builder_id=world.builder_id,
        formats=tuple(sorted(action.formats)),
    )
    create = Create(paths.build(image, key.build), codec.encode_build(begun))
    answer = yield from commit(Check(held[0].contender), create)
    if isinstance(answer, Failure):
        yield from let_go(*held)
        return Lost(str(answer))
    world.running[image] = key
    result = yield from work(RunBuild(order, world.installation, world.settings.build_log_retention))
    return (yield from _record(world, key, configured, result, by_hand=by_hand))


def order_of(world: World, key: BuildKey, configured: DiskImage, formats: frozenset[str]) -> dib.BuildOrder:
    return dib.BuildOrder(
        image=key.image,
        id=key.build,
        elements=configured.elements,
        formats=formats,
        images_dir=world.images_dir,
        log=Path(world.settings.build_log_dir, files.log_name(key.image, key.build)),
        release=configured.release,
        env_vars=configured.env_vars,
        elements_dir=world.settings.elements_dir,
        dib_cmd=configured.dib_cmd,
        timeout=configured.build_timeout,
        limits=Limits(memory=configured.build_memory, processes=configured.build_processes),
    )


def _record(
    world: World, key: BuildKey, configured: DiskImage, result: dib.BuildResult | str, *, by_hand: bool
) -> Effect[Outcome]:
    """Write down what came of a build. A request by hand is done with only after a good one, or one that an operator
    cancelled."""
    good = isinstance(result, dib.BuildResult) and result.succeeded
    by_order = isinstance(result, dib.BuildResult) and result.by_order
    why = result.why if isinstance(result, dib.BuildResult) else result
    path = paths.build(key.image, key.build)

    def last(contender: str) -> list[Op] | Settled:
        entry = world.build(key)
        if entry is None:
            return Settled("its record is gone")
        if entry.record.state is not ImageState.BUILDING:
            done = entry.record.state is (ImageState.READY if good else ImageState.FAILED)
            return Settled(None if done else "its record was changed by somebody else")
        record = build_moved(
            entry.record,
            ImageEvent.SUCCEEDED if good else ImageEvent.FAILED,
            world.now,
            formats=tuple(sorted(entry.record.formats)) if good else (),
            username=configured.username,
            python_path=configured.python_path,
            shell_type=configured.shell_type,
        )
        ops: list[Op] = [Set(path, codec.encode_build(record), entry.version)]
        if (good or by_order) and by_hand and _still_requested(world, key.image):
            ops.append(Delete(paths.build_requested(key.image)))
        return [*ops, Delete(contender)]

    trouble = yield from finish(world, BuildsAt(key.image), paths.builds(key.image), last)
    if isinstance(result, dib.BuildResult):
        for problem in result.litter:
            _log.warning("Build %s left something behind: %s", key, problem)
    if trouble is not None:
        _log.warning("Build %s came to nothing: %s", key, trouble)
        return Lost(trouble)
    if not good or isinstance(result, str):
        _log.error("Build %s failed: %s", key, why)
        return NotBuilt(why, None if isinstance(result, str) else result, by_order)
    sizes = ", ".join(f"{file.format} {file.size / 1e6:.1f} MB" for file in result.files)
    _log.info("Build %s is ready after %.0f s: %s", key, result.duration, sizes)
    return Built(key, frozenset(file.format for file in result.files), result)


def _still_requested(world: World, image: ImageName) -> bool:
    return image in world.picture.build_requests
