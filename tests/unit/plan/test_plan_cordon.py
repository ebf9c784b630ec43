"""What an operator has cordoned gets nothing new; what is drained loses its ready nodes, too."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import Claim, HandOut, LaunchNodes, RetireNode
from nodepool_ng.model.cordon import Cordon, CordonKind
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code
from nodepool_ng.model.settings import PoolLabel
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.support import Scene

PROVIDER, POOL = (CordonKind.PROVIDER, "acme"), (CordonKind.POOL, "acme/main")


def scene(order: tuple[CordonKind, str] | None, *, drain: bool = False) -> Scene:
    made = Scene()
    made.provider("acme")
    made.pool("acme/main", "small")
    made.label("small")
    if order is not None:
        made.more["cordons"] = {order: Cordon(drain=drain)}
    return made


@pytest.mark.parametrize("order", [PROVIDER, POOL])
def test_nothing_is_launched_or_handed_out_there_and_the_request_waits(order):
    made = scene(order)
    made.node(1)
    request = made.request(1, "small")
    assert made.does(Claim, HandOut) == ()
    (reason,) = made.plan().verdicts[request.id]
    assert (reason.code, reason.detail) == (Code.CORDONED, " ".join(order))
    assert made.plan().short == {("acme", "main")}


def test_without_the_order_the_same_request_is_served():
    made = scene(None)
    made.node(1)
    made.request(1, "small")
    assert len(made.does(HandOut)) == 1


def test_another_pool_serves_what_a_cordoned_one_does_not():
    made = scene(POOL)
    made.pool("acme/other", "small", priority=200)
    made.request(1, "small")
    assert made.one(Claim).pool == "other"


def test_a_cordoned_image_keeps_only_its_labels_from_being_served():
    made = scene((CordonKind.IMAGE, "bookworm"))
    made.pool("acme/built", "built")
    pool = made.providers["acme"].pools["built"]
    pool.labels["built"] = PoolLabel(name="built", diskimage="bookworm")
    made.upload("bookworm")
    waits, served = made.request(1, "built"), made.request(2, "small")
    assert made.why(waits) == ["cordoned"]
    assert made.one(Claim).request == served.id


def test_no_node_is_kept_warm_there():
    made = scene(PROVIDER)
    made.label("small", min_ready=2)
    assert made.does(LaunchNodes) == ()


def test_launches_under_way_are_finished():
    made = scene(PROVIDER)
    made.building(1)
    made.server(1)
    assert made.does() == scene_without_order(made)


def scene_without_order(made: Scene) -> tuple[object, ...]:
    made.more.pop("cordons")
    return made.does()


def test_draining_sends_ready_nodes_away_and_nothing_else():
    made = scene(PROVIDER, drain=True)
    ready = made.node(1)
    made.node_locks[made.node(2, NodeState.IN_USE).id] = Side.FOREIGN
    made.node_locks[made.node(3).id] = Side.FOREIGN
    action = made.one(RetireNode)
    assert (action.node, action.why.code) == (ready.id, Code.DRAINED)
    assert scene(PROVIDER).does(RetireNode) == ()
