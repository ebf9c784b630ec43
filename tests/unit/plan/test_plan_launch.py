"""How far a launch has come: attempts, servers and scans, and the one thing to do for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodepool_ng.model.action import (
    AdoptNode,
    Booted,
    Claim,
    CreateServer,
    Decline,
    Fulfil,
    LaunchNodes,
    RecordReady,
    Release,
    RetireNode,
    RetryNode,
    ScanHostKeys,
)
from nodepool_ng.model.ids import NodeId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code
from nodepool_ng.model.server import NO_ADDRESSES
from nodepool_ng.model.settings import PoolLabel
from nodepool_ng.model.snapshot import AttemptState, Backoff, Scan, Side
from nodepool_ng.plan.launch import LOST_AFTER, Ask, Do, Failed, NoRoom, Progress, Wait, progress
from tests.unit.plan.support import NOW, Scene, ids, instances

A = AttemptState
TIMEOUT = NOW - 10 + 3600


def step(scene: Scene, number: int = 1) -> Progress:
    snapshot = scene.snapshot()
    return progress(snapshot, snapshot.nodes.nodes[f"{number:010d}"])  # type: ignore[index]


def said(made: Progress) -> str:
    """Return a step in short."""
    match made:
        case Wait(until):
            return f"wait {until - NOW:g}"
        case Do(RetryNode(counted=counted)):
            return "retry" if counted else "retry uncounted"
        case Do(action):
            return type(action).__name__
        case Ask():
            return "ask"
        case Booted():
            return "booted"
        case Failed(reason):
            return f"failed {reason.code}"
        case NoRoom():
            return "no room"


@pytest.mark.parametrize(
    ("attempt", "age", "listed", "does"),
    [
        (A.FRESH, 0, 0, "ask"),
        (A.FRESH, 500, 0, "ask"),
        (A.ASKED, 0, 0, "wait 30"),
        (A.ASKED, 29, 0, "wait 1"),
        (A.ASKED, 31, 0, "retry"),
        (A.ASKED, 31, 5, "wait 3590"),
        (A.UNKNOWN, 0, 0, "wait 5"),
        (A.UNKNOWN, 4.5, 0, "wait 1"),
        (A.UNKNOWN, 6, 3, "wait 1"),
        (A.UNKNOWN, 6, 0, "retry"),
        (A.REFUSED, 0, 0, "wait 1"),
        (A.REFUSED, 2, 0, "retry"),
        (A.NO_CAPACITY, 0, 0, "no room"),
    ],
)
def test_without_a_server_it_depends_on_what_became_of_the_call_and_on_lists_since(
    scene: Scene, attempt: AttemptState, age: float, listed: float, does: str
) -> None:
    scene.building(1, attempt, since=NOW - age, detail="told so" if attempt is not A.ASKED else "")
    scene.cloud(listed=NOW - listed)
    assert said(step(scene)) == does


@pytest.mark.parametrize(
    ("attempts", "age", "does"),
    [(1, 0, "wait 2"), (1, 1.5, "wait 1"), (1, 2, "retry"), (2, 2, "wait 2"), (2, 4, "retry")],
)
def test_a_cloud_that_says_that_it_failed_is_not_at_it_any_more(
    scene: Scene, attempts: int, age: float, does: str
) -> None:
    scene.building(1, A.UNKNOWN, since=NOW - age, detail="500 Unexpected API Error", answered=True, attempts=attempts)
    assert said(step(scene)) == does


@pytest.mark.parametrize(
    ("attempts", "age", "does"),
    [(1, 1, "wait 4"), (1, 5, "retry"), (2, 5, "wait 5"), (2, 10, "retry"), (3, 1, "failed launch-failed")],
)
def test_attempts_are_not_used_up_while_no_host_is_there(scene: Scene, attempts: int, age: float, does: str) -> None:
    scene.building(1, A.ASKED, since=NOW - age, attempts=attempts)
    scene.server(1, "failed", fault="No valid host was found.", unplaced=True)
    assert said(step(scene)) == does


def test_nodes_that_wait_for_news_of_themselves_are_found_and_then_not_looked_at(scene: Scene) -> None:
    scene.pending(1, "small")
    scene.building(1, A.ASKED, allocated_to="100-0000000001")
    scene.server(1, "building")
    scene.building(2, A.ASKED)
    scene.building(3, A.UNKNOWN, since=NOW, detail="lost")
    found = scene.plan()
    assert set(found.resting) == set(ids(1, 2)), "what lists may decide about is looked at"
    assert found.resting[NodeId(ids(2)[0])] == NOW - 10 + LOST_AFTER
    scene.more["resting"] = found.resting
    again = scene.plan()
    assert (again.actions, again.wake, again.resting) == (found.actions, found.wake, {})
    scene.server(1, "failed")
    assert not scene.does(RetryNode), "nobody told the planner that there is news"
    scene.now = NOW + LOST_AFTER
    scene.cloud(listed=scene.now)
    assert [action.node for action in scene.does(RetryNode)] == [*ids(2, 3)], "but none rests for ever"


def test_a_node_with_somebody_elses_server_does_not_rest(scene: Scene) -> None:
    scene.building(1, A.ASKED)
    scene.server(1, attempt="another", created=NOW - 9)
    assert not scene.plan().resting


def test_an_attempt_that_this_process_does_not_know_may_have_been_asked_for(scene: Scene) -> None:
    scene.building(1, None, state_time=NOW - 4)
    assert said(step(scene)) == "wait 1"
    scene.building(1, None, state_time=NOW - 6)
    assert said(step(scene)) == "retry uncounted"


def test_an_attempt_lost_with_its_launcher_is_not_counted_even_if_it_was_the_last(scene: Scene) -> None:
    scene.building(1, A.UNKNOWN, attempts=99)
    assert said(step(scene)) == "retry uncounted"


@pytest.mark.parametrize(
    ("seen", "does"),
    [
        ({"status": "building"}, "wait 3590"),
        ({"status": "other"}, "wait 3590"),
        ({"status": "active", "addresses": NO_ADDRESSES}, "wait 3590"),
        ({"status": "active"}, "ScanHostKeys"),
        ({"status": "failed", "fault": "No valid host"}, "retry"),
        ({"status": "failed", "no_capacity": True}, "no room"),
        ({"status": "deleted"}, "retry"),
        ({"status": "active", "deleting": True}, "retry"),
    ],
    ids=str,
)
@pytest.mark.parametrize("attempt", [*A, None])
def test_once_a_server_is_seen_it_alone_counts(
    scene: Scene, attempt: AttemptState | None, seen: dict[str, Any], does: str
) -> None:
    scene.building(1, attempt)
    scene.server(1, **seen)
    assert said(step(scene)) == does


@pytest.mark.parametrize("seen", [{"status": "building"}, {"addresses": NO_ADDRESSES}, None], ids=str)
@pytest.mark.parametrize("attempt", [A.ASKED, A.FRESH])
def test_a_launch_has_its_timeout(scene: Scene, seen: dict[str, Any] | None, attempt: AttemptState) -> None:
    scene.building(1, attempt)
    if seen is not None:
        scene.server(1, **seen)
    scene.now = TIMEOUT
    assert said(step(scene)) == "retry"


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"status": "building"}, "not up after"),
        ({"addresses": NO_ADDRESSES}, "it has none"),
        ({"addresses": replace(NO_ADDRESSES, private_ipv4="10.0.0.7")}, "it has only 10.0.0.7, which clouds.yaml"),
    ],
)
def test_a_launch_that_was_too_slow_says_what_was_missing(scene: Scene, seen: dict[str, Any], why: str) -> None:
    scene.building(1, A.ASKED)
    scene.server(1, **seen)
    scene.now = TIMEOUT
    made = step(scene)
    assert isinstance(made, Do)
    assert why in (made.action.why.detail or "")


def test_a_server_that_is_up_may_be_scanned_after_the_launch_timeout(scene: Scene) -> None:
    scene.building(1)
    scene.server(1)
    scene.now = TIMEOUT + 1
    assert said(step(scene)) == "ScanHostKeys"


def test_a_scan_has_the_address_and_the_time_that_are_configured(scene: Scene) -> None:
    node = scene.building(1, connection_type="network_cli", connection_port=2222)
    scene.server(1)
    scene.more["first_active"] = {node.attempt: NOW - 20}
    made = step(scene)
    assert isinstance(made, Do)
    scan = made.action
    assert isinstance(scan, ScanHostKeys)
    assert (scan.address, scan.port, scan.ssh, scan.deadline) == ("192.0.2.7", 2222, True, NOW - 20 + 60)


@pytest.mark.parametrize(("kind", "ssh"), [("ssh", True), (None, True), ("winrm", False), ("network_cli", True)])
def test_only_what_speaks_ssh_is_asked_for_keys(scene: Scene, kind: str | None, ssh: bool) -> None:
    scene.building(1, connection_type=kind)
    scene.server(1)
    made = step(scene)
    assert isinstance(made, Do)
    assert isinstance(made.action, ScanHostKeys)
    assert made.action.ssh is ssh


def test_a_port_that_is_no_number_is_not_used(scene: Scene) -> None:
    scene.building(1, connection_port={"name": "x"})
    scene.server(1)
    made = step(scene)
    assert isinstance(made, Do)
    assert isinstance(made.action, ScanHostKeys)
    assert made.action.port == 22


def test_with_its_keys_a_server_is_booted(scene: Scene) -> None:
    node = scene.building(1)
    server = scene.server(1)
    scene.more["scans"] = {node.attempt: Scan(keys=("ssh-ed25519 AAAA",))}
    assert step(scene) == Booted(node=node.id, server=server.id, host_keys=("ssh-ed25519 AAAA",))


def test_a_scan_that_failed_fails_the_attempt(scene: Scene) -> None:
    node = scene.building(1)
    scene.server(1)
    scene.more["scans"] = {node.attempt: Scan(error="timeout")}
    assert said(step(scene)) == "retry"


def test_without_host_key_checking_an_address_is_enough(scene: Scene) -> None:
    scene.pool("acme/main", labels={"small": PoolLabel(name="small", cloud_image="x", host_key_checking=False)})  # type: ignore[arg-type,dict-item]
    scene.building(1)
    scene.server(1)
    assert said(step(scene)) == "booted"


@pytest.mark.parametrize(
    ("attempts", "retries", "does"),
    [(1, 3, "retry"), (2, 3, "retry"), (3, 3, "failed launch-failed"), (1, 1, "failed launch-failed")],
)
def test_attempts_are_limited(scene: Scene, attempts: int, retries: int, does: str) -> None:
    scene.provider("acme", launch_retries=retries)
    scene.building(1, attempts=attempts)
    scene.server(1, "failed")
    assert said(step(scene)) == does


@pytest.mark.parametrize(("attempts", "pause"), [(1, 1), (2, 2), (3, 4), (7, 30)])
def test_refusals_make_pauses_longer(scene: Scene, attempts: int, pause: float) -> None:
    scene.provider("acme", launch_retries=99)
    scene.building(1, A.REFUSED, attempts=attempts, since=NOW)
    assert said(step(scene)) == f"wait {pause}"


def test_lack_of_room_is_never_counted(scene: Scene) -> None:
    scene.building(1, A.NO_CAPACITY, attempts=99)
    assert said(step(scene)) == "no room"


def test_a_cloud_that_wants_to_be_left_alone_is(scene: Scene) -> None:
    scene.building(1, A.FRESH)
    scene.more["provider_backoff"] = {"acme": Backoff(until=NOW + 7, failures=1)}
    assert said(step(scene)) == "wait 7"


@pytest.mark.parametrize("gone", ["label", "pool", "provider"])
def test_what_is_not_configured_any_more_fails(scene: Scene, gone: str) -> None:
    node = scene.building(1, A.FRESH)
    changes: dict[str, Any] = {"label": {"labels": ("old",)}, "pool": {"pool": "old"}, "provider": {"provider": "old"}}
    scene.nodes[node.id] = replace(node, **changes[gone])
    assert said(step(scene)) == "failed launch-failed"


def test_a_label_whose_image_went_before_the_cloud_was_asked_fails(scene: Scene) -> None:
    scene.pool("acme/main", labels={"small": PoolLabel(name="small", diskimage="ubuntu")})  # type: ignore[arg-type,dict-item]
    scene.building(1, A.FRESH)
    assert said(step(scene)) == "failed no-image"
    scene.upload("ubuntu")
    assert said(step(scene)) == "ask"


@pytest.mark.parametrize(
    "marks",
    [{"attempt": "another"}, {"attempt": None}, {"installation": "another"}, {"installation": None}, {"node": None}],
    ids=str,
)
def test_a_server_of_another_attempt_or_installation_is_not_this_launchs(scene: Scene, marks: dict[str, Any]) -> None:
    scene.building(1, A.FRESH)
    scene.server(1, **marks)
    assert said(step(scene)) == "ask"


def test_of_two_servers_the_recorded_one_counts_or_else_the_older(scene: Scene) -> None:
    scene.building(1)
    scene.server(1, "failed", id="younger", created=NOW - 2)
    scene.server(1, "building", id="older", created=NOW - 3)
    assert said(step(scene)).startswith("wait")
    scene.building(1, external_id="younger")
    assert said(step(scene)) == "retry"


def test_a_warm_node_goes_from_fresh_to_ready(scene: Scene) -> None:
    node = scene.building(1, A.FRESH)
    assert scene.one(CreateServer).node == node.id
    scene.building(1, A.ASKED)
    assert not scene.does(CreateServer, RetryNode)
    scene.server(1)
    assert scene.one(ScanHostKeys).node == node.id
    scene.more["scans"] = {node.attempt: Scan(keys=("k",))}
    ready = scene.one(RecordReady)
    assert (ready.node, ready.server, ready.host_keys, ready.why.code) == (node.id, "server-1", ("k",), Code.UP)


def test_a_warm_node_that_failed_or_finds_no_room_is_removed(scene: Scene) -> None:
    scene.building(1, attempts=3)
    scene.server(1, "failed")
    scene.building(2, A.NO_CAPACITY)
    assert {(a.node, a.why.code) for a in scene.does(RetireNode) if isinstance(a, RetireNode)} == {
        (*ids(1), Code.LAUNCH_FAILED),
        (*ids(2), Code.ATTEMPT_FAILED),
    }


def test_nothing_is_planned_on_a_node_in_flight(scene: Scene) -> None:
    scene.building(1, A.FRESH)
    scene.fly(scene.one(CreateServer))
    assert not scene.does()


def test_the_wake_time_is_the_next_instant_at_which_something_changes_by_itself(scene: Scene) -> None:
    scene.building(1, A.UNKNOWN, since=NOW - 2)
    scene.cloud(listed=NOW)
    assert scene.plan().wake == NOW + 1
    scene.building(1, A.REFUSED, since=NOW - 0.5)
    assert scene.plan().wake == NOW + 0.5


def test_a_request_is_handed_over_when_all_of_it_is_up(scene: Scene) -> None:
    request = scene.pending(1, "small", "large", "small")
    large = scene.building(1, label="large", allocated_to=request.id)
    small = scene.building(2, allocated_to=request.id)
    scene.node(3, allocated_to=request.id, lock=Side.OURS)
    for number, node in ((1, large), (2, small)):
        assert not scene.does(Fulfil)
        scene.server(number)
        scene.more.setdefault("scans", {})[node.attempt] = Scan(keys=("k",))
    action = scene.one(Fulfil)
    assert action.nodes == ids(3, 1, 2)
    assert {up.node for up in action.booted} == {large.id, small.id}


def test_a_request_in_the_making_goes_through_the_same_steps(scene: Scene) -> None:
    request = scene.pending(1, "small")
    scene.building(1, A.FRESH, allocated_to=request.id)
    assert scene.one(CreateServer).why.request == request.id
    scene.building(1, A.REFUSED, since=NOW - 60, allocated_to=request.id)
    assert scene.one(RetryNode).counted


def test_a_request_is_not_handed_over_while_a_node_of_it_is_not_locked_by_us(scene: Scene) -> None:
    request = scene.pending(1, "small")
    node = scene.node(1, allocated_to=request.id)
    assert scene.one(AdoptNode).node == node.id
    scene.node_locks[node.id] = Side.FOREIGN
    assert not scene.does()


def test_half_built_nodes_of_a_request_are_adopted(scene: Scene) -> None:
    request = scene.pending(1, "small", "small", "small")
    scene.node(1, NodeState.INIT, allocated_to=request.id)
    scene.node(2, NodeState.BUILDING, allocated_to=request.id)
    scene.node(3, NodeState.INIT, allocated_to=request.id, lock=Side.OURS)
    assert {a.node for a in scene.does(AdoptNode) if isinstance(a, AdoptNode)} == set(ids(1, 2, 3))
    assert not scene.does(LaunchNodes, Release)


def test_a_launch_that_failed_for_good_declines_the_request(scene: Scene) -> None:
    scene.rival("zeta/main")
    request = scene.pending(1, "small", "small")
    scene.building(1, attempts=3, allocated_to=request.id)
    scene.server(1, "failed", fault="No valid host")
    scene.building(2, allocated_to=request.id)
    action = scene.one(Decline)
    assert (action.request, action.pools, action.fail) == (request.id, ("us-acme/main",), False)
    assert action.why.code is Code.LAUNCH_FAILED
    assert "No valid host" in action.why.detail


def test_the_last_such_decline_waits_for_a_quiet_registry_too(scene: Scene) -> None:
    scene.registry_changed = NOW
    request = scene.pending(1, "small")
    scene.building(1, attempts=3, allocated_to=request.id)
    scene.server(1, "failed")
    assert not scene.does(Decline, Release, RetireNode)


def test_before_a_request_is_declined_those_go_that_no_cloud_was_asked_for(scene: Scene) -> None:
    request = scene.pending(1, "small", "small", "small")
    scene.building(1, attempts=3, allocated_to=request.id)
    scene.server(1, "failed")
    scene.building(2, A.FRESH, allocated_to=request.id)
    scene.building(3, A.ASKED, allocated_to=request.id)
    assert scene.one(RetireNode).node == ids(2)[0]
    assert not scene.does(Decline, CreateServer)
    scene.node(2, NodeState.DELETING, allocated_to=request.id, lock=Side.OURS)
    assert scene.one(Decline)


def test_after_a_decline_the_failed_node_goes_and_the_others_go_on_as_spares(scene: Scene) -> None:
    scene.building(1, attempts=3)
    scene.server(1, "failed")
    scene.building(2)
    assert scene.one(RetireNode).node == ids(1)[0]


def test_who_declined_already_and_fails_again_lets_go(scene: Scene) -> None:
    request = scene.pending(1, "small", declined_by=("us-acme/main",))
    scene.building(1, attempts=3, allocated_to=request.id)
    scene.server(1, "failed")
    assert scene.one(Release).request == request.id


def test_a_pool_that_is_not_registered_yet_puts_the_request_back_instead(scene: Scene) -> None:
    scene.pool_ids.clear()
    request = scene.pending(1, "small")
    scene.building(1, attempts=3, allocated_to=request.id)
    scene.server(1, "failed")
    assert scene.one(Release).request == request.id


def test_a_node_without_room_is_dropped_first_and_then_launched_again_or_the_request_let_go(scene: Scene) -> None:
    request = scene.pending(1, "small", "large")
    scene.building(1, A.NO_CAPACITY, allocated_to=request.id)
    scene.building(2, label="large", allocated_to=request.id)
    assert scene.one(RetireNode).why.code is Code.ATTEMPT_FAILED
    assert not scene.does(LaunchNodes, Release)
    scene.node(1, NodeState.DELETING, allocated_to=request.id, lock=Side.OURS)
    action = scene.one(LaunchNodes)
    assert (action.request, [launch.label for launch in action.launches]) == (request.id, ["small"])
    scene.backoff(9)
    assert scene.one(Release).request == request.id
    assert not scene.does(LaunchNodes)


def test_a_lost_node_of_a_claimed_request_is_replaced_in_its_zone(scene: Scene) -> None:
    scene.cloud(zones=("a", "b", "c"))
    request = scene.pending(1, "small", "small")
    scene.building(1, az="b", allocated_to=request.id)
    assert scene.one(LaunchNodes).launches[0].zone == "b"


def test_replacements_wait_for_concurrency_and_for_the_clouds_answer(scene: Scene) -> None:
    scene.provider("acme", max_concurrency=1)
    request = scene.pending(1, "small", "small")
    scene.building(1, allocated_to=request.id)
    assert not scene.does(LaunchNodes, Release)
    scene.provider("acme")
    scene.cloud(limits_read=None)
    assert not scene.does(LaunchNodes, Release)
    scene.cloud(error="down")
    assert scene.one(Release)


@pytest.mark.parametrize("trouble", ["full", "label gone", "no image"])
def test_a_claim_that_cannot_be_kept_goes_back(scene: Scene, trouble: str) -> None:
    request = scene.pending(1, "small", "large")
    scene.building(1, label="large", allocated_to=request.id)
    match trouble:
        case "full":
            scene.provider("acme", quota=instances(1))
        case "label gone":
            scene.pool("acme/main", "large")
        case "no image":
            large = PoolLabel(name="large", cloud_image="x")  # type: ignore[arg-type]
            small = PoolLabel(name="small", diskimage="y")  # type: ignore[arg-type]
            scene.pool("acme/main", labels={"large": large, "small": small})
    assert scene.one(Release).request == request.id


def test_a_claimed_request_without_nodes_goes_back(scene: Scene) -> None:
    request = scene.pending(1, "small")
    assert scene.one(Release).request == request.id


def test_a_claimed_request_whose_pool_is_gone_goes_back(scene: Scene) -> None:
    request = scene.pending(1, "small")
    scene.building(1, at="acme/old", allocated_to=request.id)
    assert scene.one(Release).request == request.id


def test_nothing_is_done_for_a_claimed_request_while_something_is_in_flight_on_it(scene: Scene) -> None:
    scene.request(1, "small")
    scene.fly(scene.one(Claim))
    request = scene.pending(1, "small")
    scene.node(1, NodeState.INIT, allocated_to=request.id)
    assert not scene.does()


def test_a_node_too_many_does_not_hold_up_the_hand_over(scene: Scene) -> None:
    request = scene.pending(1, "small")
    scene.building(1, A.ASKED, allocated_to=request.id)
    node = scene.building(2, allocated_to=request.id)
    scene.server(2)
    scene.more["scans"] = {node.attempt: Scan()}
    assert scene.one(Fulfil).nodes == ids(2)


def test_every_attempt_and_every_sight_has_an_answer(scene: Scene) -> None:
    for attempt in (*A, None):
        for status in ("building", "active", "failed", "deleted", "other", None):
            for scan in (None, Scan(), Scan(error="no")):
                scene = Scene()
                node = scene.building(1, attempt)
                if status is not None:
                    scene.server(1, status)
                scene.more["scans"] = {node.attempt: scan} if scan else {}
                assert said(step(scene))
