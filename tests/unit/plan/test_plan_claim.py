"""A request is taken when all of it fits: limits, what is in flight, back-offs, the choice of a pool."""

from __future__ import annotations

from nodepool_ng.model.action import (
    Claim,
    HandOut,
    LaunchNodes,
)
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.quota import NONE
from nodepool_ng.model.snapshot import Backoff, Side
from tests.unit.plan.support import NOW, SERVED, Scene, ids, instances, served


def test_a_request_is_claimed_only_when_all_of_it_fits(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    waits = scene.request(1, *["small"] * 3)
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    assert not scene.does(*SERVED)
    assert scene.why(waits) == ["provider-quota"]
    del scene.nodes["0000000001"]
    assert len(scene.one(Claim).launches) == 3


def test_ready_nodes_count_towards_what_fits(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.node(1)
    scene.node(2)
    scene.request(1, *["small"] * 3)
    action = scene.one(Claim)
    assert (action.nodes, [launch.label for launch in action.launches]) == (ids(1, 2), ["small"])


def test_the_pools_own_limit_counts_as_well(scene: Scene) -> None:
    scene.pool("acme/main", limits=instances(1))
    scene.request(1, "small")
    waits = scene.request(2, "small")
    assert served(scene) == ["1"]
    assert scene.why(waits) == ["pool-limit"]


def test_a_pool_may_ignore_the_quota_of_its_provider(scene: Scene) -> None:
    scene.provider("acme", quota=instances(0))
    scene.pool("acme/main", ignore_provider_quota=True)
    scene.request(1, "small")
    assert served(scene) == ["1"]


def test_foreign_use_of_the_project_is_not_ours_to_spend(scene: Scene) -> None:
    scene.more["foreign_use"] = {"acme": instances(9)}
    scene.request(1, "small")
    scene.request(2, "small")
    assert served(scene) == ["1"]


def test_pools_of_one_provider_share_its_quota(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.pool("acme/side")
    for number in range(4):
        scene.request(number, "small")
    assert len(scene.does(Claim)) == 2


def test_of_pools_of_equal_priority_the_one_with_more_room_is_taken(scene: Scene) -> None:
    scene.provider("zeta", quota=instances(20))
    scene.pool("zeta/main")
    scene.request(1, "small")
    assert scene.one(Claim).provider == "zeta"


def test_where_nothing_limits_them_clouds_share_the_launches(scene: Scene) -> None:
    scene.provider("acme", quota=NONE)
    scene.provider("zeta", quota=NONE)
    scene.pool("zeta/main")
    scene.request(1, "small", state=RequestState.PENDING, lock=Side.OURS)
    scene.node(1, NodeState.BUILDING, lock=Side.OURS, allocated_to="100-0000000001")
    for number in range(2, 7):
        scene.request(number, "small")
    assert [action.provider for action in scene.does(Claim)] == ["zeta", "acme", "zeta", "acme", "zeta"]  # type: ignore[union-attr]


def test_ready_nodes_elsewhere_of_ours_go_before_a_launch(scene: Scene) -> None:
    scene.provider("zeta", quota=instances(2))
    scene.pool("zeta/main")
    scene.node(1, at="zeta/main")
    scene.request(1, "small")
    assert scene.one(HandOut).provider == "zeta"


def test_the_better_pool_launches_before_the_worse_one_hands_out(scene: Scene) -> None:
    scene.pool("acme/side", priority=200)
    scene.node(1, at="acme/side")
    scene.request(1, "small")
    assert scene.one(Claim).pool == "main"


def test_the_worse_pool_takes_what_the_better_one_has_no_room_for(scene: Scene) -> None:
    scene.pool("acme/main", limits=instances(1))
    scene.pool("acme/side", priority=200)
    scene.request(1, "small")
    scene.request(2, "small")
    assert [(a.request[-1], a.pool) for a in scene.does(Claim)] == [("1", "main"), ("2", "side")]  # type: ignore[union-attr]


def test_claims_in_flight_are_counted(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.request(1, "small")
    scene.fly(scene.one(Claim))
    scene.request(2, "small")
    scene.request(3, "small")
    assert served(scene) == ["2"]


def test_a_claim_in_flight_whose_records_show_already_is_not_counted_twice(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.request(1, "small")
    scene.fly(scene.one(Claim))
    scene.request(1, "small", state=RequestState.PENDING)
    scene.node(1, NodeState.INIT, allocated_to="100-0000000001")
    scene.request(2, "small")
    assert served(scene) == ["2"]


def test_warm_launches_in_flight_are_counted(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.label("small", min_ready=1)
    scene.fly(scene.one(LaunchNodes))
    scene.request(1, "small")
    scene.request(2, "small")
    assert served(scene) == ["1"]


def test_nothing_is_planned_on_a_request_in_flight(scene: Scene) -> None:
    scene.node(1)
    scene.request(1, "small")
    scene.fly(scene.one(HandOut))
    assert not scene.does(*SERVED)


def test_a_request_that_cools_down_waits_and_is_looked_at_again_in_time(scene: Scene) -> None:
    request = scene.request(1, "small")
    scene.more["cooling"] = {("request", request.id): NOW + 0.4, ("request", "over"): NOW - 1}
    plan = scene.plan()
    assert not scene.does(*SERVED)
    assert scene.why(request) == ["backoff"]
    assert plan.wake == NOW + 0.4


def test_a_node_that_cools_down_is_not_handed_out(scene: Scene) -> None:
    scene.node(1)
    scene.more["cooling"] = {("node", "0000000001"): NOW + 1}
    scene.request(1, "small")
    assert scene.one(Claim).nodes == ()


def test_max_concurrency_limits_launches_under_way_but_not_hand_outs(scene: Scene) -> None:
    scene.provider("acme", max_concurrency=2)
    scene.building(1)
    scene.node(2)
    scene.request(1, "small")
    scene.request(2, "small")
    waits = scene.request(3, "small")
    assert served(scene) == ["1", "2"]
    assert scene.why(waits) == ["concurrency"]


def test_a_set_larger_than_max_concurrency_starts_when_nothing_else_does(scene: Scene) -> None:
    scene.provider("acme", max_concurrency=2)
    scene.request(1, *["small"] * 3)
    assert served(scene) == ["1"]


def test_a_label_that_fails_is_left_alone_for_a_while(scene: Scene) -> None:
    scene.backoff(7)
    waits = scene.request(1, "small")
    scene.request(2, "large")
    plan = scene.plan()
    assert served(scene) == ["2"]
    assert scene.why(waits) == ["backoff"]
    assert plan.wake == NOW + 7
    assert plan.short == {("acme", "main")}


def test_a_provider_that_is_to_be_left_alone_gets_no_claim(scene: Scene) -> None:
    scene.more["provider_backoff"] = {"acme": Backoff(until=NOW + 3, failures=1)}
    assert scene.why(scene.request(1, "small")) == ["backoff"]


def test_a_label_of_which_the_cloud_told_nothing_yet_waits(scene: Scene) -> None:
    scene.cloud(labels={})
    assert scene.why(scene.request(1, "small")) == ["cloud-unknown"]


def test_a_pool_whose_cloud_is_in_trouble_counts_as_short_but_not_one_that_just_starts(scene: Scene) -> None:
    scene.request(1, "small")
    scene.cloud(limits_read=None)
    assert not scene.plan().short
    scene.cloud(error="503")
    assert scene.plan().short == {("acme", "main")}


def test_a_pool_that_does_not_see_its_own_registration_does_nothing(scene: Scene) -> None:
    scene.components.clear()
    scene.node(1)
    scene.request(1, "small")
    scene.request(2, "nope")
    assert not scene.does(*SERVED)


def test_a_pool_that_is_not_configured_any_more_is_no_trouble(scene: Scene) -> None:
    scene.pool_ids["acme", "old"] = "us-acme/old"  # type: ignore[index]
    scene.pool_ids["gone", "old"] = "us-gone/old"  # type: ignore[index]
    scene.leased.add("gone")
    scene.request(1, "small")
    assert served(scene) == ["1"]
