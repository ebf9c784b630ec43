"""What becomes of nodes that nobody's open request needs: adoption, freeing, expiry, deletion, garbage."""

from __future__ import annotations

from typing import Any

import pytest

from nodepool_ng.model.action import (
    AdoptNode,
    AdoptRequest,
    Claim,
    CreateServer,
    DeleteServer,
    EraseNode,
    FreeNode,
    LaunchNodes,
    RecordReady,
    RetireNode,
    RetryNode,
    SweepGhost,
    Unlock,
)
from nodepool_ng.model.lifecycle import GARBAGE_WHEN_UNLOCKED, NodeState, RequestState
from nodepool_ng.model.reason import Code
from nodepool_ng.model.snapshot import AttemptState, Backoff, Scan, Side
from tests.unit.plan.support import NOW, Scene, ids

S = NodeState
TOUCHES = (AdoptNode, FreeNode, RetireNode, Unlock, EraseNode, DeleteServer)


@pytest.mark.parametrize("state", sorted(GARBAGE_WHEN_UNLOCKED))
def test_a_node_of_nodepool_11_left_behind_is_garbage(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, attempt=None)
    action = scene.one(RetireNode)
    assert (action.node, action.expect) == (*ids(1), state)


@pytest.mark.parametrize("state", sorted(set(NodeState) - GARBAGE_WHEN_UNLOCKED - {S.INIT}))
def test_ready_and_held_nodes_are_none(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, attempt=None)
    assert not scene.does()


@pytest.mark.parametrize("state", NodeState)
def test_a_node_that_somebody_else_has_locked_is_left_alone(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, lock=Side.FOREIGN, allocated_to="100-0000000404", state_time=0)
    scene.label("small", max_ready_age=1)
    scene.max_hold_age = 1
    assert not scene.does(*TOUCHES)


@pytest.mark.parametrize("state", NodeState)
@pytest.mark.parametrize("lock", [None, Side.OURS])
def test_a_node_of_a_provider_that_is_not_ours_is_left_to_who_minds_it(
    scene: Scene, state: NodeState, lock: Side | None
) -> None:
    scene.node(1, state, at="zeta/main", lock=lock, allocated_to="100-0000000404", state_time=0)
    scene.max_hold_age = 1
    gives_back = [Unlock] if lock is Side.OURS else []
    assert [type(action) for action in scene.does(*TOUCHES)] == gives_back


@pytest.mark.parametrize("state", [S.USED, S.IN_USE, S.FAILED, S.ABORTED])
def test_a_node_that_is_done_with_and_ours_goes(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, lock=Side.OURS)
    assert scene.one(RetireNode).why.code is (Code.USED if state is S.USED else Code.ABANDONED)


def test_a_lost_init_record_of_nodepool_11_goes_after_a_minute(scene: Scene) -> None:
    scene.node(1, S.INIT, attempt=None, state_time=NOW - 20)
    assert not scene.does(*TOUCHES)
    scene.now = NOW + 40
    assert scene.one(RetireNode).expect is S.INIT


@pytest.mark.parametrize("state", [S.INIT, S.BUILDING])
def test_a_half_built_node_of_our_making_is_adopted(scene: Scene, state: NodeState) -> None:
    scene.node(1, state)
    assert scene.one(AdoptNode).node == ids(1)[0]


def test_a_half_built_node_whose_label_is_gone_is_not(scene: Scene) -> None:
    scene.node(1, S.BUILDING, label="gone")
    assert scene.one(RetireNode)


def test_an_adopted_node_that_was_never_written_as_building_is_adopted_to_the_end(scene: Scene) -> None:
    scene.node(1, S.INIT, lock=Side.OURS)
    assert scene.one(AdoptNode)


def test_a_building_node_of_another_software_under_our_lock_goes(scene: Scene) -> None:
    scene.node(1, S.BUILDING, attempt=None, lock=Side.OURS)
    assert scene.one(RetireNode).why.code is Code.ABANDONED


