"""Whole lives: what is planned is done, one action at a time or all, with crashes anywhere, until nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodepool_ng.model.action import CreateServer, ListServers, ReadCapacity, SweepGhost
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.enact import client_takes, crash, enact
from tests.unit.plan.support import Scene, instances

Until = Callable[[Scene], bool]


def go_on(scene: Scene, *, one_by_one: bool, until: Until, crash_after: int | None = None) -> list[str]:
    """Do what is planned until a state is reached; return the kinds of the actions that were done."""
    done: list[str] = []
    for _ in range(400):
        if until(scene):
            return done
        actions = scene.plan().actions
        for action in actions[:1] if one_by_one else actions:
            enact(scene, action)
            done.append(type(action).__name__)
            if len(done) == crash_after:
                crash(scene)
                break
        if not actions:
            scene.now = max(scene.plan().wake or 0, scene.now + 0.1)
    raise AssertionError(f"it never came to that: {done[-20:]}, {scene.plan()}")


def fulfilled(scene: Scene) -> bool:
    return all(request.state is RequestState.FULFILLED for request in scene.requests.values())


def empty(scene: Scene) -> bool:
    return not scene.nodes and not any(scene.servers.values())


def looked_at(done: list[str]) -> list[str]:
    """Return what was done but for looks at clouds."""
    return [kind for kind in done if kind not in ("ListServers", "ReadCapacity")]


def cold(scene: Scene) -> None:
    scene.request(1, "small", "large")


def half_warm(scene: Scene) -> None:
    scene.node(1)
    scene.request(1, "small", "small")


def warm(scene: Scene) -> None:
    scene.node(1)
    scene.request(1, "small")


def crowded(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.node(1)
    scene.node(2)
    scene.request(1, "large", "large")


@pytest.mark.parametrize("beginning", [cold, half_warm, warm, crowded])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_request_is_served_used_and_cleaned_up(
    scene: Scene, beginning: Callable[[Scene], None], one_by_one: bool
) -> None:
    beginning(scene)
    go_on(scene, one_by_one=one_by_one, until=fulfilled)
    client_takes(scene, "100-0000000001")
    go_on(scene, one_by_one=one_by_one, until=empty)
    assert not scene.node_locks
    assert not scene.request_locks


def test_a_cold_request_takes_these_steps(scene: Scene) -> None:
    cold(scene)
    done = go_on(scene, one_by_one=False, until=fulfilled)
    twice = ["CreateServer", "CreateServer", "ScanHostKeys", "ScanHostKeys"]
    assert looked_at(done) == ["Claim", *twice, "Fulfil"]
    client_takes(scene, "100-0000000001")
    done = go_on(scene, one_by_one=False, until=empty)
    assert sorted(looked_at(done)) == ["DeleteServer"] * 2 + ["EraseNode"] * 2 + ["RetireNode"] * 2


@pytest.mark.parametrize("beginning", [cold, half_warm, crowded])
@pytest.mark.parametrize("step", range(1, 14))
def test_a_launcher_killed_after_any_step_goes_on_where_it_was(
    scene: Scene, beginning: Callable[[Scene], None], step: int
) -> None:
    beginning(scene)
    go_on(scene, one_by_one=True, until=fulfilled, crash_after=step)
    client_takes(scene, "100-0000000001")
    go_on(scene, one_by_one=True, until=empty, crash_after=step)
    assert not scene.node_locks


@pytest.mark.parametrize("step", range(1, 10))
def test_a_request_withdrawn_at_any_moment_leaves_only_spare_nodes(scene: Scene, step: int) -> None:
    cold(scene)
    steps = 0

    def reached(scene: Scene) -> bool:
        nonlocal steps
        steps += 1
        return steps > step or fulfilled(scene)

    go_on(scene, one_by_one=True, until=reached)
    scene.requests.clear()

    def at_rest(scene: Scene) -> bool:
        looks = (ListServers, ReadCapacity)
        return not [action for action in scene.plan().actions if not isinstance(action, looks)] and all(
            node.free for node in scene.nodes.values()
        )

    go_on(scene, one_by_one=True, until=at_rest)
    assert not scene.node_locks
    assert not scene.request_locks


@pytest.mark.parametrize("one_by_one", [False, True])
def test_the_warm_pool_is_filled_and_kept_filled(scene: Scene, one_by_one: bool) -> None:
    scene.label("small", min_ready=3)

    def full(scene: Scene) -> bool:
        return sum(node.free for node in scene.nodes.values()) == 3

    go_on(scene, one_by_one=one_by_one, until=full)
    scene.request(1, "small", "small")
    go_on(scene, one_by_one=one_by_one, until=fulfilled)
    client_takes(scene, "100-0000000001")
    go_on(scene, one_by_one=one_by_one, until=lambda s: full(s) and len(s.nodes) == 3)


def test_many_requests_through_a_small_quota_are_all_served_in_the_end(scene: Scene) -> None:
    scene.provider("acme", quota=instances(3))
    scene.label("small", min_ready=1)
    for number in range(12):
        scene.request(number, *(("small",), ("large", "small"), ("large",) * 3)[number % 3])
    order: list[str] = []

    def all_served(scene: Scene) -> bool:
        for request in list(scene.requests.values()):
            if request.state is RequestState.FULFILLED:
                order.append(request.id)
                client_takes(scene, request.id)
        return not scene.requests

    go_on(scene, one_by_one=False, until=all_served)
    assert len(order) == 12


def test_nothing_is_asked_of_a_cloud_for_a_node_that_is_not_recorded(scene: Scene) -> None:
    cold(scene)
    for _ in range(6):
        for action in scene.plan().actions:
            if isinstance(action, CreateServer):
                assert scene.nodes[action.node].state is NodeState.BUILDING
                assert scene.node_locks[action.node] is Side.OURS
            enact(scene, action)


def test_a_ghost_is_gone_afterwards(scene: Scene) -> None:
    scene.more["ghosts"] = {"0000000009"}
    enact(scene, scene.one(SweepGhost))
    assert not scene.does()
