"""What is to be removed: records that nobody needs, and files that no record stands for any more.

Two things are never removed unless an operator ordered it: the upload that is in service for a configured image, and
the newest good build. A file is only removed if it is noted beside it that it belongs to this installation, so that a
builder on an empty or a wrong ZooKeeper keeps all it has.
"""

from nodepool_ng.model.gate import in_service
from nodepool_ng.model.ids import ImageName, Seconds
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.image_action import (
    BuildKey,
    ClaimFiles,
    Destination,
    EraseBuild,
    RemoveFiles,
    RemoveUpload,
    RetireBuild,
    RetireUpload,
    SweepEmpty,
    UploadBuild,
    UploadKey,
)
from nodepool_ng.model.image_snapshot import ImageSnapshot, OnDisk
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.plan.image_agenda import Agenda, Stock
from nodepool_ng.plan.images_due import left_behind

KEEP = 2
"""Ready builds of an image, and ready uploads of an image in a provider: the one in service and the one before it."""
FAILED_SHOWN: Seconds = 60.0
"""How long a failed build or upload is left to be seen."""


def plan_removals(s: ImageSnapshot, stock: Stock, agenda: Agenda) -> None:
    """Add everything that is to be removed."""
    for upload_key, upload in sorted(s.uploads.items(), key=lambda item: str(item[0])):
        _upload(s, stock, agenda, upload_key, upload)
    for build_key, build in sorted(s.builds.items(), key=lambda item: str(item[0])):
        _build(s, stock, agenda, build_key, build)
    for build_key, here in sorted((s.disk or {}).items(), key=lambda item: str(item[0])):
        _files(s, stock, agenda, build_key, here)
    for path in sorted(s.empty):
        agenda.add(SweepEmpty(path=path, why=Reason(code=Code.EMPTIED)))


def _upload(s: ImageSnapshot, stock: Stock, agenda: Agenda, key: UploadKey, upload: Upload) -> None:
    if upload.state is ImageState.DELETING:
        _remove_upload(s, agenda, key, upload)
    elif (why := _upload_unwanted(s, stock, agenda, key, upload)) is not None:
        agenda.add(RetireUpload(upload=key, expect=upload.state, why=why))


def _remove_upload(s: ImageSnapshot, agenda: Agenda, key: UploadKey, upload: Upload) -> None:
    """An image in a cloud that is not configured here is for a builder that knows it, or for `nodepool erase`."""
    if upload.external_id is not None and key.provider not in s.settings.providers:
        return
    why = Reason(code=Code.ORDERED, provider=key.provider)
    agenda.add(RemoveUpload(upload=key, external_id=upload.external_id, why=why))


def _upload_unwanted(s: ImageSnapshot, stock: Stock, agenda: Agenda, key: UploadKey, upload: Upload) -> Reason | None:
    """Return why an upload is to go, None where it may stay."""
    build = s.builds.get(key.of)
    if build is None:
        return None if key.of in s.unreadable else Reason(code=Code.NO_RECORD)
    if upload.state is ImageState.UPLOADING:
        return Reason(code=Code.CRASHED) if left_behind(s, agenda, key) else None
    if build.state is ImageState.DELETING:
        return Reason(code=Code.ORDERED)
    if not _our_concern(s, key.image, build):
        return None
    provider = s.settings.providers.get(key.provider)
    if upload.state is ImageState.FAILED:
        return Reason(code=Code.FAILED) if agenda.due(upload.state_time + FAILED_SHOWN) else None
    if key.image not in s.settings.diskimages or (provider is not None and key.image not in provider.images):
        return Reason(code=Code.NOT_CONFIGURED)
    if provider is None:
        return None
    if not in_service(upload):
        # one that did not prove itself stays to be seen, and so that it is not uploaded once more
        newest = stock.newest(key.image)
        return None if newest is not None and newest[0] == key.of else Reason(code=Code.OBSOLETE)
    return None if key in stock.in_service[key.image, key.provider][:KEEP] else Reason(code=Code.OBSOLETE)