@pytest.mark.parametrize("state", [S.INIT, S.BUILDING])
def test_a_node_is_not_adopted_while_its_own_launch_is_in_flight(scene: Scene, state: NodeState) -> None:
    scene.label("small", min_ready=1)
    scene.fly(scene.one(LaunchNodes))
    scene.node(1, state)
    scene.request(1, "large")
    scene.fly(scene.one(Claim))
    scene.node(2, state, label="large", allocated_to="100-0000000001")
    assert not scene.does(*TOUCHES)
    scene.in_flight.clear()
    scene.labels.clear()
    assert {a.node for a in scene.does(AdoptNode) if isinstance(a, AdoptNode)} == set(ids(1, 2))


def test_after_a_crash_the_successor_waits_for_a_list_before_it_asks_again(scene: Scene) -> None:
    scene.building(1, AttemptState.UNKNOWN, since=NOW)
    assert not scene.does(CreateServer, RetryNode)
    scene.now = NOW + 6
    scene.cloud(listed=NOW + 5.5)
    assert not scene.one(RetryNode).counted


@pytest.mark.parametrize("state", [None, RequestState.REQUESTED, RequestState.FAILED])
@pytest.mark.parametrize("lock", [None, Side.OURS])
def test_a_node_whose_request_is_over_is_freed(scene: Scene, state: RequestState | None, lock: Side | None) -> None:
    if state is not None:
        scene.request(1, "rare", state=state)
        scene.registration("zeta/main", "them", "rare")
    scene.node(1, allocated_to="100-0000000001", lock=lock)
    action = scene.one(FreeNode)
    assert (action.node, action.why.request) == (*ids(1), "100-0000000001")


@pytest.mark.parametrize("lock", [None, *Side])
def test_a_node_of_a_fulfilled_request_is_never_touched(scene: Scene, lock: Side | None) -> None:
    scene.label("small", max_ready_age=1, min_ready=0)
    scene.provider("acme", quota=None)
    scene.request(1, "small", state=RequestState.FULFILLED)
    scene.request(2, *["large"] * 10)
    scene.node(1, allocated_to="100-0000000001", lock=lock, state_time=0)
    assert not scene.does(*(set(TOUCHES) - {Unlock}), Claim)
    assert bool(scene.does(Unlock)) is (lock is Side.OURS)


def test_a_launch_whose_request_is_gone_goes_on_unless_no_cloud_was_asked(scene: Scene) -> None:
    scene.building(1, AttemptState.ASKED, allocated_to="100-0000000001")
    scene.building(2, AttemptState.FRESH, allocated_to="100-0000000001")
    action = scene.one(RetireNode)
    assert (action.node, action.why.code) == (*ids(2), Code.REQUEST_GONE)
    assert not scene.does(CreateServer)


def test_a_node_is_not_taken_from_a_request_that_is_about_to_be_adopted(scene: Scene) -> None:
    request = scene.request(1, "small", state=RequestState.PENDING)
    node = scene.building(1, allocated_to=request.id)
    scene.server(1)
    scene.more["scans"] = {node.attempt: Scan()}
    assert [type(action) for action in scene.does()] == [AdoptRequest]
    scene.request_locks[request.id] = Side.FOREIGN
    assert scene.one(RecordReady)


def test_a_lock_on_a_spare_node_is_given_back(scene: Scene) -> None:
    scene.node(1, lock=Side.OURS)
    assert scene.one(Unlock).node == ids(1)[0]


def test_a_node_that_has_been_ready_for_too_long_goes(scene: Scene) -> None:
    scene.label("small", max_ready_age=50)
    scene.node(1, state_time=NOW - 49)
    scene.node(2, label="large", state_time=0)
    assert not scene.does(RetireNode)
    assert scene.plan().wake == NOW + 1
    scene.now = NOW + 1
    action = scene.one(RetireNode)
    assert (action.node, action.expect, action.why.code) == (*ids(1), S.READY, Code.TOO_OLD)


