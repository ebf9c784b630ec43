"""The warm pool: what is missing is launched, by one launcher, where there is room, and never too much."""

from __future__ import annotations

import math
import random

import pytest

from nodepool_ng.model.action import Claim, LaunchNodes
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.server import LabelFacts
from nodepool_ng.model.settings import Label, PoolLabel
from nodepool_ng.model.snapshot import Side
from nodepool_ng.plan.desk import laid_out
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.warm import Place, division, one_by_one
from tests.unit.plan.support import NEEDS, NOW, Scene, ids, instances


def warm(scene: Scene) -> dict[str, int]:
    """Return how many nodes are launched where."""
    return {
        f"{action.provider}/{action.pool}": len(action.launches)
        for action in scene.does(LaunchNodes)
        if isinstance(action, LaunchNodes) and action.request is None
    }


def test_what_is_missing_is_launched(scene: Scene) -> None:
    scene.label("small", min_ready=3)
    scene.node(1)
    assert warm(scene) == {"acme/main": 2}


@pytest.mark.parametrize("state", [NodeState.INIT, NodeState.BUILDING, NodeState.READY])
def test_nodes_that_will_be_ready_count(scene: Scene, state: NodeState) -> None:
    scene.label("small", min_ready=1)
    scene.node(1, state, lock=Side.FOREIGN)
    assert not warm(scene)


@pytest.mark.parametrize("state", [NodeState.IN_USE, NodeState.USED, NodeState.HOLD, NodeState.DELETING])
def test_nodes_that_will_not_be_ready_do_not(scene: Scene, state: NodeState) -> None:
    scene.label("small", min_ready=1)
    scene.node(1, state, lock=Side.FOREIGN)
    assert warm(scene) == {"acme/main": 1}


def test_nodes_of_a_request_do_not_count(scene: Scene) -> None:
    scene.label("small", min_ready=1)
    request = scene.pending(1, "small")
    scene.building(1, allocated_to=request.id)
    assert warm(scene) == {"acme/main": 1}


def test_ready_nodes_anywhere_count(scene: Scene) -> None:
    scene.label("small", min_ready=2)
    scene.node(1, at="elsewhere/main")
    scene.node(2, at="unknown/old")
    assert not warm(scene)


def test_nothing_more_is_launched_while_a_launch_is_in_flight(scene: Scene) -> None:
    scene.label("small", min_ready=2)
    scene.fly(scene.one(LaunchNodes))
    assert not warm(scene)
    scene.label("small", min_ready=5)
    assert not warm(scene)


def test_nothing_is_launched_while_the_last_failure_cools_down(scene: Scene) -> None:
    scene.label("small", min_ready=2)
    scene.more["cooling"] = {("warm", "acme/main/small"): NOW + 1}
    assert not warm(scene)


