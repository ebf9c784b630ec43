"""What operators want to end, told as scenes."""

import pytest

from nodepool_ng.model.image_action import Cancel, UploadBuild
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.images_scene import DEB, THEIRS, ImageScene, key, to

WHY = Reason(code=Code.DUE)


@pytest.fixture
def scene() -> ImageScene:
    return ImageScene()


def cancels(scene):
    return [(action.order, action.of) for action in scene.plan().actions if isinstance(action, Cancel)]


def test_our_build_is_ended(scene):
    scene.running[DEB] = scene.build(1, ImageState.BUILDING)
    scene.build_locks[DEB] = Side.OURS
    scene.cancels = {str(key(1))}
    assert cancels(scene) == [(str(key(1)), key(1))]


def test_our_upload_is_ended(scene):
    scene.build(1)
    scene.upload(1, state=ImageState.UPLOADING)
    scene.upload_locks[to(1)] = Side.OURS
    scene.flying(UploadBuild(to=to(1), format="qcow2", why=WHY))
    scene.cancels = {str(to(1))}
    assert cancels(scene) == [(str(to(1)), to(1))]


def test_another_builder_s_work_is_left_to_it(scene):
    scene.build(1, ImageState.BUILDING, by=THEIRS)
    scene.build_locks[DEB] = Side.FOREIGN
    scene.cancels = {str(key(1))}
    assert cancels(scene) == []


def test_another_builder_s_upload_is_left_to_it(scene):
    scene.build(1)
    scene.upload(1, state=ImageState.UPLOADING)
    scene.upload_locks[to(1)] = Side.FOREIGN
    scene.cancels = {str(to(1))}
    assert cancels(scene) == []


def test_an_order_to_a_builder_that_died_is_taken_away(scene):
    scene.build(1, ImageState.BUILDING, by=THEIRS)
    scene.build(2, by=THEIRS)
    scene.upload(2, state=ImageState.UPLOADING)
    scene.cancels = {str(key(1)), str(to(2))}
    assert cancels(scene) == [(str(key(1)), None), (str(to(2)), None)]


@pytest.mark.parametrize("order", [str(key(1)), str(to(1)), str(key(7)), "nonsense"])
def test_an_order_about_what_is_over_is_taken_away(scene, order):
    scene.build(1)
    scene.everywhere(1)
    scene.cancels = {order}
    assert cancels(scene) == [(order, None)]


def test_an_order_never_meets_a_later_build(scene):
    scene.build(1, ImageState.FAILED, age=1)
    scene.running[DEB] = scene.build(2, ImageState.BUILDING)
    scene.cancels = {str(key(1))}
    assert cancels(scene) == [(str(key(1)), None)]
