"""What is built and what is uploaded, told as scenes."""

import pytest

from nodepool_ng.model.image_action import BuildImage, HoldOn, LetGo, LookAtDisk, UploadBuild
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason, sentence
from nodepool_ng.model.snapshot import Backoff, Side
from nodepool_ng.plan.images_due import GRACE, HOLD_AFTER
from tests.unit.plan.images_scene import DEB, NOW, OURS, THEIRS, ImageScene, provider, to, up

WHY = Reason(code=Code.DUE)


@pytest.fixture
def scene() -> ImageScene:
    return ImageScene()


def test_an_image_without_a_build_is_built(scene):
    assert scene.does() == [("BuildImage", DEB, Code.NO_BUILD)]


def test_a_build_has_every_format_that_somebody_needs(scene):
    scene.providers["south"] = provider("south", DEB, image_format="raw")
    scene.image(formats=frozenset({"vhd"}))
    (build,) = scene.plan().actions
    assert isinstance(build, BuildImage)
    assert build.formats == {"qcow2", "raw", "vhd"}


def test_an_image_that_nobody_needs_in_any_format_is_not_built(scene):
    scene.providers = {}
    scene.requested = {DEB}
    assert scene.does() == []


def test_a_build_that_is_good_enough_is_left_alone_until_it_is_old(scene):
    scene.build(1, age=100)
    scene.everywhere(1)
    plan = scene.plan()
    assert plan.actions == ()
    assert plan.builds[DEB].code is Code.NOT_DUE
    assert plan.wake == min(NOW - 100 + 86400, NOW - 1 + 300)


def test_a_build_of_rebuild_age_is_replaced(scene):
    scene.build(1, age=86400)
    scene.everywhere(1)
    assert scene.does() == [("BuildImage", DEB, Code.REBUILD_AGE)]


def test_a_build_that_lacks_a_needed_format_is_replaced(scene):
    scene.build(1)
    scene.upload(1, "north")
    scene.providers["south"] = provider("south", DEB, image_format="raw")
    (build,) = scene.plan().actions
    assert sentence(build.why) == "the newest ready build lacks raw"


def test_a_build_that_was_asked_for_by_hand_comes_first(scene):
    scene.image("arch", formats=frozenset({"raw"}))
    scene.image("zoo", formats=frozenset({"raw"}))
    scene.requested = {"zoo"}
    assert scene.does() == [("BuildImage", "zoo", Code.BY_HAND)]


def test_no_more_builds_than_workers(scene):
    scene.image("arch", formats=frozenset({"raw"}))
    scene.flying(BuildImage(image="arch", formats=frozenset({"raw"}), why=WHY))
    plan = scene.plan()
    assert plan.actions == ()
    assert plan.builds[DEB].code is Code.BUSY
    scene.build_workers = 2
    assert scene.does() == [("BuildImage", DEB, Code.NO_BUILD)]


def test_a_paused_image_is_not_built_even_if_asked_for(scene):
    scene.requested = {DEB}
    scene.paused = {DEB}
    assert scene.plan().builds[DEB].code is Code.PAUSED
    scene.paused = set()
    scene.image(pause=True)
    assert scene.plan().builds[DEB].code is Code.PAUSED
    assert scene.does() == []


@pytest.mark.parametrize("side", Side)
def test_an_image_that_somebody_is_building_is_not_built_again(scene, side):
    scene.build_locks = {DEB: side}
    scene.flying(BuildImage(image=DEB, formats=frozenset({"qcow2"}), why=WHY))
    assert scene.does() == []


def test_a_failed_build_is_tried_again_later(scene):
    scene.build_backoff = {DEB: Backoff(until=NOW + 20, failures=2, detail="no room")}
    plan = scene.plan()
    assert plan.actions == ()
    assert sentence(plan.builds[DEB]) == "it failed 2 times; the next try is in 20 s: no room"
    assert plan.wake == NOW + 20
    assert scene.does(NOW + 20) == [("BuildImage", DEB, Code.NO_BUILD)]


def test_nothing_is_built_before_the_disk_was_seen(scene):
    scene.disk = None
    assert scene.does() == [("LookAtDisk", "", Code.DUE)]


def test_a_disk_that_cannot_be_read_is_looked_at_again_later(scene):
    scene.disk = None
    scene.cloud_backoff = {("disk", ""): Backoff(until=NOW + 5, failures=1)}
    assert scene.does() == []
    assert scene.plan().wake == NOW + 5
    assert [type(action) for action in scene.plan(NOW + 5).actions] == [LookAtDisk]


def test_a_stub_for_images_of_other_builders_is_not_built(scene):
    scene.image(elements=())
    plan = scene.plan()
    assert plan.actions == ()
    scene.image(elements=(), dib_cmd="/usr/bin/our-wrapper")
    assert scene.does() == [("BuildImage", DEB, Code.NO_BUILD)]


def test_a_stub_whose_build_is_old_does_not_keep_the_planner_awake(scene):
    scene.image(elements=())
    scene.build(1, age=90000, by=THEIRS)
    scene.everywhere(1)
    wake = scene.plan().wake
    assert wake is not None
    assert wake > NOW


