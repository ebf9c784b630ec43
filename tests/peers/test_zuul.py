"""Zuul 14's own code asks our launcher for nodes, and does with them what it does in life."""

import pytest

from nodepool_ng.model.ids import NodeId
from nodepool_ng.model.lifecycle import NodeState
from tests.support.daemons import Site, wait_for
from tests.support.zuul import SYSTEM, Zuul, ZuulError

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.peers]


@pytest.fixture(scope="module", autouse=True)
def launcher(place: Site) -> None:
    """One launcher for all: a label that is kept warm in two regions, and one of which there are only two nodes."""
    defaults = {"boot": 0.5, "delete": 0.2, "images": [{"name": "base"}]}
    place.start_clouds(clouds={"acme": {"defaults": defaults, "regions": {"north": {}, "south": {"boot": 3}}}})
    common = {"cloud": "acme", "cloud-images": [{"name": "base", "username": "zuul"}]}
    zone = {"node-attributes": {"executor-zone": "north-zone"}}
    place.configure(
        labels=[{"name": "small", "min-ready": 2}, {"name": "rare"}],
        providers=[
            {"name": "north", "region-name": "north", "pools": [pool("main", "small", 6) | zone], **common},
            {
                "name": "south",
                "region-name": "south",
                "pools": [pool("main", "small", 6), pool("tiny", "rare", 2)],
                **common,
            },
        ],
    )
    place.launcher()
    wait_for(lambda: place.ready(2, label="small"), "the pool is full")


def pool(name: str, label: str, max_servers: int) -> dict[str, object]:
    made = {"name": label, "cloud-image": "base", "flavor-name": "small"}
    return {"name": name, "max-servers": max_servers, "host-key-checking": False, "labels": [made]}


def gone(place: Site, nodes: list[str]) -> bool:
    return not set(nodes) & set(place.nodes())


