"""Removing builds, uploads and files. Whatever destroys something looks again under the lock."""

from nodepool_ng.builder.effects.locked import Lock, hold, let_go, remove_branch
from nodepool_ng.builder.jobs import Claim, Discard
from nodepool_ng.builder.outcome import Done, Failed, Lost, Outcome
from nodepool_ng.builder.world import World
from nodepool_ng.drivers import DriverError
from nodepool_ng.drivers.calls import RemoveImage
from nodepool_ng.model import image_action as do
from nodepool_ng.model.image import Build, Upload, build_moved, upload_moved
from nodepool_ng.model.image_action import BuildKey, UploadKey
from nodepool_ng.model.lifecycle import ImageEvent, ImageState
from nodepool_ng.plan.image_agenda import Stock
from nodepool_ng.shell.effect import Effect, ask, call, commit, fence, work
from nodepool_ng.shell.locking import Busy
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.paths import BuildAt, BuildsAt, UploadAt, UploadsAt
from nodepool_ng.zk.store import Delete, Failure, Get, Got, Problem, Set


def _build_at(key: BuildKey) -> tuple[BuildAt, str]:
    return BuildAt(key.image, key.build), paths.build(key.image, key.build)


def _upload_at(key: UploadKey) -> tuple[UploadAt, str]:
    path = paths.upload(key.image, key.build, key.provider, key.id)
    return UploadAt(key.image, key.build, key.provider, key.id), path


def retire_build(world: World, action: do.RetireBuild) -> Effect[Outcome]:
    """Commit to deleting a build. One that is building must not be anybody's: its image's lock is taken, too."""
    key = action.build
    at, path = _build_at(key)
    wants: list[tuple[Lock, str]] = [(at, path)]
    if action.expect is ImageState.BUILDING:
        wants.append((BuildsAt(key.image), path))
    held = yield from hold(world, *wants)
    if isinstance(held, Busy):
        return Lost(held.why)
    yield from fence()
    build = codec.decode_build(key.image, key.build, held[0].record.data)
    if not isinstance(build, Build) or build.state is not action.expect or not _uploads_go(world, key):
        yield from let_go(*held)
        return Lost("the build changed meanwhile")
    gone = build_moved(build, ImageEvent.UNWANTED, world.now)
    write = Set(path, codec.encode_build(gone), held[0].record.stat.version)
    answer = yield from commit(write, *(Delete(one.contender) for one in held))
    if isinstance(answer, Failure):
        yield from let_go(*held)
        return Lost(str(answer))
    return Done()


def _uploads_go(world: World, key: BuildKey) -> bool:
    snapshot = world.snapshot({})
    return all(
        upload in snapshot.uploads and snapshot.uploads[upload].state is ImageState.DELETING
        for upload in Stock(snapshot).of_build.get(key, ())
    )


def erase_build(world: World, action: do.EraseBuild) -> Effect[Outcome]:
    """Remove the record of a build that is deleting, with everything below it; uploads there stop that."""
    key = action.build
    held = yield from hold(world, _build_at(key))
    if isinstance(held, Busy):
        return Lost(held.why)
    build = codec.decode_build(key.image, key.build, held[0].record.data)
    if not isinstance(build, Build) or build.state is not ImageState.DELETING:
        yield from let_go(*held)
        return Lost("the build changed meanwhile")
    trouble = yield from remove_branch(world, _build_at(key)[1], held[0].record.stat.version)
    if trouble is not None:
        yield from let_go(*held)
        return Lost(trouble)
    return Done()


def retire_upload(world: World, action: do.RetireUpload) -> Effect[Outcome]:
    """Commit to deleting an upload. One that is uploading must not be anybody's."""
    key = action.upload
    at, path = _upload_at(key)
    wants: list[tuple[Lock, str]] = [(at, path)]
    if action.expect is ImageState.UPLOADING:
        wants.append((UploadsAt(key.image, key.build, key.provider), path))
    held = yield from hold(world, *wants)
    if isinstance(held, Busy):
        return Lost(held.why)
    upload = codec.decode_upload(key.image, key.build, key.provider, key.id, held[0].record.data)
    if not isinstance(upload, Upload) or upload.state is not action.expect:
        yield from let_go(*held)
        return Lost("the upload changed meanwhile")
    gone = upload_moved(upload, ImageEvent.UNWANTED, world.now)
    write = Set(path, codec.encode_upload(gone), held[0].record.stat.version)
    answer = yield from commit(write, *(Delete(one.contender) for one in held))
    if isinstance(answer, Failure):
        yield from let_go(*held)
        return Lost(str(answer))
    return Done()


def remove_upload(world: World, action: do.RemoveUpload) -> Effect[Outcome]:
    """Delete the cloud's image, then the record. The lock keeps other builders from asking the cloud as well."""
    key = action.upload
    held = yield from hold(world, _upload_at(key))
    if isinstance(held, Busy):
        return Lost(held.why)
    upload = codec.decode_upload(key.image, key.build, key.provider, key.id, held[0].record.data)
    if not isinstance(upload, Upload) or upload.state is not ImageState.DELETING:
        yield from let_go(*held)
        return Lost("the upload changed meanwhile")
    if upload.external_id is not None:
        answer = yield from call(key.provider, RemoveImage(upload.external_id))
        if isinstance(answer, DriverError):
            yield from let_go(*held)
            return Failed(str(answer))
    trouble = yield from remove_branch(world, _upload_at(key)[1], held[0].record.stat.version)
    if trouble is not None:
        yield from let_go(*held)
        return Lost(trouble)
    return Done()


def remove_files(world: World, action: do.RemoveFiles) -> Effect[Outcome]:
    """Remove files of a build that is still unwanted when ZooKeeper is asked itself."""
    key = action.build
    (answer,) = yield from ask(Get(_build_at(key)[1]))
    match answer:
        case Failure(Problem.NO_NODE):
            pass
        case Got(data):
            build = codec.decode_build(key.image, key.build, data)
            unwanted = (ImageState.DELETING, ImageState.FAILED)
            if action.format is None and not (isinstance(build, Build) and build.state in unwanted):
                return Lost("the build changed meanwhile")
        case _:
            return Lost(str(answer))
    problems = yield from work(Discard(world.images_dir, key, action.format))
    return Failed("; ".join(problems)) if problems else Done()


def claim_files(world: World, action: do.ClaimFiles) -> Effect[Outcome]:
    problem = yield from work(Claim(world.images_dir, action.build, action.installation))
    return Failed(problem) if problem else Done()


def delete_image(world: World, action: do.DeleteImage) -> Effect[Outcome]:
    answer = yield from call(action.provider, RemoveImage(action.image))
    return Failed(str(answer)) if isinstance(answer, DriverError) else Done()


def sweep_empty(world: World, action: do.SweepEmpty) -> Effect[Outcome]:
    """Remove a znode that has no data, if that is still so."""
    (answer,) = yield from ask(Get(action.path))
    if not isinstance(answer, Got) or answer.data:
        return Lost("it is gone, or not empty any more")
    trouble = yield from remove_branch(world, action.path, answer.stat.version)
    return Lost(trouble) if trouble is not None else Done()
