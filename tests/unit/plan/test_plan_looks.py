"""When clouds are looked at: everything each minute, changes each second while something is expected."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import ListServers, ReadCapacity
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.snapshot import AttemptState, Backoff, Side
from tests.unit.plan.support import NOW, Scene


def looks(scene: Scene) -> list[tuple[str, float | None]]:
    return [
        ("list", action.since) if isinstance(action, ListServers) else ("capacity", None)
        for action in scene.does(ListServers, ReadCapacity)
    ]


def test_an_unknown_cloud_is_looked_at_at_once(scene: Scene) -> None:
    del scene.facts["acme"]
    assert looks(scene) == [("capacity", None), ("list", None)]


def test_everything_is_listed_each_minute(scene: Scene) -> None:
    assert not looks(scene)
    assert scene.plan().wake == NOW + 60
    scene.now = NOW + 60
    assert looks(scene) == [("list", None)]


def test_a_server_that_may_be_a_leak_is_looked_for_again_soon_and_once_only(scene: Scene) -> None:
    scene.server(1)
    scene.server(2, installation="another")
    scene.more["suspects"] = {("acme", "server-1"): NOW, ("acme", "server-2"): NOW}
    assert scene.plan().wake == NOW + 10
    scene.now = NOW + 10
    assert looks(scene) == [("list", None)]
    scene.cloud(full_listed=NOW + 10, listed=NOW + 10)
    assert not looks(scene)
    scene.more["suspects"] = {("acme", "server-2"): NOW + 10}
    assert scene.plan().wake == NOW + 70, "what is not ours is no reason to hurry"


def test_capacity_is_read_every_five_minutes_or_when_it_was_reset(scene: Scene) -> None:
    scene.cloud(full_listed=NOW + 280, listed=NOW + 280)
    scene.now = NOW + 280
    assert scene.plan().wake == NOW + 300
    scene.now = NOW + 300
    assert looks(scene) == [("capacity", None)]
    scene.now = NOW + 281
    scene.cloud(limits_read=None, full_listed=None)
    assert looks(scene) == [("capacity", None), ("list", None)]


@pytest.mark.parametrize("state", [NodeState.INIT, NodeState.BUILDING, NodeState.DELETING])
def test_changes_are_listed_each_second_while_something_is_expected(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, lock=Side.FOREIGN)
    assert not looks(scene)
    assert scene.plan().wake == NOW + 1
    scene.now = NOW + 1
    assert looks(scene) == [("list", NOW)]


def test_a_request_that_waits_for_a_server_has_it_looked_for_twice_a_second(scene: Scene) -> None:
    request = scene.pending(1, "small")
    scene.building(1, AttemptState.ASKED, allocated_to=request.id)
    assert scene.plan().wake == NOW + 0.5
    scene.now = NOW + 0.5
    assert looks(scene) == [("list", NOW)]
    scene.cloud(list_every=2.0)
    assert not looks(scene), "a cloud that is not to be looked at so often"


def test_servers_too_young_to_be_up_are_looked_for_as_if_nobody_waited(scene: Scene) -> None:
    scene.more["quickest_boots"] = {"acme": 10.0}
    request = scene.pending(1, *["small"] * 3)
    for number in range(3):
        scene.building(number, AttemptState.ASKED, allocated_to=request.id, created_time=NOW - number % 2)
    assert scene.plan().wake == NOW + 1
    scene.now = NOW + 1
    assert looks(scene) == [("list", NOW)]
    scene.now = NOW + 5.2
    scene.cloud(listed=NOW + 5.2)
    assert scene.plan().wake == NOW + 6, "the first may be up"
    scene.now = NOW + 5.7
    scene.cloud(listed=NOW + 5.7)
    assert scene.plan().wake == NOW + 6.2


def test_a_provider_is_taken_to_be_as_quick_as_the_quickest_until_it_is_known(scene: Scene) -> None:
    request = scene.pending(1, "small")
    scene.building(1, AttemptState.ASKED, allocated_to=request.id, created_time=NOW)
    assert scene.plan().wake == NOW + 0.5
    scene.more["quickest_boots"] = {"zeta": 20.0, "iota": 1.0}
    assert scene.plan().wake == NOW + 0.7
    scene.more["quickest_boots"] = {"zeta": 20.0, "iota": 1.0, "acme": 20.0}
    assert scene.plan().wake == NOW + 1


def test_one_of_unknown_age_may_be_up(scene: Scene) -> None:
    scene.more["quickest_boots"] = {"acme": 10.0}
    request = scene.pending(1, "small")
    scene.building(1, AttemptState.ASKED, allocated_to=request.id, created_time=None)
    assert scene.plan().wake == NOW + 0.5


def test_while_many_come_up_requests_wait_less_for_the_next_look(scene: Scene) -> None:
    request = scene.pending(1, "small")
    scene.building(1, AttemptState.ASKED, allocated_to=request.id)
    scene.cloud(risen=9)
    assert scene.plan().wake == NOW + 0.5
    scene.cloud(risen=10)
    assert scene.plan().wake == NOW + 0.25
    scene.requests.clear()
    scene.nodes.clear()
    scene.building(1, AttemptState.ASKED)
    assert scene.plan().wake == NOW + 1, "nobody waits for it"


def test_machines_that_come_back_are_looked_for_though_no_node_is_expected(scene: Scene) -> None:
    scene.more["away"] = {"acme": Resources({"instances": 1})}
    assert scene.plan().wake == NOW + 5
    scene.now = NOW + 5
    assert looks(scene) == [("list", NOW)]
    scene.more["away"] = {"acme": Resources()}
    assert not looks(scene)


@pytest.mark.parametrize("state", [NodeState.READY, NodeState.IN_USE, NodeState.HOLD])
def test_nothing_is_expected_of_nodes_that_are_up(scene: Scene, state: NodeState) -> None:
    scene.node(1, state, lock=Side.FOREIGN)
    scene.node(2, NodeState.BUILDING, at="zeta/main", lock=Side.FOREIGN)
    scene.now = NOW + 1
    assert not looks(scene)


def test_a_cloud_in_trouble_is_left_alone_until_its_time(scene: Scene) -> None:
    del scene.facts["acme"]
    scene.more["provider_backoff"] = {"acme": Backoff(until=NOW + 8, failures=3)}
    plan = scene.plan()
    assert not looks(scene)
    assert plan.wake == NOW + 8
    scene.now = NOW + 8
    assert len(looks(scene)) == 2


def test_only_one_list_of_a_provider_is_in_flight(scene: Scene) -> None:
    del scene.facts["acme"]
    for action in scene.plan().actions:
        scene.fly(action)
    assert not looks(scene)


def test_providers_that_are_not_ours_are_not_looked_at(scene: Scene) -> None:
    scene.facts.clear()
    scene.leased.clear()
    plan = scene.plan()
    assert (plan.actions, plan.wake) == ((), None)
