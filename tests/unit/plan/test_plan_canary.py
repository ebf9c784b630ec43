"""The gate before service, told as scenes: a node for each new upload, and what it shows."""

from dataclasses import replace

import pytest

from nodepool_ng.model.action import (
    CheckCanary,
    CreateServer,
    JudgeUpload,
    KeepConsole,
    LaunchNodes,
    RecordReady,
    RetireNode,
    ScanHostKeys,
)
from nodepool_ng.model.gate import CANARY, Gate, GateState, at_gate, gate_of
from nodepool_ng.model.reason import Code
from nodepool_ng.model.settings import DiskImage, PoolLabel
from nodepool_ng.model.snapshot import AttemptState, Checked, Scan
from tests.unit.plan.support import NOW, Scene

PATH = "/nodepool/images/deb/builds/b2/providers/acme/images/0000000001"
KEY = "ssh-ed25519 AAAA"


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    label = PoolLabel(name="small", diskimage="deb")
    made.pool("acme/main", labels={"small": label})
    made.upload("deb")
    made.more["at_gate"] = {("deb", "acme"): PATH}
    return made


def canary(scene, state=AttemptState.ASKED, **changes):
    return scene.building(1, state, extra={CANARY: PATH}, **changes)


def up(scene, **changes):
    """A canary whose server is up, with its keys read."""
    node = canary(scene, **changes)
    scene.server(1)
    scene.more["scans"] = {node.attempt: Scan(keys=(KEY,))}
    return node


def judged(scene) -> Gate:
    return scene.one(JudgeUpload).gate


def last(scene, **gate):
    """The upload in service was proved by a canary itself."""
    before = scene.uploads["deb", "acme"]
    scene.uploads["deb", "acme"] = at_gate(before, Gate(state=GateState.PASSED, since=NOW - 500, **gate))


def test_an_upload_that_waits_gets_a_canary(scene):
    launch = scene.one(LaunchNodes)
    assert (launch.canary, launch.request, launch.provider, launch.pool) == (PATH, None, "acme", "main")
    assert [one.label for one in launch.launches] == ["small"]


def test_one_is_enough(scene):
    scene.fly(scene.one(LaunchNodes))
    assert scene.does(LaunchNodes) == ()
    scene.in_flight.clear()
    canary(scene)
    assert scene.does(LaunchNodes) == ()


def test_only_whoever_acts_for_the_provider_launches_it(scene):
    scene.leased.clear()
    assert scene.does(LaunchNodes) == ()


def test_without_room_it_waits(scene):
    scene.provider("acme", quota=replace(scene.facts["acme"].limits, amounts={"instances": 0}))
    assert scene.does(LaunchNodes) == ()


def test_it_is_not_counted_as_warm(scene):
    scene.label("small", min_ready=1)
    canary(scene)
    (launch,) = scene.does(LaunchNodes)
    assert launch.canary is None


def test_an_image_without_anything_in_service_has_a_canary_all_the_same(scene):
    scene.uploads.clear()
    assert scene.one(LaunchNodes).canary == PATH
    canary(scene, AttemptState.FRESH)
    assert scene.one(CreateServer)


def test_its_host_keys_are_read_even_where_labels_go_without(scene):
    label = PoolLabel(name="small", diskimage="deb", host_key_checking=False)
    scene.pool("acme/main", labels={"small": label})
    canary(scene)
    scene.server(1)
    assert scene.one(ScanHostKeys)


def test_one_that_comes_up_lets_its_upload_into_service_and_is_never_ready(scene):
    up(scene, state_time=NOW - 42)
    assert judged(scene) == Gate(state=GateState.PASSED, since=NOW, seconds=42, keys=(KEY,))
    assert scene.does(RecordReady) == ()


def test_once_judged_it_goes(scene):
    up(scene)
    scene.more["at_gate"] = {}
    assert scene.one(RetireNode)


def test_a_check_has_the_last_word(scene):
    node = up(scene, state_time=NOW - 42)
    image = DiskImage(name="deb", check="/bin/check")
    scene.more["settings"] = replace(scene.snapshot().settings, diskimages={"deb": image})
    assert scene.one(CheckCanary).command == "/bin/check"
    scene.more["checked"] = {node.id: Checked(booted_after=42)}
    assert judged(scene).state is GateState.PASSED
    scene.more["checked"] = {node.id: Checked(booted_after=42, trouble="no python")}
    assert (judged(scene).state, judged(scene).why) == (GateState.FAILED, "no python")


def test_keys_of_another_node_are_part_of_the_image(scene):
    scene.node(7, host_keys=(KEY,))
    up(scene)
    assert judged(scene).state is GateState.FAILED
    assert "part of the image" in judged(scene).why


def test_keys_of_the_canary_before_are_too(scene):
    last(scene, keys=(KEY,))
    up(scene)
    assert "the canary before" in judged(scene).why


@pytest.mark.parametrize(("took", "state"), [(149, GateState.PASSED), (151, GateState.FAILED)])
def test_it_may_take_three_times_as_long_as_the_one_before_and_a_minute(scene, took, state):
    last(scene, seconds=30)
    up(scene, state_time=NOW - took)
    assert judged(scene).state is state


def test_one_that_fails_for_good_keeps_its_upload_out_after_its_console_was_read(scene):
    node = canary(scene, attempts=3)
    scene.server(1, "failed", fault="kernel panic")
    assert scene.one(KeepConsole)
    scene.more["consoles"] = {node.attempt}
    assert judged(scene).state is GateState.FAILED
    assert "kernel panic" in judged(scene).why


def test_a_cloud_without_room_proves_nothing(scene):
    canary(scene, AttemptState.NO_CAPACITY)
    assert scene.does(JudgeUpload) == ()
    assert scene.one(RetireNode).why.code is Code.ATTEMPT_FAILED, "so that the label backs off"


def test_a_verdict_reads_as_it_was_written(scene):
    upload = scene.uploads["deb", "acme"]
    gate = Gate(state=GateState.FAILED, since=NOW, why="no", seconds=3.5, keys=("a", "b"))
    assert gate_of(at_gate(upload, gate)) == gate


@pytest.mark.parametrize("found", [None, 7, "passed", {"state": "what"}, {}])
def test_what_cannot_be_read_is_no_gate(scene, found):
    upload = replace(scene.uploads["deb", "acme"], extra={"nodepool_ng_gate": found})
    assert gate_of(upload) is None
