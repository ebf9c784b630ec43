"""How long nodes take, as their records tell."""

from __future__ import annotations

from nodepool_ng.launcher.spans import KEPT, Spans
from nodepool_ng.model.ids import NodeId, PoolName, ProviderName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node

ACME = ProviderName("acme")


def node(state: NodeState, at: float, provider: str = "acme", label: str = "small") -> Node:
    where = {"provider": ProviderName(provider), "pool": PoolName("main"), "labels": (label,)}
    return Node(id=NodeId("1"), state=state, state_time=at, created_time=100.0, **where)  # type: ignore[arg-type]


def boot(spans: Spans, took: float, **where: str) -> None:
    spans.saw(node(NodeState.BUILDING, 101.0, **where), node(NodeState.READY, 100.0 + took, **where), 200.0)


def test_the_quickest_boot_of_a_provider_is_the_shortest_of_the_latest() -> None:
    spans = Spans()
    spans.saw(node(NodeState.INIT, 100.0), node(NodeState.BUILDING, 101.0), 200.0)
    spans.saw(None, node(NodeState.READY, 101.0), 200.0)
    assert not spans.quickest
    boot(spans, 40.0)
    boot(spans, 30.0, label="large")
    boot(spans, 5.0, provider="zeta")
    assert spans.quickest == {ACME: 30.0, ProviderName("zeta"): 5.0}
    for _ in range(KEPT):
        boot(spans, 50.0)
    assert spans.quickest[ACME] == 50.0


def test_a_clock_that_was_set_back_makes_no_boot_shorter_than_none() -> None:
    spans = Spans()
    boot(spans, -3.0)
    assert spans.quickest == {ACME: 0.0}
