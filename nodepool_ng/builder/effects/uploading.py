"""Bringing a build into a cloud: intent first, then the upload, the hook, and what came of it."""

import logging

from nodepool_ng.builder.effects.locked import Settled, ensure, finish, hold, let_go
from nodepool_ng.builder.files import ImageFile
from nodepool_ng.builder.jobs import FindFile, RunHook
from nodepool_ng.builder.outcome import Lost, NotUploaded, Outcome, Uploaded
from nodepool_ng.builder.world import World
from nodepool_ng.drivers import DriverError, ImageOrder, Marks
from nodepool_ng.drivers.calls import RemoveImage, UploadImage
from nodepool_ng.model import image_action as do
from nodepool_ng.model.gate import Gate, GateState, at_gate
from nodepool_ng.model.ids import UploadId
from nodepool_ng.model.image import Build, Upload, upload_moved
from nodepool_ng.model.image_action import Destination, UploadKey
from nodepool_ng.model.lifecycle import ImageEvent, ImageState
from nodepool_ng.model.settings import Provider
from nodepool_ng.plan.image_agenda import Stock
from nodepool_ng.shell.effect import Effect, call, commit, fence, work
from nodepool_ng.shell.locking import Busy
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.paths import UploadsAt
from nodepool_ng.zk.store import Check, Create, Delete, Failure, Op, Set

_log = logging.getLogger("nodepool.builder")


def upload_build(world: World, action: do.UploadBuild) -> Effect[Outcome]:
    """Upload a build, if that is still due once nobody else can begin to."""
    to = action.to
    provider = world.settings.providers.get(to.provider)
    if provider is None or to.image not in provider.images:
        return Lost("the provider does not have the image any more")
    file = yield from work(FindFile(world.images_dir, to.image, to.build, action.format))
    if file is None:
        return Lost("the file is not there")
    record = paths.build(to.image, to.build)
    folders = (
        paths.build_providers(to.image, to.build),
        paths.provider_of_build(to.image, to.build, to.provider),
        paths.uploads(to.image, to.build, to.provider),
    )
    if failure := (yield from ensure(*folders)):
        return Lost(str(failure))
    held = yield from hold(world, (_lock(to), record))
    if isinstance(held, Busy):
        return Lost(held.why)
    yield from fence()
    build = codec.decode_build(to.image, to.build, held[0].record.data)
    if not isinstance(build, Build) or not _still_due(world, to):
        yield from let_go(*held)
        return Lost("the build changed, or another builder was faster")
    begun = Upload(
        image=to.image,
        build=to.build,
        provider=to.provider,
        id=UploadId(""),
        state=ImageState.UPLOADING,
        state_time=world.now,
        format=action.format,
    )
    create = Create(paths.new_upload(to.image, to.build, to.provider), codec.encode_upload(begun), sequence=True)
    answer = yield from commit(Check(held[0].contender), Check(record, held[0].record.stat.version), create)
    if isinstance(answer, Failure):
        yield from let_go(*held)
        return Lost(str(answer))
    number = UploadId(str(answer.results[-1]).rpartition("/")[2])
    key = UploadKey(to.image, to.build, to.provider, number)
    return (yield from _carry(world, provider, build, key, file))


def _lock(to: Destination) -> UploadsAt:
    return UploadsAt(to.image, to.build, to.provider)


def _still_due(world: World, to: Destination) -> bool:
    """Only the newest ready build is uploaded, once."""
    snapshot = world.snapshot({})
    stock = Stock(snapshot)
    newest = stock.newest(to.image)
    return newest is not None and newest[0].build == to.build and not stock.has(to, ImageState.READY)


