"""Which news end the rest of which nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodepool_ng.launcher.resting import Resting
from nodepool_ng.model.action import Fulfil, ScanHostKeys
from nodepool_ng.model.ids import NodeId, ProviderName, RequestId, ServerId
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.server import Server, ServerStatus

WHY = Reason(code=Code.DUE)


def server(number: int, **changes: object) -> Server:
    made = Server(
        id=ServerId(f"server-{number}"),
        name="",
        status=ServerStatus.BUILDING,
        provider=ProviderName("acme"),
        node=NodeId(str(number)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def resting() -> Resting:
    made = Resting()
    made.found({NodeId(str(number)): 100.0 for number in range(1, 6)})
    return made


def left(resting: Resting) -> str:
    return "".join(sorted(resting.nodes))


def test_news_of_one_node_end_its_rest_alone(resting: Resting) -> None:
    resting.stirred(NodeId("2"))
    resting.stirred(NodeId("2"))
    assert left(resting) == "1345"
    resting.all_stirred()
    assert not resting.nodes


def test_what_became_of_an_action_is_news_of_all_its_nodes(resting: Resting) -> None:
    resting.came(Fulfil(request=RequestId("100-1"), nodes=(NodeId("1"), NodeId("2")), booted=(), why=WHY))
    resting.came(ScanHostKeys(node=NodeId("4"), address="", port=22, ssh=True, deadline=0.0, why=WHY))
    assert left(resting) == "35"


def test_a_list_ends_the_rest_of_nodes_whose_servers_changed_came_or_went(resting: Resting) -> None:
    one, two, three, four = map(server, (1, 2, 3, 4))
    before = {each.id: each for each in (one, two, three)}
    up = replace(two, status=ServerStatus.ACTIVE)
    after = {each.id: each for each in (replace(one), up, four)}
    resting.listed(before, after)
    assert left(resting) == "15"


def test_a_server_whose_marks_change_concerns_both(resting: Resting) -> None:
    one = server(1)
    resting.listed({one.id: one}, {one.id: replace(one, node=NodeId("5"))})
    assert left(resting) == "234"


def test_a_server_without_marks_may_be_any_nodes(resting: Resting) -> None:
    bare = server(9, provider=None, node=None)
    resting.listed({bare.id: bare}, {bare.id: bare})
    assert left(resting) == "12345"
    resting.listed({}, {bare.id: bare})
    assert not resting.nodes
