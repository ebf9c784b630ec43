"""Whatever comes and goes, the census is what counting everything again would give."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodepool_ng.model.census import Census
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources


def cost(node: Node) -> Resources:
    return Resources({"instances": 1, "cores": len(node.labels)})


nodes = st.builds(
    Node,
    id=st.sampled_from(["1", "2", "3", "4"]),
    state=st.sampled_from(NodeState),
    state_time=st.just(0.0),
    provider=st.sampled_from(["p", "q", None]),
    pool=st.sampled_from(["a", "b", None]),
    labels=st.lists(st.sampled_from(["x", "y"]), max_size=3).map(tuple),
    allocated_to=st.sampled_from([None, None, "r", "s"]),
    az=st.sampled_from([None, "here", "there"]),
    tenant_name=st.sampled_from([None, "t"]),
    resources=st.sampled_from([None, Resources({"cores": 7, "ram": 3})]),
)
changes = st.lists(st.one_of(nodes, st.sampled_from(["1", "2", "3", "4"])), max_size=25)


def view(census: Census) -> dict[str, Any]:
    """Return all that a census tells, without sums that are zero."""

    def sums(amounts: dict[Any, Any]) -> dict[Any, Any]:
        deep = {k: sums(v) if isinstance(v, dict) else v for k, v in amounts.items()}
        return {k: v for k, v in deep.items() if v}

    places = [(p, q) for p in ("p", "q") for q in ("a", "b")]
    return {
        "nodes": census.nodes,
        "by_state": census.by_state,
        "by_request": census.by_request,
        "allocated": census.allocated,
        "spare": census.spare,
        "shelves": census.shelves,
        "warm": sums(census.warm),
        "launching": sums(census.launching),
        "leaving": sums({k: dict(v.amounts) for k, v in census.leaving().items()}),
        "providers": [sums(dict(census.used_in_provider(p).amounts)) for p in ("p", "q")],  # type: ignore[arg-type]
        "pools": [sums(dict(census.used_in_pool(k).amounts)) for k in places],  # type: ignore[arg-type]
        "tenant": sums(dict(census.used_by_tenant("t").amounts)),  # type: ignore[arg-type]
        "uses": {n: census.uses(n) for n in census.nodes},
        "of_request": [{n.id for n in census.of_request(r)} for r in ("r", "s")],  # type: ignore[arg-type]
    }


@given(changes)
def test_keeping_count_gives_what_counting_again_gives(steps: list[Any]) -> None:
    census = Census(cost)
    for step in steps:
        if isinstance(step, Node):
            census.put(step)
        else:
            census.drop(step)
    assert view(census) == view(Census.of(census.nodes.values(), cost))


def test_a_record_without_resources_counts_with_what_its_label_costs() -> None:
    node = Node(id="1", state=NodeState.USED, state_time=0, provider="p", pool="a", labels=("x",))  # type: ignore[arg-type]
    assert Census.of([node], cost).used_in_pool(("p", "a")) == Resources({"instances": 1, "cores": 1})  # type: ignore[arg-type]