def test_the_newest_build_goes_wherever_it_is_listed(scene):
    scene.build(1, age=500)
    scene.build(2, age=100)
    scene.everywhere(1)
    assert scene.plan().actions == (
        UploadBuild(to=to(2, "north"), format="qcow2", why=Reason(code=Code.NOT_UPLOADED, provider="north")),
        UploadBuild(to=to(2, "south"), format="qcow2", why=Reason(code=Code.NOT_UPLOADED, provider="south")),
    )


def test_only_the_builder_with_the_file_uploads(scene):
    scene.build(1, by=THEIRS)
    plan = scene.plan()
    assert plan.actions == ()
    assert {why.code for why in plan.uploads.values()} == {Code.NOT_OURS}


def test_a_provider_whose_entry_is_paused_gets_no_upload(scene):
    scene.build(1)
    scene.providers["south"] = provider("south", DEB, pause=True)
    assert scene.does() == [("UploadBuild", str(to(1, "north")), Code.NOT_UPLOADED)]


def test_pausing_the_image_does_not_stop_uploads(scene):
    scene.build(1)
    scene.paused = {DEB}
    assert [kind for kind, _, _ in scene.does()] == ["UploadBuild", "UploadBuild"]


def test_no_more_uploads_than_workers(scene):
    scene.build(1)
    scene.upload_workers = 1
    assert [kind for kind, _, _ in scene.does()] == ["UploadBuild"]
    scene.flying(UploadBuild(to=to(1, "north"), format="qcow2", why=WHY))
    scene.upload(1, "north", ImageState.UPLOADING)
    scene.upload_locks = {to(1, "north"): Side.OURS}
    assert scene.does() == []


def test_an_upload_that_another_builder_holds_is_left_to_it(scene):
    scene.build(1)
    scene.upload(1, "south")
    scene.upload_locks = {to(1, "north"): Side.FOREIGN}
    assert scene.does() == []


def test_a_failed_upload_is_tried_again_later(scene):
    scene.build(1)
    scene.upload(1, "south")
    scene.upload(1, "north", ImageState.FAILED, age=1)
    scene.upload_backoff = {(DEB, "north"): Backoff(until=NOW + 10, failures=1, detail="500")}
    assert scene.does() == []
    assert scene.plan().wake == NOW + 10
    assert scene.does(NOW + 10) == [("UploadBuild", str(to(1, "north")), Code.NOT_UPLOADED)]


def test_a_new_provider_for_a_file_that_was_given_up_brings_a_new_build(scene):
    scene.image(delete_after_upload=True)
    scene.build(1, here=False)
    scene.upload(1, "north")
    assert scene.does() == [("BuildImage", DEB, Code.FILE_GONE)]
    scene.disk_looked = NOW - 100
    assert scene.does() == []


def test_a_lock_that_went_with_its_session_is_taken_again(scene):
    building = scene.build(1, ImageState.BUILDING, age=10)
    scene.running = {DEB: building}
    scene.flying(BuildImage(image=DEB, formats=frozenset({"qcow2"}), why=WHY))
    scene.unlocked_since = {building: NOW}
    assert scene.does() == []
    assert scene.plan().wake == NOW + HOLD_AFTER
    assert scene.plan(NOW + HOLD_AFTER).actions == (HoldOn(of=DEB, why=Reason(code=Code.SESSION_LOST)),)


def test_so_is_that_of_an_upload(scene):
    scene.build(1)
    scene.upload(1, "south")
    scene.upload(1, "north", ImageState.UPLOADING)
    scene.flying(UploadBuild(to=to(1), format="qcow2", why=WHY))
    scene.unlocked_since = {up(1): NOW - HOLD_AFTER}
    assert scene.plan().actions == (HoldOn(of=to(1), why=Reason(code=Code.SESSION_LOST)),)


def test_a_lock_without_a_use_is_given_back(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.build_locks = {DEB: Side.OURS}
    scene.upload_locks = {to(1): Side.OURS, to(1, "south"): Side.FOREIGN}
    why = Reason(code=Code.NOT_NEEDED)
    assert scene.plan().actions == (LetGo(of=DEB, why=why), LetGo(of=to(1), why=why))


def test_another_builders_work_without_a_lock_is_waited_for(scene):
    building = scene.build(1, ImageState.BUILDING, age=10, by=THEIRS)
    scene.unlocked_since = {building: NOW}
    assert scene.does() == []
    assert scene.plan().wake == NOW + GRACE
    assert scene.does(NOW + GRACE) == [
        ("BuildImage", DEB, Code.NO_BUILD),
        ("RetireBuild", str(building), Code.CRASHED),
    ]


def test_our_own_leftovers_are_cleared_away_at_once(scene):
    building = scene.build(1, ImageState.BUILDING, age=10, by=OURS)
    scene.unlocked_since = {building: NOW}
    assert scene.does() == [("BuildImage", DEB, Code.NO_BUILD), ("RetireBuild", str(building), Code.CRASHED)]


def test_what_cools_down_is_left_alone_until_then(scene):
    scene.cooling = {("build", DEB): NOW + 0.1}
    assert scene.does() == []
    assert scene.plan().wake == NOW + 0.1