def test_an_old_node_is_not_handed_out(scene: Scene) -> None:
    scene.label("small", max_ready_age=50)
    scene.node(1, state_time=NOW - 50)
    scene.request(1, "small")
    assert scene.one(Claim).nodes == ()


@pytest.mark.parametrize(
    ("own", "installation", "wake"),
    [
        (30, 0, NOW + 20),
        (None, 40, NOW + 30),
        (30, 40, NOW + 20),
        ("junk", 40, NOW + 30),
        (1_795_209_470_000, 0, None),
        (10**400, 0, None),
        (None, 0, None),
    ],
)
def test_a_held_node_goes_when_its_time_is_over(
    scene: Scene, own: Any, installation: float, wake: float | None
) -> None:
    scene.max_hold_age = installation
    scene.node(1, S.HOLD, hold_expiration=own)
    assert not scene.does()
    assert scene.plan().wake == (wake or NOW + 60)
    scene.now = NOW + 10**6
    if wake is None:
        assert not scene.does(RetireNode)
    else:
        assert scene.one(RetireNode).why.code is Code.HOLD_OVER


def test_a_node_is_deleted_until_a_list_asked_for_later_shows_nothing(scene: Scene) -> None:
    node = scene.node(1, S.USED, external_id="server-1")
    scene.server(1)
    assert scene.one(RetireNode).node == node.id
    scene.node(1, S.DELETING, external_id="server-1", lock=Side.OURS, state_time=NOW)
    delete = scene.one(DeleteServer)
    assert (delete.provider, delete.server, delete.node) == ("acme", "server-1", node.id)
    scene.more["delete_backoff"] = {"server-1": Backoff(until=NOW + 5, failures=1)}
    assert not scene.does(DeleteServer)
    scene.now = NOW + 5
    assert scene.one(DeleteServer)
    scene.servers.clear()
    scene.cloud(listed=NOW - 0.1)
    assert not scene.does(DeleteServer, EraseNode)
    scene.cloud(listed=NOW)
    assert scene.one(EraseNode).node == node.id


def test_a_node_whose_server_was_asked_to_go_is_not_looked_at_before_that_is_asked_again(scene: Scene) -> None:
    for number in (1, 2):
        scene.node(number, S.DELETING, external_id=f"server-{number}", lock=Side.OURS, state_time=NOW)
        scene.server(number)
    scene.more["delete_backoff"] = {"server-1": Backoff(until=NOW + 5, failures=1)}
    found = scene.plan()
    assert found.resting == {ids(1)[0]: NOW + 5}
    assert scene.one(DeleteServer).server == "server-2"
    scene.more["resting"] = found.resting
    del scene.servers["acme"]["server-1"]
    scene.cloud(listed=NOW + 1)
    assert not scene.does(EraseNode), "nobody told the planner that there is news"
    scene.more["resting"] = {}
    assert scene.one(EraseNode).node == ids(1)[0]


def test_a_server_that_the_cloud_calls_deleted_is_gone(scene: Scene) -> None:
    scene.node(1, S.DELETING, lock=Side.OURS)
    scene.server(1, "deleted")
    assert not scene.does(DeleteServer)
    assert scene.one(EraseNode)


def test_servers_of_all_attempts_of_a_node_go_with_it(scene: Scene) -> None:
    scene.node(1, S.DELETING, lock=Side.OURS)
    scene.server(1, id="first", attempt="earlier")
    scene.server(1, id="second")
    assert {a.server for a in scene.does(DeleteServer) if isinstance(a, DeleteServer)} == {"first", "second"}


