"""Ready nodes are given away at once: which ones, to whom, in what order."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import (
    Claim,
    HandOut,
)
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.support import NOW, Scene, ids, instances


def test_a_ready_node_is_handed_out_at_once(scene: Scene) -> None:
    scene.node(1)
    request = scene.request(1, "small")
    action = scene.one(HandOut)
    assert (action.request, action.provider, action.pool, action.nodes) == (request.id, "acme", "main", ids(1))
    assert not scene.why(request)


def test_the_node_that_became_ready_first_is_handed_out_first(scene: Scene) -> None:
    scene.node(3, state_time=NOW - 50, az="a")
    scene.node(2, state_time=NOW - 90, az="b")
    scene.request(1, "small")
    assert scene.one(HandOut).nodes == ids(2)


def test_two_requests_do_not_get_the_same_node(scene: Scene) -> None:
    scene.node(1)
    scene.node(2)
    scene.request(1, "small")
    scene.request(2, "small")
    assert [action.nodes for action in scene.does(HandOut)] == [ids(1), ids(2)]  # type: ignore[union-attr]


def test_nodes_are_handed_out_in_the_order_of_the_labels(scene: Scene) -> None:
    scene.node(1, label="small")
    scene.node(2, label="large")
    scene.node(3, label="small")
    scene.request(1, "large", "small", "small")
    assert scene.one(HandOut).nodes == ids(2, 1, 3)


def test_a_set_comes_from_one_zone_even_if_older_nodes_are_elsewhere(scene: Scene) -> None:
    scene.node(1, az="a", state_time=NOW - 99)
    for number in (2, 3, 4):
        scene.node(number, az="b")
    scene.request(1, "small", "small", "small")
    assert scene.one(HandOut).nodes == ids(2, 3, 4)


def test_what_a_zone_lacks_is_launched_in_the_same_zone(scene: Scene) -> None:
    scene.cloud(zones=("a", "b", "c"))
    scene.node(1, az="a")
    scene.node(2, az="b")
    scene.node(3, az="b")
    scene.request(1, "small", "small", "small")
    action = scene.one(Claim)
    assert action.nodes == ids(2, 3)
    assert [launch.zone for launch in action.launches] == ["b"]


def test_a_set_that_is_launched_has_one_zone_and_sets_are_spread(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1000))
    scene.cloud(zones=("a", "b"))
    for number in range(40):
        scene.request(number, "small", "small")
    zones = [{launch.zone for launch in action.launches} for action in scene.does(Claim)]  # type: ignore[union-attr]
    assert all(len(of_set) == 1 for of_set in zones)
    assert {zone for of_set in zones for zone in of_set} == {"a", "b"}


def test_the_zones_of_the_pool_go_before_those_of_the_cloud(scene: Scene) -> None:
    scene.cloud(zones=("a", "b"))
    scene.pool("acme/main", availability_zones=("z",))
    scene.request(1, "small")
    assert scene.one(Claim).launches[0].zone == "z"


def test_a_request_that_wants_fresh_nodes_gets_no_ready_ones(scene: Scene) -> None:
    scene.node(1)
    scene.request(1, "small", reuse=False)
    assert scene.one(Claim).nodes == ()


@pytest.mark.parametrize("side", Side)
def test_a_locked_node_is_not_handed_out(scene: Scene, side: Side) -> None:
    scene.node(1, lock=side)
    scene.request(1, "small")
    assert scene.one(Claim).nodes == ()


def test_allocated_nodes_are_not_handed_out(scene: Scene) -> None:
    scene.request(7, "small", state=RequestState.FULFILLED)
    scene.node(1, allocated_to="100-0000000007")
    scene.request(1, "small")
    assert scene.one(Claim).nodes == ()


def test_nodes_of_another_pool_are_not_mixed_in(scene: Scene) -> None:
    scene.pool("acme/side")
    scene.node(1)
    scene.node(2, at="acme/side")
    scene.request(1, "small", "small")
    assert len(scene.one(Claim).nodes) == 1


def test_a_node_with_several_labels_is_placed_where_it_is_needed(scene: Scene) -> None:
    scene.node(1, labels=("small", "large"))
    scene.node(2, labels=("small",))
    scene.request(1, "small", "large")
    assert scene.one(HandOut).nodes == ids(2, 1)


def test_one_node_does_not_serve_two_labels(scene: Scene) -> None:
    scene.node(1, labels=("small", "large"))
    scene.request(1, "small", "large")
    assert len(scene.one(Claim).nodes) == 1


def test_ready_nodes_are_handed_out_while_the_cloud_is_unknown(scene: Scene) -> None:
    del scene.facts["acme"]
    scene.node(1)
    scene.request(1, "small")
    waits = scene.request(2, "small")
    assert scene.one(HandOut).nodes == ids(1)
    assert scene.why(waits) == ["cloud-unknown"]


def test_an_empty_request_is_fulfilled_with_no_nodes(scene: Scene) -> None:
    scene.request(1)
    assert scene.one(HandOut).nodes == ()


def test_a_request_for_very_many_nodes_is_no_trouble(scene: Scene) -> None:
    scene.provider("acme", quota=instances(10_000))
    for number in range(1500):
        scene.node(number)
    scene.request(1, *["small"] * 2000)
    action = scene.one(Claim)
    assert (len(action.nodes), len(action.launches)) == (1500, 500)
