"""Single rules of builders, broken on purpose: see `broken`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from nodepool_ng.builder import effects
from nodepool_ng.builder.effects import uploading
from nodepool_ng.builder.world import World
from nodepool_ng.drivers import DriverError
from nodepool_ng.drivers.calls import RemoveImage, UploadImage
from nodepool_ng.model import image_action as do
from nodepool_ng.model.ids import UploadId
from nodepool_ng.model.image_action import RemoveFiles, RetireBuild
from nodepool_ng.model.image_snapshot import CloudImage
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.plan import images, images_gone, images_leaks
from nodepool_ng.shell.effect import Effect, call

Break = Callable[[pytest.MonkeyPatch], None]


def upload_deleted(patch: pytest.MonkeyPatch) -> None:
    """An upload is obsolete as soon as there is a younger build, whether that has been uploaded or not."""
    original = images_gone._upload_unwanted

    def unwanted(s: Any, stock: Any, agenda: Any, key: Any, upload: Any) -> Any:
        newest = stock.newest(key.image)
        younger = newest is not None and newest[0].build != key.build
        return Reason(code=Code.OBSOLETE) if younger else original(s, stock, agenda, key, upload)

    patch.setattr(images_gone, "_upload_unwanted", unwanted)


def build_deleted(patch: pytest.MonkeyPatch) -> None:
    """A build goes as soon as another one of its image is ready, without waiting for uploads."""

    def build(s: Any, stock: Any, agenda: Any, key: Any, build: Any) -> None:
        newest = stock.newest(key.image)
        if build.state is ImageState.READY and newest is not None and newest[0] != key:
            agenda.add(RetireBuild(build=key, expect=build.state, why=Reason(code=Code.OBSOLETE)))

    patch.setattr(images_gone, "_build", build)


def marks_of_no_record(patch: pytest.MonkeyPatch) -> None:
    """What is uploaded names an upload that no record tells of: so it is taken for a leak."""
    original = uploading._order

    def order(world: World, provider: Any, key: Any, file: Any) -> Any:
        made = original(world, provider, key, file)
        return made if isinstance(made, str) else replace(made, marks=replace(made.marks, upload=UploadId("unwritten")))

    patch.setattr(uploading, "_order", order)
    patch.setattr(images_leaks, "LIST_EVERY", 5.0)


def uploading_taken_for_a_leak(patch: pytest.MonkeyPatch) -> None:
    """Only the records of finished uploads stand for an image, and one look is enough."""

    def orphan(s: Any, provider: Any, image: CloudImage) -> bool:
        return not any(
            images_leaks._same(key, provider, image) and upload.state is not ImageState.UPLOADING
            for key, upload in s.uploads.items()
        )

    patch.setattr(images_leaks, "_orphan", orphan)
    patch.setattr(
        World, "_reset_if_recorded", lambda self, provider, image, asked: replace(image, first_seen=asked - 1)
    )
    patch.setattr(images_leaks, "LIST_EVERY", 0.5)


def leaks_left(patch: pytest.MonkeyPatch) -> None:
    """What a crash left in the clouds stays there."""
    patch.setattr(images, "plan_leaks", lambda s, agenda: {})


def crashed_work_left(patch: pytest.MonkeyPatch) -> None:
    """Nobody clears away what somebody was making who is gone."""
    patch.setattr(images_gone, "left_behind", lambda s, agenda, key: False)


def image_deleted_before_its_record(patch: pytest.MonkeyPatch) -> None:
    """The cloud's image goes first, then that is written down."""
    original = effects.retire_upload

    def retire(world: World, action: do.RetireUpload) -> Effect[Any]:
        entry = world.upload(action.upload)
        if entry is not None and entry.record.external_id is not None:
            yield from call(action.upload.provider, RemoveImage(entry.record.external_id))
        return (yield from original(world, action))

    patch.setattr(effects, "retire_upload", retire)


def failed_upload_called_ready(patch: pytest.MonkeyPatch) -> None:
    """A cloud's refusal is taken for the id of an image."""
    original = uploading.call

    def tolerant(provider: Any, what: Any) -> Effect[Any]:
        answer = yield from original(provider, what)
        return "no-image" if isinstance(what, UploadImage) and isinstance(answer, DriverError) else answer

    patch.setattr(uploading, "call", tolerant)


def files_given_up(patch: pytest.MonkeyPatch) -> None:
    """Files of a build are removed as soon as one provider has it."""

    def files(s: Any, stock: Any, agenda: Any, key: Any, here: Any) -> None:
        if any(upload.of == key and record.state is ImageState.READY for upload, record in s.uploads.items()):
            agenda.add(RemoveFiles(build=key, format=None, why=Reason(code=Code.ALL_UPLOADED)))

    patch.setattr(images_gone, "_files", files)


RULES: Mapping[str, tuple[Break, int]] = MappingProxyType(
    {
        "upload deleted while a label depends on it": (upload_deleted, 5),
        "build deleted before its successor is uploaded": (build_deleted, 5),
        "image uploaded under marks that no record has": (marks_of_no_record, 5),
        "upload under way taken for a leak": (uploading_taken_for_a_leak, 5),
        "images left in a cloud by a crash": (leaks_left, 30),
        "crashed build or upload left": (crashed_work_left, 30),
        "image deleted before a committed deleting": (image_deleted_before_its_record, 5),
        "failed upload called ready": (failed_upload_called_ready, 150),
        "files given up before everybody has them": (files_given_up, 5),
    }
)
"""The rule, how it is broken, and within how many histories that is noticed: of the scene of the images, or (see
`RANDOM`) random ones."""

RANDOM = frozenset({"failed upload called ready"})
"""Rules that only show when a cloud misbehaves, which it does in random histories."""