@pytest.mark.parametrize("attempt", [AttemptState.FRESH, AttemptState.REFUSED, AttemptState.NO_CAPACITY])
def test_what_no_cloud_made_is_erased_without_asking(scene: Scene, attempt: AttemptState) -> None:
    scene.building(1, attempt)
    scene.node(1, S.DELETING, lock=Side.OURS, state_time=NOW)
    scene.cloud(listed=NOW - 30)
    assert scene.one(EraseNode)


@pytest.mark.parametrize(
    ("attempt", "changes"),
    [
        (AttemptState.ASKED, {}),
        (AttemptState.UNKNOWN, {}),
        (None, {}),
        (AttemptState.FRESH, {"attempts": 2}),
        (AttemptState.FRESH, {"external_id": "server-1"}),
    ],
)
def test_anything_else_needs_a_list(scene: Scene, attempt: AttemptState | None, changes: dict[str, Any]) -> None:
    scene.building(1, attempt)
    scene.node(1, S.DELETING, lock=Side.OURS, state_time=NOW, **changes)
    scene.cloud(listed=NOW - 30)
    assert not scene.does(EraseNode)


def test_without_facts_nothing_is_erased(scene: Scene) -> None:
    scene.node(1, S.DELETING, lock=Side.OURS)
    del scene.facts["acme"]
    assert not scene.does(EraseNode)


def test_a_removed_record_left_half_way_is_taken_up(scene: Scene) -> None:
    scene.node(1, S.DELETED)
    scene.server(1)
    assert scene.one(RetireNode).expect is S.DELETED
    scene.node(1, S.DELETED, lock=Side.OURS)
    assert scene.one(EraseNode)


def test_deletions_wait_while_the_provider_is_to_be_left_alone(scene: Scene) -> None:
    scene.node(1, S.DELETING, lock=Side.OURS)
    scene.server(1)
    scene.more["provider_backoff"] = {"acme": Backoff(until=NOW + 9, failures=1)}
    assert not scene.does(DeleteServer)
    assert scene.plan().wake == NOW + 9


def test_ghosts_are_swept(scene: Scene) -> None:
    scene.more["ghosts"] = set(ids(7, 3))
    assert [a.node for a in scene.does(SweepGhost) if isinstance(a, SweepGhost)] == list(ids(3, 7))


@pytest.mark.parametrize("state", sorted(GARBAGE_WHEN_UNLOCKED))
def test_garbage_without_a_provider_is_anybodys(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, provider=None, pool=None, attempt=None)
    assert scene.one(RetireNode)
    scene.node(1, S.DELETING, provider=None, pool=None, attempt=None, lock=Side.OURS)
    assert scene.one(EraseNode)


def test_deletion_of_a_nodepool_11_node_goes_by_the_recorded_server(scene: Scene) -> None:
    scene.node(1, S.DELETING, attempt=None, external_id="server-1", lock=Side.OURS)
    scene.server(1, installation=None, attempt=None)
    scene.server(2, installation=None, attempt=None, node=ids(1)[0])
    assert [a.server for a in scene.does(DeleteServer) if isinstance(a, DeleteServer)] == ["server-1"]


@pytest.mark.parametrize(
    ("marks", "goes"),
    [
        ({"node": None, "installation": None, "attempt": None, "provider": None}, True),
        ({"node": None, "installation": None, "attempt": None}, True),
        ({"node": None, "installation": "another"}, False),
        ({"node": "0000000009", "installation": None}, False),
        ({"installation": "another"}, False),
        ({"node": None, "installation": None, "provider": "zeta"}, False),
        ({"provider": "zeta"}, False),
    ],
    ids=str,
)
def test_the_recorded_server_goes_unless_its_metadata_tell_of_somebody_else(
    scene: Scene, marks: dict[str, Any], goes: bool
) -> None:
    scene.node(1, S.DELETING, external_id="server-1", lock=Side.OURS)
    scene.server(1, **marks)
    assert bool(scene.does(DeleteServer)) == goes
    assert bool(scene.does(EraseNode)) != goes
