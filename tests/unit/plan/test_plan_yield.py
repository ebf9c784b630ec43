"""What is left to another pool, and for how long."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import (
    Claim,
)
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.support import NOW, Scene, instances, served


def test_a_request_is_left_to_the_provider_it_prefers(scene: Scene) -> None:
    scene.registration("zeta/main", "them")
    waits = scene.request(1, "small", provider="zeta")
    assert scene.why(waits) == ["yield-provider"]


@pytest.mark.parametrize("trouble", ["gone", "declined", "lacks the label", "ours and cannot"])
def test_a_preferred_provider_that_cannot_is_ignored(scene: Scene, trouble: str) -> None:
    declined = ()
    match trouble:
        case "declined":
            scene.registration("zeta/main", "them")
            declined = ("them",)
        case "lacks the label":
            scene.registration("zeta/main", "them", "large")
        case "ours and cannot":
            scene.provider("zeta", max_concurrency=0)
            scene.pool("zeta/main")
    scene.request(1, "small", provider="zeta", declined_by=declined)
    assert scene.one(Claim).provider == "acme"


def test_our_own_preferred_provider_is_waited_for(scene: Scene) -> None:
    scene.provider("zeta", quota=instances(1))
    scene.pool("zeta/main")
    scene.node(1, NodeState.IN_USE, at="zeta/main", lock=Side.FOREIGN)
    waits = scene.request(1, "small", provider="zeta")
    assert scene.why(waits) == ["yield-provider", "provider-quota"]


def test_the_preference_for_a_provider_goes_before_the_priority_of_pools(scene: Scene) -> None:
    scene.registration("zeta/main", "them", priority=1)
    scene.request(1, "small", provider="acme")
    assert served(scene) == ["1"]


def test_a_better_pool_elsewhere_has_the_first_choice_until_it_is_paused(scene: Scene) -> None:
    scene.registration("zeta/main", "them", priority=1)
    waits = scene.request(1, "small")
    assert scene.why(waits) == ["yield-priority"]
    scene.registration("zeta/main", "them", priority=1, paused=True)
    assert served(scene) == ["1"]


def test_a_standby_of_our_own_better_pool_is_nobody_to_yield_to(scene: Scene) -> None:
    scene.pool("acme/main", limits=instances(1))
    scene.pool("acme/side", priority=200)
    scene.rival("acme/main")
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.request(1, "small")
    assert scene.one(Claim).pool == "side"


def test_a_pool_is_paused_for_its_standbys_too(scene: Scene) -> None:
    scene.rival("zeta/main", priority=1, paused=True)
    scene.registration("zeta/main", "standby", priority=1, software="nodepool_ng")
    scene.request(1, "small")
    assert served(scene) == ["1"]


def test_ready_nodes_of_another_pool_are_waited_for_two_seconds_at_most(scene: Scene) -> None:
    scene.registration("zeta/main", "them")
    scene.node(1, at="zeta/main")
    waits = scene.request(1, "small", state_time=NOW - 0.5)
    plan = scene.plan()
    assert scene.why(waits) == ["yield-ready"]
    assert plan.wake == NOW + 1.5
    scene.now += 1.5
    assert served(scene) == ["1"]


def test_a_clock_ahead_of_ours_does_not_make_a_request_wait(scene: Scene) -> None:
    scene.registration("zeta/main", "them")
    scene.node(1, at="zeta/main")
    scene.request(1, "small", state_time=NOW + 3600)
    assert served(scene) == ["1"]


def test_one_ready_node_elsewhere_is_waited_for_by_one_request_only(scene: Scene) -> None:
    scene.registration("zeta/main", "them")
    scene.node(1, at="zeta/main")
    scene.request(1, "small", state_time=NOW)
    scene.request(2, "small", state_time=NOW)
    assert served(scene) == ["2"]


def test_a_request_is_not_taken_for_one_that_may_still_be_waited_for(scene: Scene) -> None:
    scene.registration("zeta/main", "them")
    for number in (1, 2):
        scene.node(number, at="zeta/main")
    scene.request(1, "small", state_time=NOW)
    scene.request(2, "small", state_time=NOW - 60)
    assert served(scene) == ["2"]


@pytest.mark.parametrize(
    ("changes", "reuse"), [({"paused": True}, True), ({"priority": 200}, True), ({}, False)], ids=str
)
def test_nodes_ready_elsewhere_are_not_waited_for_in_vain(
    scene: Scene, changes: dict[str, object], reuse: bool
) -> None:
    scene.registration("zeta/main", "them", **changes)
    scene.node(1, at="zeta/main")
    scene.request(1, "small", state_time=NOW, reuse=reuse)
    assert served(scene) == ["1"]


def test_a_set_that_no_zone_elsewhere_has_ready_is_not_waited_for(scene: Scene) -> None:
    scene.registration("zeta/main", "them")
    scene.node(1, at="zeta/main", az="a")
    scene.node(2, at="zeta/main", az="b")
    scene.request(1, "small", "small", state_time=NOW)
    assert served(scene) == ["1"]


def test_a_provider_that_is_not_leased_to_us_is_not_used(scene: Scene) -> None:
    scene.leased.clear()
    scene.node(1)
    scene.request(1, "small")
    scene.request(2, "nope")
    assert not scene.does()
