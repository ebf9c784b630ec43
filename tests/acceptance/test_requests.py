"""Requests that are odd, that change while they wait, and that nobody decides about."""

from __future__ import annotations

import json

import pytest

from nodepool_ng.model.action import Claim, CompleteRequest, Decline
from nodepool_ng.model.ids import RequestId
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.plan.registry import SOFTWARE
from nodepool_ng.plan.waiting import DECIDE_WITHIN
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.codec.request import NEEDED
from nodepool_ng.zk.store import Create, Set
from tests.acceptance.shop import Shop, pool, provider, settings
from tests.unit.plan.support import NOW, Scene

JENKINS = {
    "node_types": ["small"],
    "declined_by": [],
    "state_time": 1_800_000_000.0,
    "reuse": False,
    "requestor": "jenkins",
    "state": "requested",
    "nodes": [],
    "jenkins_label": "nodepool-small",
    "build_id": "job-7",
}


def full() -> Shop:
    """Return an installation whose only place is taken for a long time."""
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.ask("small", seconds=100)
    shop.run(10)
    return shop


def put(shop: Shop, name: str, record: object) -> str:
    data = record if isinstance(record, bytes) else json.dumps(record).encode()
    path = paths.request(RequestId(name))
    shop.place.tree.commit((Create(path, data),), shop.place.client.session_id)
    return path


def record(shop: Shop, path: str) -> dict[str, object]:
    znode = shop.place.tree.look(path)
    assert znode is not None
    return json.loads(znode.data)  # type: ignore[no-any-return]


def test_a_request_of_jenkins_is_completed_while_it_waits_and_served_in_the_end() -> None:
    shop = full()
    path = put(shop, "500-0000000077", JENKINS)
    shop.run(5)
    completed = record(shop, path)
    assert completed.keys() >= {*NEEDED, *JENKINS}
    assert completed["state"] == "requested"
    assert completed["state_time"] == JENKINS["state_time"]
    assert (completed["jenkins_label"], completed["build_id"]) == ("nodepool-small", "job-7")
    lock = paths.request_lock(RequestId("500-0000000077"))
    assert not shop.place.tree.look(lock).children  # type: ignore[union-attr]
    shop.run(150)
    assert record(shop, path)["state"] == "fulfilled"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("200-0000000077", {"relative_priority": None}),
        ("200-odd-0000000077", {}),
        ("500-0000000077", {"declined_by": None, "nodes": None}),
        ("500-0000000077", {"state_time": None}),
    ],
)
def test_a_damaged_request_that_can_be_read_is_served(name: str, changes: dict[str, object]) -> None:
    shop = Shop(settings())
    path = put(shop, name, {**JENKINS, **changes})
    shop.run(20)
    assert record(shop, path)["state"] == "fulfilled"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"state": "dreaming", "node_types": ["small"]}'])
def test_an_unreadable_request_is_left_as_it_is_and_stops_nobody(data: bytes) -> None:
    shop = Shop(settings())
    path = put(shop, "100-0000000001", data)
    job = shop.ask("small")
    shop.run(20)
    assert job.served
    znode = shop.place.tree.look(path)
    assert znode is not None
    assert (znode.data, znode.version) == (data, 0)


def test_only_waiting_requests_that_nobody_holds_are_completed(scene: Scene) -> None:
    scene.provider("acme", quota=None)
    scene.request(1, "rare", complete=False)
    scene.registration("zeta/main", "them", "rare")
    assert [action.request for action in scene.does(CompleteRequest)] == ["100-0000000001"]  # type: ignore[union-attr]
    scene.request(1, "rare", complete=False, state=RequestState.FULFILLED)
    assert not scene.does(CompleteRequest)
    scene.request(1, "small", complete=False)
    assert not scene.does(CompleteRequest)
    assert scene.one(Claim)


def test_a_request_whose_priority_is_revised_while_it_waits_changes_its_place() -> None:
    shop = full()
    first, second = shop.ask("small", seconds=5), shop.ask("small", seconds=5)
    shop.run(5)
    path = paths.request(RequestId(str(second.request)))
    znode = shop.place.tree.look(path)
    assert znode is not None
    revised = {**record(shop, path), "relative_priority": -1}
    shop.place.tree.commit((Set(path, json.dumps(revised).encode(), znode.version),), shop.place.client.session_id)
    shop.run(200)
    assert (second.served or 0) < (first.served or 0)


def test_a_request_is_not_written_while_it_waits_so_that_it_can_be_revised() -> None:
    shop = full()
    job = shop.ask("small")
    shop.run(60)
    znode = shop.place.tree.look(paths.request(RequestId(str(job.request))))
    assert znode is not None
    assert znode.version == 0


@pytest.mark.parametrize("answered", [None, NOW - 10.0])
def test_a_pool_whose_cloud_does_not_answer_is_left_out_in_time(scene: Scene, answered: float | None) -> None:
    scene.cloud(limits_read=None, listed=answered, full_listed=None, error="it is down")
    scene.request(1, "small", state_time=NOW)
    assert not scene.does(Decline)
    begun = answered or 0.0
    assert scene.plan().wake is not None
    scene.now = max(NOW, begun) + DECIDE_WITHIN
    action = scene.one(Decline)
    assert action.fail
    assert [reason.detail for reason in action.because] == ["it is down"]


def test_a_pool_whose_cloud_does_not_answer_holds_up_nobody_who_waits_for_another(scene: Scene) -> None:
    scene.cloud(limits_read=None, listed=None, full_listed=None, error="it is down")
    scene.provider("zeta")
    scene.pool("zeta/main", limits=scene.facts["zeta"].limits)
    for number in range(12):
        scene.request(number, "small", state_time=NOW - 2 * DECIDE_WITHIN)
    assert not scene.does(Decline)


def test_a_silent_pool_of_another_launcher_is_reported_and_never_overruled(scene: Scene) -> None:
    scene.registration("old/main", "nodepool-11", "rare")
    waits = scene.request(1, "unknown", declined_by=("us-acme/main",), state_time=NOW)
    assert scene.why(waits) == ["silent"]
    assert not scene.plan().alarms
    scene.now = NOW + DECIDE_WITHIN
    made = scene.plan()
    assert "does not answer requests" in made.alarms["old"]  # type: ignore[index]
    assert not [action for action in made.actions if isinstance(action, Decline)]


def test_why_a_request_failed_is_in_its_record() -> None:
    shop = Shop(settings())
    path = put(shop, "200-0000000077", {**JENKINS, "node_types": ["unknown"]})
    shop.run(20)
    found = codec.decode_request(RequestId("200-0000000077"), json.dumps(record(shop, path)).encode())
    assert found.state is RequestState.FAILED  # type: ignore[union-attr]
    assert found.failed_because == ["north/main: the pool does not have label unknown"]  # type: ignore[union-attr]
    assert SOFTWARE
