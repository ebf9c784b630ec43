"""Servers of ours that nothing stands for: only what is provably ours, seen twice, and not too many at once."""

from __future__ import annotations

from typing import Any

import pytest

from nodepool_ng.model.action import DeleteServer
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code
from nodepool_ng.model.snapshot import AttemptState, Backoff, Side
from tests.unit.plan.support import NOW, Scene, ids


def deleted(scene: Scene, code: Code | None = None) -> list[str]:
    return [
        action.server
        for action in scene.does(DeleteServer)
        if isinstance(action, DeleteServer) and code in (None, action.why.code)
    ]


def leak(scene: Scene, number: int, **marks: Any) -> None:
    """Add a server without a record that was seen by an earlier full list already."""
    server = scene.server(number, **marks)
    scene.more.setdefault("suspects", {})["acme", server.id] = NOW - 60


def test_a_leak_goes_when_it_is_seen_a_second_time(scene: Scene) -> None:
    scene.server(1)
    assert not deleted(scene)
    scene.more["suspects"] = {("acme", "server-1"): NOW}
    assert not deleted(scene)
    scene.cloud(full_listed=NOW + 60)
    assert deleted(scene, Code.LEAK) == ["server-1"]


@pytest.mark.parametrize(
    "marks",
    [
        {"provider": "zeta"},
        {"provider": None},
        {"node": None},
        {"installation": "another"},
        {"installation": None},
        {"installation": None, "node": None, "provider": None, "attempt": None},
        {"status": "deleted"},
    ],
    ids=str,
)
def test_what_is_not_provably_ours_is_never_touched(scene: Scene, marks: dict[str, Any]) -> None:
    leak(scene, 1, **marks)
    assert not deleted(scene)


def test_a_server_with_a_record_is_no_leak_whatever_became_of_it(scene: Scene) -> None:
    leak(scene, 1)
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    assert not deleted(scene)
    leak(scene, 2)
    scene.more["unreadable"] = set(ids(2))
    assert not deleted(scene)


def test_a_server_of_nodepool_11_is_a_leak_only_if_we_have_seen_its_record(scene: Scene) -> None:
    leak(scene, 1, installation=None, attempt=None)
    leak(scene, 2, installation=None, attempt=None)
    scene.more["recorded"] = set(ids(2))
    assert deleted(scene) == ["server-2"]


def test_nothing_is_swept_before_a_full_list_or_for_others_providers(scene: Scene) -> None:
    leak(scene, 1)
    scene.cloud(full_listed=None)
    assert not deleted(scene)
    scene.cloud(full_listed=NOW)
    scene.leased.clear()
    assert not deleted(scene)


def test_a_leak_that_is_being_deleted_is_left_alone_for_a_while(scene: Scene) -> None:
    leak(scene, 1)
    scene.more["delete_backoff"] = {"server-1": Backoff(until=NOW + 5, failures=1)}
    assert not deleted(scene)


def test_a_sweep_of_too_many_stops_and_alarms_until_it_is_confirmed(scene: Scene) -> None:
    for number in range(6):
        leak(scene, number)
    for number in range(10, 50):
        scene.server(number, installation="another", provider="other")
    plan = scene.plan()
    assert not deleted(scene)
    assert "6 of 6 servers" in plan.alarms["acme"]  # type: ignore[index]
    assert "nodepool confirm acme" in plan.alarms["acme"]  # type: ignore[index]
    scene.more["sweeps_confirmed"] = {"acme": NOW}
    assert len(deleted(scene)) == 6
    assert not scene.plan().alarms


@pytest.mark.parametrize(("leaks", "others", "swept"), [(5, 0, True), (6, 54, True), (6, 53, False), (60, 40, False)])
def test_a_sweep_is_too_large_at_more_than_five_and_more_than_a_tenth(
    scene: Scene, leaks: int, others: int, swept: bool
) -> None:
    for number in range(leaks):
        leak(scene, number)
    for number in range(1000, 1000 + others):
        scene.server(number)
        scene.node(number, NodeState.IN_USE, lock=Side.FOREIGN)
    assert bool(deleted(scene)) == swept


def test_a_stopped_sweep_does_not_stop_the_deletion_of_nodes_and_duplicates(scene: Scene) -> None:
    for number in range(6):
        leak(scene, number)
    scene.node(10, NodeState.DELETING, lock=Side.OURS)
    scene.server(10)
    scene.building(11)
    scene.server(11, attempt="earlier")
    assert set(deleted(scene)) == {"server-10", "server-11"}