def test_a_job_asks_accepts_uses_and_returns(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small", "small"])
    answer = zuul.wait(asked["id"])
    assert answer["state"] == "fulfilled"
    assert len(answer["nodes"]) == 2
    nodes = zuul.accept(asked["id"])
    assert [node["id"] for node in nodes] == answer["nodes"]
    assert {node["provider"] for node in nodes} == {answer["provider"]}
    assert answer["zone"] == ("north-zone" if answer["provider"] == "north" else None)
    for node in nodes:
        assert node["locked"]
        assert node["label"] == "small"
        assert node["interface_ip"]
        assert (node["username"], node["connection_type"], node["connection_port"]) == ("zuul", "ssh", 22)
        assert node["resources"]["instances"] == 1
        assert (node["tenant_name"], node["requestor"]) == ("tenant-one", SYSTEM)
    assert zuul.state(asked["id"]) is None
    zuul.use(asked["id"])
    wait_for(lambda: zuul.own_nodes() == sorted(answer["nodes"]), "the scheduler sees its nodes in use")
    zuul.give_back(asked["id"])
    wait_for(lambda: gone(place, answer["nodes"]) and place.ready(2), "others took their places")
    wait_for(lambda: sorted(zuul.nodes()) == sorted(place.nodes()), "the scheduler's cache knows that")


def test_a_set_larger_than_what_is_ready_is_launched(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small"] * 4)
    answer = zuul.wait(asked["id"])
    assert len(set(answer["nodes"])) == 4
    assert len({place.node(NodeId(node)).provider for node in answer["nodes"]}) == 1
    zuul.accept(asked["id"])
    zuul.use(asked["id"])
    zuul.give_back(asked["id"])
    wait_for(lambda: gone(place, answer["nodes"]), "the nodes are gone")


def test_what_the_scheduler_wrote_is_still_in_the_answer(zuul: Zuul) -> None:
    asked = zuul.ask(["small"], priority=100)
    assert asked["id"].startswith("100-")
    assert zuul.wait(asked["id"])["state"] == "fulfilled"
    record = zuul.state(asked["id"])
    assert record["event_id"] == asked["event_id"]
    assert set(record["requestor_data"]) >= {"build_set_uuid", "tenant_name", "pipeline_name", "job_uuid"}
    assert record["requestor_data"]["span_info"]["trace_id"] > 2**64
    assert record["requestor"] == SYSTEM
    assert zuul.cached() == [asked["id"]]
    zuul.cancel(asked["id"])


def test_an_unknown_label_fails_with_reasons(zuul: Zuul) -> None:
    assert zuul.labels() == ["rare", "small"]
    asked = zuul.ask(["small", "unheard-of"])
    answer = zuul.wait(asked["id"], 60)
    assert answer["state"] == "failed"
    assert any("unheard-of" in reason for reason in answer["because"])
    assert zuul.state(asked["id"]) is None


def test_more_than_a_pool_can_hold_fails(zuul: Zuul) -> None:
    answer = zuul.wait(zuul.ask(["small"] * 7)["id"], 60)
    assert answer["state"] == "failed"
    assert any("limited to 6" in reason for reason in answer["because"])


def test_nodes_that_were_never_used_go_back_to_the_pool(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small"])
    (node,) = zuul.wait(asked["id"])["nodes"]
    zuul.accept(asked["id"])
    zuul.give_back(asked["id"])
    wait_for(lambda: place.nodes()[NodeId(node)].free, "the node is nobody's again")


def test_held_nodes_stay_until_the_hold_is_dropped(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small"])
    (node,) = zuul.wait(asked["id"])["nodes"]
    zuul.accept(asked["id"])
    zuul.use(asked["id"])
    hold = zuul.hold(asked["id"], "to look at", 3600)
    held = place.node(NodeId(node))
    assert (held.state, held.comment, held.hold_expiration) == (NodeState.HOLD, "to look at", 3600)
    assert zuul.held() == 1
    wait_for(lambda: place.ready(2, label="small"), "another node is ready")
    assert place.node(NodeId(node)).state is NodeState.HOLD
    zuul.drop_hold(hold)
    wait_for(lambda: gone(place, [node]), "the node is gone")


def test_a_hold_ends_by_itself(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small"])
    (node,) = zuul.wait(asked["id"])["nodes"]
    zuul.accept(asked["id"])
    zuul.use(asked["id"])
    zuul.hold(asked["id"], "for a moment", 1)
    wait_for(lambda: gone(place, [node]), "the node is gone")


def test_a_request_that_is_cancelled_while_it_is_served(place: Site, zuul: Zuul) -> None:
    """Its servers are on their way by then. Had no cloud been asked yet, there would be nothing to become spares."""
    asked = zuul.ask(["rare"] * 2)

    def booting() -> bool:
        nodes = [node for node in place.nodes().values() if node.allocated_to == asked["id"]]
        return [node.state for node in nodes if node.external_id] == [NodeState.BUILDING] * 2

    wait_for(booting, "the request is being served")
    assert zuul.state(asked["id"])["state"] == "pending"
    zuul.cancel(asked["id"])
    wait_for(lambda: place.ready(2, label="rare"), "its nodes became spares")
    assert zuul.state(asked["id"]) is None


def test_a_request_that_is_cancelled_after_it_was_served(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small"])
    (node,) = zuul.wait(asked["id"])["nodes"]
    zuul.cancel(asked["id"])
    wait_for(lambda: place.nodes()[NodeId(node)].free, "its node is nobody's again")
    with pytest.raises(ZuulError):
        zuul.accept(asked["id"])


def test_a_waiting_request_can_be_revised_and_overtakes(zuul: Zuul) -> None:
    lent = [zuul.ask(["rare"]) for _ in range(2)]
    for each in lent:
        zuul.wait(each["id"])
        zuul.accept(each["id"])
        zuul.use(each["id"])
    first, second = zuul.ask(["rare"], relative_priority=1), zuul.ask(["rare"], relative_priority=2)
    wait_for(lambda: {first["id"], second["id"]} <= set(zuul.cached()), "the scheduler sees both requests")
    zuul.revise(second["id"], 0)
    record = zuul.state(second["id"])
    assert (record["state"], record["relative_priority"]) == ("requested", 0)
    zuul.give_back(lent[0]["id"])
    assert zuul.wait(second["id"])["state"] == "fulfilled"
    assert zuul.state(second["id"])["relative_priority"] == 0
    assert zuul.state(first["id"])["state"] == "requested"
    zuul.give_back(lent[1]["id"])
    assert zuul.wait(first["id"])["state"] == "fulfilled"


def test_a_preferred_provider_serves(zuul: Zuul) -> None:
    for name in ("south", "north"):
        assert zuul.wait(zuul.ask(["small"], provider=name)["id"])["provider"] == name
    assert zuul.wait(zuul.ask(["small"], provider="nowhere")["id"])["state"] == "fulfilled"


def test_the_nodes_of_an_executor_that_died_are_cleaned_away(place: Site, zuul: Zuul) -> None:
    asked = zuul.ask(["small"] * 2)
    nodes = zuul.wait(asked["id"])["nodes"]
    zuul.accept(asked["id"])
    zuul.use(asked["id"])
    zuul.replace_executor()
    wait_for(lambda: gone(place, nodes), "the nodes are gone")
    assert "Traceback" not in place.logs("nodepool-launcher")