def _our_concern(s: ImageSnapshot, image: ImageName, build: Build) -> bool:
    """A builder that does not have an image in its configuration leaves other builders' builds of it alone."""
    return image in s.settings.diskimages or build.builder_id == s.builder_id


def _build(s: ImageSnapshot, stock: Stock, agenda: Agenda, key: BuildKey, build: Build) -> None:
    uploads = stock.of_build.get(key, ())
    if build.state is ImageState.DELETING:
        ours_on_disk = build.builder_id == s.builder_id and key in (s.disk or {})
        if not uploads and not ours_on_disk:
            agenda.add(EraseBuild(build=key, why=Reason(code=Code.ORDERED)))
        return
    why = _build_unwanted(s, stock, agenda, key, build)
    if why is not None and all(_going(s, upload) for upload in uploads):
        agenda.add(RetireBuild(build=key, expect=build.state, why=why))


def _going(s: ImageSnapshot, key: UploadKey) -> bool:
    upload = s.uploads.get(key)
    return upload is not None and upload.state is ImageState.DELETING


def _build_unwanted(s: ImageSnapshot, stock: Stock, agenda: Agenda, key: BuildKey, build: Build) -> Reason | None:
    """Return why a build is to go as soon as its uploads are, None where it may stay."""
    if build.state is ImageState.BUILDING:
        return Reason(code=Code.CRASHED) if left_behind(s, agenda, key) else None
    if not _our_concern(s, key.image, build):
        return None
    if key.image not in s.settings.diskimages:
        return Reason(code=Code.NOT_CONFIGURED)
    if build.state is ImageState.FAILED:
        return Reason(code=Code.FAILED) if agenda.due(build.state_time + FAILED_SHOWN) else None
    return None if key in stock.ready[key.image][:KEEP] else Reason(code=Code.OBSOLETE)


def _files(s: ImageSnapshot, stock: Stock, agenda: Agenda, key: BuildKey, here: OnDisk) -> None:
    if key in s.running.values() or key in s.unreadable:
        return
    if any(isinstance(a, UploadBuild) and BuildKey(a.to.image, a.to.build) == key for a in s.in_flight.values()):
        return
    build = s.builds.get(key)
    if build is None:
        if here.known_to == s.installation:
            agenda.add(RemoveFiles(build=key, format=None, why=Reason(code=Code.NO_RECORD)))
        return
    match build.state:
        case ImageState.DELETING:
            agenda.add(RemoveFiles(build=key, format=None, why=Reason(code=Code.ORDERED)))
        case ImageState.FAILED:
            agenda.add(RemoveFiles(build=key, format=None, why=Reason(code=Code.FAILED)))
        case ImageState.READY if here.known_to != s.installation:
            agenda.add(ClaimFiles(build=key, installation=s.installation, why=Reason(code=Code.KNOWN)))
        case ImageState.READY:
            _give_up_uploaded(s, stock, agenda, key, here)
        case _:
            pass


def _give_up_uploaded(s: ImageSnapshot, stock: Stock, agenda: Agenda, key: BuildKey, here: OnDisk) -> None:
    """Remove formats that nobody needs locally, where the operator wants that."""
    configured = s.settings.diskimages.get(key.image)
    if configured is None or not configured.delete_after_upload:
        return
    for image_format in sorted(here.formats - configured.keep_formats):
        takers = [
            provider.name
            for provider in s.settings.providers.values()
            if key.image in provider.images and provider.images[key.image].format == image_format
        ]
        to = [Destination(key.image, key.build, name) for name in takers]
        if to and all(stock.has(one, ImageState.READY) for one in to):
            agenda.add(RemoveFiles(build=key, format=image_format, why=Reason(code=Code.ALL_UPLOADED)))
            return