def test_requests_come_first(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.label("small", min_ready=2)
    scene.request(1, "large")
    assert len(scene.does(Claim)) == 1
    assert warm(scene) == {"acme/main": 1}


def test_what_is_reserved_for_a_request_is_not_taken(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.label("small", min_ready=1)
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.request(1, "large", "large", "large")
    assert not warm(scene)


def test_as_many_as_there_is_room_for_and_the_pool_is_short(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.label("small", min_ready=5)
    assert warm(scene) == {"acme/main": 3}
    assert scene.plan().short == {("acme", "main")}


def test_a_pool_that_is_not_short_of_anything_says_so(scene: Scene) -> None:
    scene.label("small", min_ready=5)
    assert not scene.plan().short


def test_max_concurrency_holds_back_but_does_not_make_a_pool_short(scene: Scene) -> None:
    scene.provider("acme", max_concurrency=2)
    scene.label("small", min_ready=5)
    assert warm(scene) == {"acme/main": 2}
    assert not scene.plan().short


def test_labels_share_the_room(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.label("large", min_ready=2)
    scene.label("small", min_ready=2)
    launched = [(a.launches[0].label, len(a.launches)) for a in scene.does(LaunchNodes) if isinstance(a, LaunchNodes)]
    assert launched == [("large", 2), ("small", 1)]


def test_places_are_spread_over_pools(scene: Scene) -> None:
    scene.provider("acme", quota=instances(100))
    scene.provider("zeta", quota=instances(100))
    scene.pool("zeta/main")
    scene.label("small", min_ready=40)
    counts = warm(scene)
    assert sum(counts.values()) == 40
    assert min(counts.values()) > 10


def test_the_preferred_pool_has_all_places_until_it_is_full(scene: Scene) -> None:
    scene.provider("zeta", quota=instances(100))
    scene.pool("zeta/main", priority=200)
    scene.label("small", min_ready=12)
    assert warm(scene) == {"acme/main": 10, "zeta/main": 2}


def test_a_full_pool_leaves_its_places_to_another(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.provider("zeta", quota=instances(100))
    scene.pool("zeta/main")
    scene.label("small", min_ready=40)
    assert warm(scene) == {"acme/main": 2, "zeta/main": 38}
    assert scene.plan().short == {("acme", "main")}


def two_launchers(min_ready: int, **changes: object) -> tuple[Scene, Scene]:
    """Return what two launchers see that have a provider each; `acme` may be paused."""
    scenes = []
    for own, other in (("acme", "zeta"), ("zeta", "acme")):
        scene = Scene()
        scene.provider("zeta", leased=False)
        scene.pool("zeta/main", registered=False)
        scene.components.clear()
        scene.leased = {own}
        for name in ("acme", "zeta"):
            scene.provider(name, leased=False, quota=instances(1000))
            scene.registration(f"{name}/main", f"{own}-for-{name}", software="nodepool_ng", **changes.get(name, {}))  # type: ignore[arg-type]
            id = f"{other}-for-{name}"
            scene.registration(f"{name}/main", id, software="nodepool_ng", **changes.get(name, {}))  # type: ignore[arg-type]
            scene.pool_ids[name, "main"] = f"{own}-for-{name}"  # type: ignore[index]
        scene.label("small", min_ready=min_ready)
        scenes.append(scene)
    return scenes[0], scenes[1]


@pytest.mark.parametrize(("acme", "zeta"), [(0, 0), (30, 0), (0, 17), (20, 19), (1, 38), (40, 0), (60, 60)])
def test_several_launchers_come_to_the_same_division_and_never_to_too_much(acme: int, zeta: int) -> None:
    launched = {}
    for scene in two_launchers(40):
        for number in range(acme):
            scene.node(number)
        for number in range(zeta):
            scene.node(100 + number, at="zeta/main")
        launched |= warm(scene)
    assert sum(launched.values()) == max(40 - acme - zeta, 0)


def test_the_places_of_a_paused_pool_go_to_the_others_but_what_it_has_stays() -> None:
    launched = {}
    for scene in two_launchers(40, acme={"paused": True}):
        scene.provider("acme", leased="acme" in scene.leased, quota=instances(5))
        for number in range(5):
            scene.node(number)
        launched |= warm(scene)
    assert launched == {"zeta/main": 35}


def test_a_pool_elsewhere_that_cannot_make_the_label_gets_no_places(scene: Scene) -> None:
    scene.provider("acme", quota=instances(100))
    scene.provider("zeta", leased=False)
    scene.pool("zeta/main", labels={"small": PoolLabel(name="small", diskimage="ubuntu")})  # type: ignore[arg-type,dict-item]
    scene.label("small", min_ready=40)
    assert warm(scene) == {"acme/main": 40}
    scene.upload("ubuntu", "zeta")
    assert warm(scene)["acme/main"] < 30


def test_nothing_is_left_to_pools_of_other_software(scene: Scene) -> None:
    scene.registration("zeta/main", "eleven")
    scene.label("small", min_ready=8)
    assert warm(scene) == {"acme/main": 8}


def test_a_cloud_that_has_not_answered_yet_keeps_its_places(scene: Scene) -> None:
    scene.provider("acme", quota=instances(100))
    scene.provider("zeta")
    scene.pool("zeta/main")
    scene.label("small", min_ready=40)
    scene.cloud("zeta", limits_read=None)
    assert warm(scene)["acme/main"] < 30
    scene.cloud("zeta", error="503")
    assert warm(scene) == {"acme/main": 40}


def test_after_a_failure_the_label_waits_and_is_looked_at_in_time(scene: Scene) -> None:
    scene.label("small", min_ready=2)
    scene.backoff(4)
    assert not warm(scene)
    assert scene.plan().wake == NOW + 4


def test_a_label_that_cannot_be_had_is_not_launched(scene: Scene) -> None:
    scene.label("small", min_ready=2)
    scene.cloud(labels={"small": LabelFacts(needs=NEEDS["small"], broken="no flavor")})
    assert not warm(scene)
    scene.cloud(labels={})
    assert not warm(scene)


def test_a_label_that_no_pool_has_is_no_trouble(scene: Scene) -> None:
    scene.label("rare", min_ready=2)
    assert not scene.does()


def test_nothing_is_launched_for_a_provider_that_is_not_ours(scene: Scene) -> None:
    scene.leased.clear()
    scene.label("small", min_ready=2)
    assert not scene.does()


def test_zones_are_used_for_warm_nodes_too(scene: Scene) -> None:
    scene.provider("acme", quota=instances(100))
    scene.cloud(zones=("a", "b"))
    scene.label("small", min_ready=40)
    assert {launch.zone for launch in scene.one(LaunchNodes).launches} == {"a", "b"}


def test_a_node_taken_from_the_warm_pool_is_replaced(scene: Scene) -> None:
    scene.label("small", min_ready=1)
    scene.node(1)
    scene.request(1, "small")
    scene.fly(scene.plan().actions[0])
    assert not warm(scene)
    scene.in_flight.clear()
    scene.request(1, "small", state="fulfilled", nodes=ids(1))
    scene.node(1, allocated_to="100-0000000001")
    assert warm(scene) == {"acme/main": 1}


@pytest.mark.parametrize("seed", range(300))
def test_places_are_divided_alike_whether_anybody_is_full_or_not(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)
    label = Label(name="small", min_ready=rng.choice((1, 5, 40)))  # type: ignore[arg-type]
    keys = [("acme", f"pool-{number}") for number in range(rng.randint(0, 4))]
    have = {key: rng.randint(0, 1 + label.min_ready // 3) for key in keys}
    if rng.random() < 0.3:
        have["elsewhere", "old"] = 1
    places = [
        Place(
            key=key,  # type: ignore[arg-type]
            priority=rng.choice((1, 1, 2)),
            have=have[key],
            most=rng.choice((math.inf, have[key] + rng.randint(0, label.min_ready))),
            ours=rng.random() < 0.8,
        )
        for key in keys
    ]
    desks = [laid_out(scene.snapshot(), Agenda(scene.snapshot())) for _ in range(2)]
    answers = [how(desk, label, places, have) for how, desk in zip((division, one_by_one), desks, strict=True)]  # type: ignore[arg-type]
    assert answers[0] == answers[1]
    assert desks[0].short == desks[1].short
