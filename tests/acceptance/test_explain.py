"""What an operator is told of a running installation, and whether it comes true."""

from __future__ import annotations

import pytest

from nodepool_ng.explain.answer import Answer
from nodepool_ng.explain.others import explain_label, explain_node, explain_provider
from nodepool_ng.explain.scene import Scene
from nodepool_ng.explain.told import read
from nodepool_ng.explain.waiting import explain_request
from nodepool_ng.model.component import Component
from nodepool_ng.model.cordon import Cordon, CordonKind
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.sim.virtual.client import Job
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Create, Delete
from tests.acceptance.shop import Shop, pool, provider, settings
from tests.acceptance.test_facts import told


def scene(shop: Shop) -> Scene:
    """Return what a command would read."""
    records = {}
    for path in shop.place.tree.paths():
        at = paths.parse(path)
        znode = shop.place.tree.look(path)
        if paths.is_record(at) and znode is not None:
            records[at] = codec.decode(path, at, znode.data)
    nodes, requests = shop.nodes(), shop.requests()
    return Scene(
        now=shop.place.timeline.now(),
        told=read(told(shop)),
        settings=shop.place.settings,
        nodes={node.id: node for node in nodes},
        requests={request.id: request for request in requests},
        components=tuple(one for one in records.values() if isinstance(one, Component)),
        freezes={at.provider: one for at, one in records.items() if isinstance(one, Freeze)},  # type: ignore[union-attr]
        cordons={(at.kind, at.name): one for at, one in records.items() if isinstance(one, Cordon)},  # type: ignore[union-attr]
    )


def why(shop: Shop, job: Job) -> Answer:
    (request,) = [one for one in shop.requests() if one.id == job.request]
    return explain_request(scene(shop), request)


def busy(jobs: int, *, places: int = 2, seconds: float = 100) -> tuple[Shop, list[Job]]:
    """Return a shop that has seen a few jobs, and more jobs than it has room for."""
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": places}))))
    for _ in range(places * 2):
        shop.ask("small", seconds=seconds)
    shop.run(seconds * 3)
    made = []
    for _ in range(jobs):
        made.append(shop.ask("small", seconds=seconds))
        shop.run(10)
    return shop, made


def test_a_request_that_waits_is_told_why_who_is_ahead_and_what_would_help() -> None:
    shop, jobs = busy(4)
    answer = why(shop, jobs[-1])
    assert [one.code for one in answer.why] == ["pool-limit"]
    assert answer.binding == ("north/main: max-servers is 2, 2 in use",)
    assert len(answer.ahead) == 1
    assert answer.ahead[0].startswith(str(jobs[-2].request))
    assert answer.changes == ("raise max-servers of pool north/main from 2 to 4",)


@pytest.mark.parametrize("place", [2, 3, 5, 7])
def test_the_estimate_comes_true(place: int) -> None:
    shop, jobs = busy(8)
    asked = shop.place.timeline.now()
    found = why(shop, jobs[place]).estimate
    assert found is not None
    shop.run(1000)
    served = jobs[place].served
    assert served is not None
    took = served - asked
    assert abs(found.median - took) <= 0.15 * took + 5
    assert found.early <= found.median <= found.late


def test_the_change_that_is_named_serves_it_at_once() -> None:
    shop, jobs = busy(5)
    (change,) = why(shop, jobs[-1]).changes
    limit = int(change.rpartition(" ")[2])
    shop.reconfigure(settings(provider("north", pool("main", "small", limits={"instances": limit - 1}))))
    shop.run(20)
    assert jobs[-1].served is None
    shop.reconfigure(settings(provider("north", pool("main", "small", limits={"instances": limit}))))
    shop.run(20)
    assert jobs[-1].served is not None


def test_before_anything_was_seen_nothing_is_estimated() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.ask("small", seconds=1000)
    shop.run(1)
    answer = why(shop, (shop.ask("small"), shop.run(3))[0])
    assert answer.estimate is None
    assert answer.unknown


def order(shop: Shop, path: str, data: bytes) -> None:
    shop.place.tree.commit((Create(path, data),), shop.place.client.session_id)
    shop.run(3)


def test_orders_of_operators_are_named_with_what_ends_them() -> None:
    shop = Shop(settings())
    order(shop, paths.cordon(CordonKind.POOL, "north/main"), codec.encode_cordon(Cordon(by="ann@desk")))
    job = shop.ask("small")
    shop.run(5)
    answer = why(shop, job)
    assert answer.changes == ("nodepool uncordon north/main",)
    assert answer.estimate is None
    shown = explain_provider(scene(shop), "north")
    assert shown is not None
    assert "cordoned by ann@desk" in shown.why[0].sentence
    shop.place.tree.commit((Delete(paths.cordon(CordonKind.POOL, "north/main")),), shop.place.client.session_id)
    order(shop, paths.freeze("all"), codec.encode_freeze(Freeze(creates=True, deletes=False)))
    shop.ask("small", seconds=50)
    late = shop.ask("small")
    shop.run(5)
    assert why(shop, late).changes[0] == "nodepool thaw all"


def test_a_pending_request_is_told_of_its_nodes_and_when_they_come() -> None:
    shop, _ = busy(0, places=4)
    job = shop.ask("small", "small")
    shop.run(2)
    answer = why(shop, job)
    assert answer.summary.startswith("pending")
    assert [one.code for one in answer.why] == ["node", "node"]
    assert answer.estimate is not None
    assert answer.estimate.median < 10


def test_labels_nodes_and_providers_say_what_they_are() -> None:
    shop, jobs = busy(4)
    label = explain_label(scene(shop), "small")  # type: ignore[arg-type]
    assert label is not None
    assert "room for 0 more, limited by the pool's limit of instances" in label.why[0].sentence
    assert dict(label.facts)["requests that wait for it"] == "2"
    node = shop.nodes("in-use")[0]
    assert "a client runs a job on it; such a node is used for" in explain_node(scene(shop), node).why[0].sentence
    there = explain_provider(scene(shop), "north")
    assert there is not None
    assert (there.summary, dict(there.facts)["requests that wait here"]) == ("works", "2")
    assert there.binding[0] == "north/main: max-servers is 2, 2 in use, something waits for it"
    assert explain_provider(scene(shop), "nobody") is None
    assert explain_label(scene(shop), "nothing") is None  # type: ignore[arg-type]
    assert jobs
