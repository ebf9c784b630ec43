"""Requests that somebody holds, or held."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import (
    AdoptRequest,
    ListServers,
    ReadCapacity,
    Release,
    Unlock,
)
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.support import NOW, SERVED, SETTLE, Scene


def test_a_request_that_somebody_else_holds_waits(scene: Scene) -> None:
    request = scene.request(1, "small", lock=Side.FOREIGN)
    assert not scene.does(*SERVED)
    assert scene.why(request) == ["locked"]


@pytest.mark.parametrize("state", [s for s in RequestState if s is not RequestState.PENDING])
def test_a_lock_on_a_request_that_is_not_pending_is_given_back(scene: Scene, state: RequestState) -> None:
    request = scene.request(1, "small", state=state, lock=Side.OURS)
    assert scene.one(Unlock).request == request.id
    assert not scene.does(*SERVED)


def test_a_lock_on_a_request_that_is_gone_is_given_back(scene: Scene) -> None:
    scene.request_locks["100-0000000001"] = Side.OURS
    assert scene.one(Unlock).request == "100-0000000001"


@pytest.mark.parametrize("state", [RequestState.FULFILLED, RequestState.FAILED])
def test_a_finished_request_is_left_alone(scene: Scene, state: RequestState) -> None:
    scene.request(1, "small", state=state)
    assert not scene.does()


def test_a_pending_request_of_somebody_else_is_left_alone(scene: Scene) -> None:
    scene.request(1, "small", state=RequestState.PENDING, lock=Side.FOREIGN)
    assert not scene.does()


def test_a_pending_request_left_behind_is_taken_up_if_its_nodes_are_of_our_making(scene: Scene) -> None:
    request = scene.request(1, "small", state=RequestState.PENDING)
    scene.node(1, NodeState.BUILDING, allocated_to=request.id)
    assert scene.one(AdoptRequest).request == request.id


@pytest.mark.parametrize("nodes", [0, 1])
def test_any_other_pending_request_left_behind_is_put_back_after_a_while(scene: Scene, nodes: int) -> None:
    request = scene.request(1, "small", state=RequestState.PENDING)
    for number in range(nodes):
        scene.node(number, NodeState.READY, allocated_to=request.id, attempt=None, lock=Side.FOREIGN)
    scene.more["unlocked_since"] = {request.id: NOW - 5}
    assert scene.plan().wake == NOW - 5 + SETTLE
    assert not scene.does()
    scene.now = NOW - 5 + SETTLE
    assert scene.one(Release).request == request.id


def test_a_plan_made_twice_is_the_same(scene: Scene) -> None:
    scene.node(1)
    scene.label("large", min_ready=2)
    for number in range(5):
        scene.request(number, "small")
    assert scene.plan() == scene.plan()


def test_an_idle_scene_needs_nothing_until_the_next_look(scene: Scene) -> None:
    plan = scene.plan()
    assert (plan.actions, plan.wake, plan.short, plan.alarms) == ((), NOW + 60, frozenset(), {})
    assert not scene.does(ListServers, ReadCapacity)
