"""What is removed and, more important, what is not."""

import pytest

from nodepool_ng.model.gate import Gate, GateState, at_gate
from nodepool_ng.model.image_action import RemoveUpload, RetireUpload, UploadBuild
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.snapshot import Backoff, Side
from nodepool_ng.plan.images_gone import FAILED_SHOWN
from nodepool_ng.plan.images_leaks import LIST_EVERY, LOOK_TWICE
from tests.unit.plan.images_scene import DEB, ELSEWHERE, HOME, NOW, THEIRS, ImageScene, key, provider, to, up

WHY = Reason(code=Code.DUE)


@pytest.fixture
def scene() -> ImageScene:
    return ImageScene()


@pytest.fixture
def rotated(scene) -> ImageScene:
    """Three builds, each uploaded everywhere."""
    for number in (1, 2, 3):
        scene.build(number, age=1000 - 100 * number)
        scene.everywhere(number, age=990 - 100 * number)
    return scene


def test_two_builds_and_their_uploads_are_kept(rotated):
    assert rotated.does() == [
        ("RetireUpload", str(up(1, "north")), Code.OBSOLETE),
        ("RetireUpload", str(up(1, "south")), Code.OBSOLETE),
    ]


def test_a_build_goes_when_its_uploads_are_going(rotated):
    rotated.upload(1, "north", ImageState.DELETING)
    rotated.upload(1, "south", ImageState.DELETING)
    assert rotated.does() == [
        ("RemoveUpload", str(up(1, "north")), Code.ORDERED),
        ("RemoveUpload", str(up(1, "south")), Code.ORDERED),
        ("RetireBuild", str(key(1)), Code.OBSOLETE),
    ]


def test_its_files_go_before_the_clouds_are_done_and_its_record_last(rotated):
    rotated.build(1, ImageState.DELETING)
    rotated.upload(1, "north", ImageState.DELETING)
    del rotated.uploads[up(1, "south")]
    rotated.cloud_backoff = {("upload-record", str(up(1, "north"))): Backoff(until=NOW + 5, failures=1)}
    assert rotated.does() == [("RemoveFiles", str(key(1)), Code.ORDERED)]
    del rotated.disk[key(1)]
    assert rotated.does() == []
    assert rotated.plan().wake == NOW + 5
    del rotated.uploads[up(1, "north")]
    assert rotated.does() == [("EraseBuild", str(key(1)), Code.ORDERED)]


def test_a_record_with_an_upload_that_cannot_be_read_is_not_erased(rotated):
    rotated.build(1, ImageState.DELETING, here=False)
    del rotated.disk[key(1)], rotated.uploads[up(1, "north")], rotated.uploads[up(1, "south")]
    rotated.unreadable = {up(1, "south", 4)}
    assert rotated.does() == []


def test_an_old_build_stays_while_a_provider_has_nothing_newer(rotated):
    del rotated.uploads[up(2, "south")], rotated.uploads[up(3, "south")]
    rotated.upload_backoff = {(DEB, "south"): Backoff(until=NOW + 10, failures=1)}
    rotated.upload(1, "north", ImageState.DELETING)
    assert [what for what in rotated.does() if what[0] != "RemoveUpload"] == []