def test_the_server_of_an_earlier_attempt_is_a_duplicate(scene: Scene) -> None:
    scene.building(1, AttemptState.FRESH, attempts=2)
    scene.server(1, "failed", attempt="earlier")
    assert deleted(scene, Code.DUPLICATE) == ["server-1"]


@pytest.mark.parametrize("recorded", [None, "younger", "older"])
def test_of_two_servers_of_one_attempt_the_recorded_or_else_the_older_stays(scene: Scene, recorded: str | None) -> None:
    scene.building(1, external_id=recorded)
    scene.server(1, id="younger", created=NOW - 2)
    scene.server(1, id="older", created=NOW - 3)
    assert deleted(scene) == ["older" if recorded == "younger" else "younger"]


@pytest.mark.parametrize("state", [NodeState.READY, NodeState.IN_USE, NodeState.HOLD, NodeState.USED])
def test_duplicates_go_whatever_the_node_does_meanwhile(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, external_id="server-1", lock=Side.FOREIGN)
    scene.server(1)
    scene.server(1, id="other", attempt="earlier")
    assert deleted(scene) == ["other"]


def test_a_recorded_server_stays_even_if_its_attempt_is_another(scene: Scene) -> None:
    scene.node(1, external_id="server-1")
    scene.server(1, attempt="rewritten")
    scene.server(1, id="copy", installation="another")
    scene.server(1, id="moved", installation=None)
    assert not deleted(scene)


def test_the_only_server_of_a_node_that_is_up_is_never_a_duplicate(scene: Scene) -> None:
    scene.node(1, NodeState.IN_USE, external_id="gone", lock=Side.FOREIGN)
    scene.server(1, attempt="earlier")
    assert not deleted(scene)


def test_servers_of_a_nodepool_11_node_are_no_duplicates(scene: Scene) -> None:
    scene.node(1, attempt=None, external_id="server-1")
    scene.server(1, installation=None, attempt=None)
    scene.server(1, id="other", installation=None, attempt=None)
    assert not deleted(scene)


@pytest.mark.parametrize("restarted", [False, True], ids=["seen without a record", "older than the record"])
def test_servers_whose_numbers_were_given_out_again_are_leaks_and_no_duplicates(scene: Scene, restarted: bool) -> None:
    """ZooKeeper was restored from a backup: new nodes get the numbers of servers on which jobs may still run."""
    for number in range(6):
        scene.node(number, external_id=f"new-{number}", created_time=NOW - 30)
        scene.server(number, id=f"new-{number}")
        scene.server(number, attempt="before the restore", created=NOW - 3600 if restarted else NOW - 8)
        if not restarted:
            scene.more.setdefault("suspects", {})["acme", f"server-{number}"] = NOW - 60
    assert not deleted(scene)
    assert "6 of 12 servers" in scene.plan().alarms["acme"]  # type: ignore[index]
    scene.more["sweeps_confirmed"] = {"acme": NOW}
    assert deleted(scene, Code.LEAK) == [f"server-{number}" for number in range(6)]


def test_a_server_once_seen_without_its_record_is_not_taken_for_another_ones(scene: Scene) -> None:
    scene.node(1, external_id="server-1", lock=Side.FOREIGN)
    leak(scene, 1)
    assert not deleted(scene)


def test_a_node_that_is_deleted_does_not_take_along_the_server_that_had_its_number_before(scene: Scene) -> None:
    scene.node(1, NodeState.DELETING, external_id="new", lock=Side.OURS, created_time=NOW - 30)
    scene.server(1, id="new")
    scene.server(1, id="old", attempt="before the restore", created=NOW - 3600)
    assert deleted(scene, Code.NOT_NEEDED) == ["new"]


def test_what_one_project_was_seen_with_says_nothing_about_another(scene: Scene) -> None:
    """A record without a creation time and a server of the same number in another provider's project."""
    scene.provider("zeta")
    scene.pool("zeta/main")
    scene.node(1, NodeState.INIT, lock=Side.FOREIGN)
    scene.server(1, at="zeta", attempt=None, created=None)
    scene.more["suspects"] = {("acme", "server-1"): NOW - 60}
    assert not deleted(scene)
    scene.more["suspects"] = {("zeta", "server-1"): NOW - 60}
    assert deleted(scene, Code.LEAK) == ["server-1"]
