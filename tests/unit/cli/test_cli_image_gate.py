"""Commands about the gate before service, on a tree in memory."""

import json

import pytest

from nodepool_ng.model.gate import GATE, gate_of
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.facts import encode_facts
from tests.unit.cli.conftest import NOW

OLD, NEW = "4ceb9f263b42405b9a161e2baf0db0b9", "add825ec8cd947308b7bff4368df7b4e"
PASSED = {GATE: {"state": "passed", "since": NOW - 60, "seconds": 12.5, "keys": ["ssh-ed25519 AAAA"]}}
FAILED = {GATE: {"state": "failed", "since": NOW - 60, "why": "no host keys"}}


def put(world, build, provider, when, extra=None):
    made = world.put_build("deb", build) if world.tree.look(paths.build("deb", build)) is None else None
    at = made or codec.decode_build("deb", build, world.data(paths.build("deb", build)))
    upload = world.put_upload(at, "0000000001", provider, extra=extra or {})
    path = paths.upload("deb", build, provider, "0000000001")
    from dataclasses import replace

    from nodepool_ng.zk.store import Set

    world.tree.commit((Set(path, codec.encode_upload(replace(upload, state_time=NOW - when))),), world.session)


def gate(world, build, provider):
    path = paths.upload("deb", build, provider, "0000000001")
    found = gate_of(codec.decode_upload("deb", build, provider, "0000000001", world.data(path)))
    return found.state.value if found else None


@pytest.fixture
def two(world):
    for provider in ("north", "south"):
        put(world, OLD, provider, 1000)
        put(world, NEW, provider, 100, PASSED)
    return world


def test_gates_show_what_serves_and_why(two):
    put(two, "0000000007", "north", 50, FAILED)
    rows = json.loads(two.run("image-gates", "deb", "--format", "json").stdout)
    north = [row for row in rows if row["provider"] == "north"]
    assert [(row["build"], row["in_service"], row["gate"], row["why"]) for row in north] == [
        ("0000000007", False, "failed", "no host keys"),
        (NEW, True, "passed", None),
        (OLD, False, None, None),
    ]


def test_the_console_of_a_failed_canary_is_kept(two):
    put(two, "0000000007", "north", 50, FAILED)
    (part,) = encode_facts({"console": "Kernel panic\x1b[0m\nnot syncing"})
    two.put(paths.canary("deb", "0000000007", "north", "0000000001"), part)
    said = two.run("image-gates", "--console").stdout
    assert "Kernel panic\\x1b[0m\nnot syncing" in said


def test_rolling_back_takes_the_newest_out_of_service_everywhere(two):
    result = two.run("image-rollback", "deb")
    assert result.exit_code == 0
    assert result.stdout.count(f"served by build {OLD}") == 2
    assert [gate(two, NEW, place) for place in ("north", "south")] == ["withdrawn", "withdrawn"]


def test_or_in_one_provider(two):
    two.run("image-rollback", "deb", "--provider", "north")
    assert [gate(two, NEW, place) for place in ("north", "south")] == ["withdrawn", "passed"]


def test_and_it_can_be_undone(two):
    two.run("image-rollback", "deb")
    assert f"served by build {NEW}" in two.run("image-rollback", "deb", "--undo").stdout
    assert gate(two, NEW, "north") == "passed"
    assert "newest upload everywhere" in two.run("image-rollback", "deb", "--undo").stdout


def test_the_last_one_in_service_stays(two):
    two.run("image-rollback", "deb")
    again = two.run("--strict", "image-rollback", "deb")
    assert again.exit_code == 1
    assert "no other upload" in again.stdout + again.stderr


def test_what_is_not_there_is_declined(world):
    assert "no ready upload of deb in north" in world.run("image-rollback", "deb", "--provider", "north").stdout