def test_a_third_upload_of_one_build_is_too_many(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.upload(1, "north", upload=2, age=50)
    scene.upload(1, "north", upload=3, age=40)
    assert scene.does() == [("RetireUpload", str(up(1, "north", 1)), Code.OBSOLETE)]


def test_a_failed_build_is_shown_for_a_while_but_not_its_files(scene):
    scene.build(1)
    scene.everywhere(1)
    failed = scene.build(2, ImageState.FAILED, age=FAILED_SHOWN - 1)
    assert scene.does() == [("RemoveFiles", str(failed), Code.FAILED)]
    del scene.disk[failed]
    assert scene.does(NOW + 1) == [("RetireBuild", str(failed), Code.FAILED)]


def test_a_failed_upload_is_shown_for_a_while(scene):
    scene.build(1)
    scene.everywhere(1)
    failed = scene.upload(1, "north", ImageState.FAILED, age=FAILED_SHOWN - 1, upload=9)
    assert scene.does() == []
    assert scene.does(NOW + 1) == [("RetireUpload", str(failed), Code.FAILED)]


def test_a_failing_image_keeps_its_last_good_build(scene):
    scene.build(1, age=90000)
    scene.everywhere(1, age=89000)
    for number in (2, 3, 4):
        scene.build(number, ImageState.FAILED, here=False)
    scene.build_backoff = {DEB: Backoff(until=NOW + 100, failures=3)}
    assert {what for _, what, _ in scene.does()} == {str(key(n)) for n in (2, 3, 4)}


def test_an_ordered_deletion_takes_the_uploads_too_and_the_one_before_serves_again(scene):
    scene.build(1, age=500)
    scene.build(2, ImageState.DELETING)
    scene.everywhere(1)
    scene.everywhere(2)
    scene.disk_looked = 0
    does = scene.does()
    assert ("RetireUpload", str(up(2, "north")), Code.ORDERED) in does
    assert ("RetireUpload", str(up(2, "south")), Code.ORDERED) in does
    assert not [what for what in does if str(key(1)) in what[1]]


def test_a_crashed_upload_is_cleared_away_and_then_made_again(scene):
    scene.build(1)
    scene.upload(1, "south")
    crashed = scene.upload(1, "north", ImageState.UPLOADING)
    scene.upload_locks = {to(1): Side.FOREIGN}
    assert scene.does() == []
    scene.upload_locks = {}
    scene.unlocked_since = {crashed: NOW}
    assert scene.does() == [("RetireUpload", str(crashed), Code.CRASHED)]
    scene.upload(1, "north", ImageState.DELETING)
    assert {kind for kind, _, _ in scene.does()} == {"RemoveUpload", "UploadBuild"}


def test_an_upload_under_way_here_is_never_taken_for_crashed(scene):
    scene.build(1)
    scene.upload(1, "south")
    scene.unlocked_since = {scene.upload(1, "north", ImageState.UPLOADING): NOW}
    scene.flying(UploadBuild(to=to(1), format="qcow2", why=WHY))
    assert scene.does() == []


def test_an_image_that_left_a_provider_leaves_its_cloud_there_only(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.providers["south"] = provider("south")
    assert scene.does() == [("RetireUpload", str(up(1, "south")), Code.NOT_CONFIGURED)]


def test_an_image_that_left_the_configuration_goes_altogether(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.images = {}
    scene.providers = {name: provider(name) for name in scene.providers}
    assert {kind for kind, _, _ in scene.does()} == {"RetireUpload"}
    scene.upload(1, "north", ImageState.DELETING)
    scene.upload(1, "south", ImageState.DELETING)
    assert ("RetireBuild", str(key(1)), Code.NOT_CONFIGURED) in scene.does()


def test_an_image_that_only_other_builders_know_is_left_to_them(scene):
    scene.images = {}
    scene.providers = {name: provider(name) for name in scene.providers}
    scene.build(1, by=THEIRS)
    scene.build(2, ImageState.FAILED, by=THEIRS, age=1000)
    scene.everywhere(1)
    assert scene.does() == []


def test_an_upload_into_a_provider_that_is_not_configured_is_left_alone(scene):
    scene.build(1)
    scene.everywhere(1)
    del scene.providers["south"]
    assert scene.does() == []
    scene.upload(1, "south", ImageState.DELETING)
    assert scene.does() == []


def test_a_deletion_is_asked_of_the_cloud_by_id(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.upload(1, "north", ImageState.DELETING, upload=4)
    (action,) = scene.plan().actions
    assert isinstance(action, RemoveUpload)
    assert action.external_id == "cloud-1-north-4"


def test_a_builder_on_an_empty_zookeeper_deletes_no_file(scene):
    for number in (1, 2, 3):
        scene.files(number, known_to=ELSEWHERE)
    scene.files(4, known_to=None)
    assert scene.does() == [("BuildImage", DEB, Code.NO_BUILD)]


def test_files_of_a_record_that_is_gone_go_too(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.files(2, known_to=HOME)
    assert scene.does() == [("RemoveFiles", str(key(2)), Code.NO_RECORD)]


def test_files_of_a_record_that_cannot_be_read_stay(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.unreadable = {scene.files(2, known_to=HOME)}
    assert scene.does() == []


@pytest.mark.parametrize("known_to", [None, ELSEWHERE])
def test_files_with_a_record_are_noted_as_ours(scene, known_to):
    scene.build(1, known_to=known_to)
    scene.everywhere(1)
    assert scene.does() == [("ClaimFiles", str(key(1)), Code.KNOWN)]


def test_files_of_a_running_build_are_left_alone(scene):
    scene.running = {DEB: scene.files(5)}
    scene.build_locks = {DEB: Side.OURS}
    scene.in_flight = {("build", DEB): None}
    assert scene.does() == []


def test_files_that_are_being_uploaded_stay_until_that_is_over(scene):
    scene.build(1, ImageState.DELETING)
    scene.build_backoff = {DEB: Backoff(until=NOW + 10, failures=1)}
    scene.flying(UploadBuild(to=to(1), format="qcow2", why=WHY))
    assert scene.does() == []
    scene.in_flight = {}
    assert scene.does() == [("RemoveFiles", str(key(1)), Code.ORDERED)]


def test_after_the_last_upload_formats_are_given_up_one_by_one(scene):
    scene.image(delete_after_upload=True, keep_formats=frozenset({"vhd"}), formats=frozenset({"vhd", "raw"}))
    scene.build(1, formats=("qcow2", "raw", "vhd"))
    scene.upload(1, "north")
    scene.upload_backoff = {(DEB, "south"): Backoff(until=NOW + 10, failures=1)}
    assert scene.does() == []
    scene.upload(1, "south")
    (action,) = scene.plan().actions
    assert (action.build, action.format) == (key(1), "qcow2")
    # nobody takes raw, so nobody can say that it is not needed any more
    scene.files(1, formats=("raw", "vhd"))
    assert scene.does() == []


def test_znodes_without_data_are_swept(scene):
    scene.build(1)
    scene.everywhere(1)
    scene.empty = {"/nodepool/images/deb/builds/x"}
    assert scene.does() == [("SweepEmpty", "/nodepool/images/deb/builds/x", Code.EMPTIED)]


@pytest.fixture
def settled(scene) -> ImageScene:
    scene.build(1)
    scene.everywhere(1)
    return scene


def test_an_image_of_ours_without_a_record_is_a_leak_when_seen_twice(settled):
    settled.in_cloud("lost", seen=NOW - 1)
    assert settled.does() == []
    assert settled.plan().wake == NOW - 1 + LOOK_TWICE
    settled.in_cloud("lost", seen=NOW - 50)
    assert settled.does() == [("DeleteImage", "north/lost", Code.NO_RECORD)]


def test_an_image_with_any_record_is_no_leak(settled):
    settled.in_cloud("lost", upload=7)
    settled.unreadable = {up(9, "north", 7)}
    assert settled.does() == []
    settled.unreadable = {key(9)}
    assert settled.does() == []
    settled.unreadable = set()
    settled.build(9, ImageState.FAILED, here=False, by=THEIRS, age=1)
    settled.upload(9, "north", ImageState.UPLOADING, upload=7)
    assert settled.does() == []


def test_a_sweep_that_would_take_too_many_waits_for_the_operator(settled):
    lost = [f"lost-{number}" for number in range(6)]
    settled.in_cloud(*lost, count=59)
    assert settled.does() == []
    assert "6 of 59 images" in settled.plan().alarms["north"]
    settled.in_cloud(*lost, count=60)
    assert len(settled.does()) == 6
    settled.in_cloud(*lost, count=6, confirmed=True)
    assert len(settled.does()) == 6


def test_clouds_are_listed_now_and_then(settled):
    assert settled.does(NOW - 1 + LIST_EVERY) == [("ListImages", "north", Code.DUE), ("ListImages", "south", Code.DUE)]
    settled.clouds = {}
    settled.cloud_backoff = {("images", "north"): Backoff(until=NOW + 9, failures=3)}
    assert settled.does() == [("ListImages", "south", Code.DUE)]


def test_after_each_step_of_a_rotation_the_rest_is_still_wanted(rotated):
    """Interrupt after every single action, with only the world's state left, until there is nothing left to do."""
    for _ in range(30):
        actions = rotated.plan().actions
        if not actions:
            break
        apply_first(rotated, actions[0])
    assert set(rotated.builds) == {key(2), key(3)}
    assert set(rotated.uploads) == {up(n, p) for n in (2, 3) for p in ("north", "south")}
    assert set(rotated.disk) == {key(2), key(3)}


def apply_first(scene: ImageScene, action) -> None:
    match type(action).__name__:
        case "RetireUpload":
            k = action.upload
            scene.upload(int(k.build, 16), k.provider, ImageState.DELETING)
        case "RemoveUpload":
            del scene.uploads[action.upload]
        case "RetireBuild":
            scene.build(int(action.build.build, 16), ImageState.DELETING)
        case "RemoveFiles":
            del scene.disk[action.build]
        case "EraseBuild":
            del scene.builds[action.build]
        case other:
            raise AssertionError(other)


def gated(scene, number, state):
    key = up(number)
    scene.uploads[key] = at_gate(scene.uploads[key], Gate(state=state, since=NOW))


def test_an_upload_that_did_not_prove_itself_stays_and_does_not_push_out_the_one_in_service(scene):
    for number in (1, 2, 3):
        scene.build(number, age=100 - number)
        scene.everywhere(number, age=90 - number)
    gated(scene, 3, GateState.FAILED)
    assert not [action for action in scene.plan().actions if getattr(action, "upload", None) in (up(1), up(2), up(3))]


@pytest.mark.parametrize("state", [GateState.FAILED, GateState.WAITING, GateState.WITHDRAWN])
def test_one_that_is_not_in_service_goes_when_there_is_a_newer_build(scene, state):
    for number in (1, 2, 3):
        scene.build(number, age=100 - number)
        scene.everywhere(number, age=90 - number)
    gated(scene, 2, state)
    retired = [action.upload for action in scene.plan().actions if isinstance(action, RetireUpload)]
    assert up(2) in retired
    assert up(1) not in retired
