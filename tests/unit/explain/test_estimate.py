"""Estimates: what was seen is drawn from, and the queue is played in order."""

import random
import statistics

import pytest

from nodepool_ng.explain.estimate import Waiting, draw, estimate, share_below
from nodepool_ng.explain.told import PoolTold
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources

EVEN = tuple(float(n) for n in range(0, 110, 10))
ONE = Resources({"instances": 1})


def pool(room: float, **spans: tuple[float, ...]) -> PoolTold:
    told = {stage: {"small": deciles} for stage, deciles in spans.items()}
    return PoolTold(name="north/main", room=Resources({"instances": room}), costs={"small": ONE}, spans=told)


def same(seconds: float) -> tuple[float, ...]:
    return (seconds,) * 11


def node(number: int, state: NodeState, age: float, **more: object) -> Node:
    return Node(  # type: ignore[arg-type]
        id=f"{number:010}",
        state=state,
        state_time=1000.0 - age,
        provider="north",
        pool="main",
        labels=("small",),
        **more,
    )


def waiting(count: int = 1) -> list[Waiting]:
    return [Waiting(labels=("small",), pools=("north/main",), needs={"north/main": ONE})] * count


def of(queue: list[Waiting], told: PoolTold, nodes: list[Node]):
    return estimate(queue, {told.name: told}, nodes, 1000.0)


def test_draws_follow_what_was_seen():
    rng = random.Random(1)
    assert statistics.mean(draw(EVEN, rng) for _ in range(2000)) == pytest.approx(50, abs=2)
    assert all(draw(EVEN, rng, age=80) >= 80 for _ in range(200))
    assert all(120 <= draw(EVEN, rng, age=120) <= 132 for _ in range(200))


@pytest.mark.parametrize(("value", "share"), [(-1, 0), (0, 0), (25, 0.25), (100, 1), (500, 1)])
def test_shares_are_read_between_the_deciles(value, share):
    assert share_below(EVEN, value) == share


def test_room_that_is_there_takes_a_boot():
    assert of(waiting(), pool(1, boot=same(30)), []).median == 30


def test_a_request_waits_for_the_jobs_that_end_before():
    told = pool(0, boot=same(30), life=same(100), delete=same(5))
    nodes = [node(1, NodeState.IN_USE, 40), node(2, NodeState.IN_USE, 90)]
    assert of(waiting(1), told, nodes).median == 10 + 5 + 30
    assert of(waiting(2), told, nodes).median == 60 + 5 + 30


def test_who_is_served_before_gives_its_place_back_later():
    told = pool(0, boot=same(30), life=same(100), delete=same(5))
    assert of(waiting(2), told, [node(1, NodeState.IN_USE, 90)]).median == 10 + 5 + 30 + 100 + 5 + 30


def test_a_held_node_is_no_hope_but_when_its_time_ends():
    told = pool(0, boot=same(30), life=same(100), delete=same(5))
    assert of(waiting(), told, [node(1, NodeState.HOLD, 10)]) is None
    found = of(waiting(), told, [node(1, NodeState.HOLD, 10, hold_expiration=50)])
    assert found.median == 40 + 30


def test_without_precedent_there_is_no_estimate():
    assert of(waiting(), pool(1), []) is None


def test_the_spread_is_that_of_what_was_seen():
    found = of(waiting(), pool(1, boot=EVEN), [])
    assert found.early < 30 < found.median < 70 < found.late


def test_a_large_queue_is_estimated_at_once():
    told = pool(0, boot=EVEN, life=EVEN, delete=same(5))
    nodes = [node(number, NodeState.IN_USE, number % 50) for number in range(300)]
    assert of(waiting(200), told, nodes) is not None
