"""Spare nodes give up their places for requests that wait: as few as help, and only if they do."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import LaunchNodes, RetireNode
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import Code
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.support import NOW, Scene, ids, instances, served


def evicted(scene: Scene) -> tuple[str, ...]:
    return tuple(a.node for a in scene.does(RetireNode) if isinstance(a, RetireNode) and a.why.code is Code.SPARE)


def test_the_oldest_spare_node_gives_up_its_place(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.node(1)
    scene.node(2)
    request = scene.request(1, "large")
    action = scene.one(RetireNode)
    assert (action.node, action.expect, action.why.request) == (*ids(1), NodeState.READY, request.id)
    assert scene.plan().short == {("acme", "main")}


def test_the_interrupted_plan_goes_on_where_it_was(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1))
    scene.node(1)
    scene.request(1, "large")
    scene.fly(scene.one(RetireNode))
    assert not evicted(scene)
    scene.in_flight.clear()
    scene.node(1, NodeState.DELETING, lock=Side.OURS)
    assert not evicted(scene)
    assert not served(scene)
    del scene.nodes["0000000001"]
    assert served(scene) == ["1"]


@pytest.mark.parametrize("state", [NodeState.USED, NodeState.DELETING, NodeState.ABORTED])
def test_nobody_goes_when_enough_is_on_its_way_out(scene: Scene, state: NodeState) -> None:
    scene.provider("acme", quota=instances(2))
    scene.node(1)
    scene.node(2, state, lock=Side.OURS)
    scene.request(1, "large")
    assert not evicted(scene)


def test_what_leaves_is_counted_for_one_request_only(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.node(1)
    scene.node(2)
    scene.node(3, NodeState.DELETING, lock=Side.OURS)
    scene.request(1, "large")
    scene.request(2, "large")
    assert evicted(scene) == ids(1)


def test_several_requests_each_get_a_place_and_no_more(scene: Scene) -> None:
    scene.provider("acme", quota=instances(5))
    for number in range(1, 6):
        scene.node(number)
    for number in range(3):
        scene.request(number, "large")
    scene.request(7, "large", tenant_name="another shape")
    assert evicted(scene) == ids(1, 2, 3, 4)


def test_an_eviction_in_flight_is_counted(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    for number in (1, 2, 3):
        scene.node(number)
    scene.request(1, "large")
    scene.fly(scene.one(RetireNode))
    assert not evicted(scene)
    scene.request(2, "large")
    assert evicted(scene) == ids(2)


def test_nobody_goes_when_even_all_would_not_help(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.node(1)
    scene.node(2, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.node(3, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.request(1, "large", "large")
    assert not evicted(scene)


def test_only_those_go_that_are_needed(scene: Scene) -> None:
    scene.provider("acme", quota=Resources({"cores": 6}))
    scene.node(1, label="small")
    scene.node(2, label="small")
    scene.node(3, label="large")
    scene.request(1, "large", reuse=False)
    assert evicted(scene) == ids(3)


def test_a_locked_or_allocated_node_is_no_spare_node(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.node(1, lock=Side.FOREIGN)
    scene.node(2, allocated_to="100-0000000009")
    scene.request(9, "small", state="fulfilled")
    scene.request(1, "large")
    assert not evicted(scene)


def test_a_node_that_the_request_would_use_itself_stays(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.node(1, label="small")
    scene.node(2, label="large")
    scene.node(3, label="small")
    scene.request(1, "large", "small", "large")
    assert evicted(scene) == ids(3)


def test_a_node_kept_for_one_request_is_not_sent_away_for_the_next(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.node(1, label="small")
    scene.node(2, NodeState.USED, lock=Side.OURS)
    scene.request(1, "small", "large")
    scene.request(2, "large")
    assert not evicted(scene)


def test_spare_nodes_of_a_sister_pool_make_room_in_the_providers_quota(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1))
    scene.pool("acme/side", "large")
    scene.node(1)
    scene.request(1, "large")
    scene.pool("acme/main", "small")
    assert evicted(scene) == ids(1)


def test_they_do_not_go_for_a_limit_of_the_pool_itself(scene: Scene) -> None:
    scene.pool("acme/side", "small")
    scene.pool("acme/main", "large", limits=instances(1))
    scene.node(1, at="acme/side")
    scene.node(2, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.request(1, "large")
    assert not evicted(scene)


def test_nobody_goes_for_a_label_that_cannot_be_launched_at_the_moment(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1))
    scene.backoff(9, label="large")
    scene.node(1)
    scene.request(1, "large")
    assert not evicted(scene)


def test_nobody_goes_while_launches_in_flight_may_be_counted_twice(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.label("small", min_ready=2)
    scene.fly(scene.one(LaunchNodes))
    scene.node(1, NodeState.INIT)
    scene.node(2, NodeState.INIT)
    scene.node(3, label="small")
    scene.request(1, "large")
    assert not evicted(scene)


def test_a_request_that_is_reserved_for_elsewhere_sends_nobody_away(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1))
    scene.rival("zeta/main", "large")
    scene.node(1)
    sent = set()
    for number in range(20):
        scene.requests.clear()
        scene.request(number, "large", state_time=NOW - 60)
        sent.add(evicted(scene))
    assert sent == {(), ids(1)}