def _carry(world: World, provider: Provider, build: Build, key: UploadKey, file: ImageFile) -> Effect[Outcome]:
    """Upload the file, run the hook, and write down what came of it. Without a record that says ready the image is
    deleted again."""
    to = Destination(key.image, key.build, key.provider)
    order = _order(world, provider, key, file)
    if isinstance(order, str):
        return (yield from _failed(world, key, None, order))
    began = world.now
    world.sending.add(to)
    answer = yield from call(key.provider, UploadImage(order, world.progress(to, file.length)))
    if isinstance(answer, DriverError):
        return (yield from _failed(world, key, None, str(answer), answer))
    external_id = str(answer)
    if provider.post_upload_hook:
        hook = RunHook(provider.post_upload_hook, provider.name, external_id, order.path, provider.image_upload_timeout)
        if why := (yield from work(hook)):
            return (yield from _failed(world, key, external_id, why))
    changes: dict[str, object] = {
        "external_id": external_id,
        "external_name": order.name,
        "format": order.format,
        "username": build.username,
        "python_path": build.python_path,
        "shell_type": build.shell_type,
    }
    configured = world.settings.diskimages.get(key.image)
    gated = configured is not None and configured.gate
    trouble = yield from _finish(world, key, ImageEvent.SUCCEEDED, changes, gated=gated)
    if trouble is not None:
        yield from call(key.provider, RemoveImage(external_id))
        return Lost(trouble)
    seconds = max(world.now - began, 0.001)
    rate = file.size / 1e6 / seconds
    _log.info("Upload %s is ready as %s after %.1f s (%.1f MB/s)", key, external_id, seconds, rate)
    return Uploaded(seconds)


def _order(world: World, provider: Provider, key: UploadKey, file: ImageFile) -> ImageOrder | str:
    """Return what the driver is to upload, or a sentence about why there is no such thing."""
    configured = world.settings.diskimages.get(key.image)
    wanted = provider.images.get(key.image)
    try:
        name = provider.image_name_format.format(image_name=key.image, upload_id=key.id, timestamp=str(int(world.now)))
    except (LookupError, ValueError) as error:
        return f"image-name-format {provider.image_name_format!r} cannot be used: {error!r}"
    return ImageOrder(
        name=name,
        marks=Marks(provider=provider.name, installation=world.installation, build=key.build, upload=key.id),
        path=str(file.path),
        format=file.format,
        md5=file.md5,
        sha256=file.sha256,
        properties={**(configured.metadata if configured else {}), **(wanted.meta if wanted else {})},
    )


def _failed(
    world: World, key: UploadKey, external_id: str | None, why: str, error: DriverError | None = None
) -> Effect[Outcome]:
    """Write down that an upload failed. What is in the cloud by then goes; if it does not, its id is kept."""
    if external_id is not None:
        gone = yield from call(key.provider, RemoveImage(external_id))
        if not isinstance(gone, DriverError):
            external_id = None
    _log.error("Upload %s failed: %s", key, why)
    trouble = yield from _finish(world, key, ImageEvent.FAILED, {"external_id": external_id})
    if trouble is not None:
        _log.warning("The failure of upload %s could not be recorded: %s", key, trouble)
    return NotUploaded(why, error)


def _finish(
    world: World, key: UploadKey, event: ImageEvent, changes: dict[str, object], *, gated: bool = False
) -> Effect[str | None]:
    path = paths.upload(key.image, key.build, key.provider, key.id)
    record = paths.build(key.image, key.build)

    def last(contender: str) -> list[Op] | Settled:
        entry = world.upload(key)
        if entry is None:
            return Settled("its record is gone")
        if entry.record.state is not ImageState.UPLOADING:
            done = entry.record.external_id == changes["external_id"] and entry.record.state is not ImageState.DELETING
            return Settled(None if done else "its record was changed by somebody else")
        written = upload_moved(entry.record, event, world.now, **changes)
        if gated:
            written = at_gate(written, Gate(state=GateState.WAITING, since=world.now))
        return [Set(path, codec.encode_upload(written), entry.version), Delete(contender)]

    return (yield from finish(world, _lock(Destination(key.image, key.build, key.provider)), record, last))
