"""Limits of pools, tenants and clouds, as clients feel them: who waits, who goes on, who is refused."""

from __future__ import annotations

import pytest

from nodepool_ng.drivers.calls import Look
from nodepool_ng.model.action import Claim, Decline
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import LabelFacts
from nodepool_ng.model.snapshot import Side
from tests.acceptance.shop import Shop, label, pool, provider, settings
from tests.unit.plan.support import Scene, instances, served

NEEDS = Resources({"instances": 1, "cores": 2, "ram": 4096, "volumes": 1, "volume-gb": 50})
ONE_PAIR = [("cores", 5), ("instances", 3), ("ram", 10000), ("volumes", 3), ("volume-gb", 120)]
"""Limits with room for two such nodes, but not for four."""


def pairs(scene: Scene) -> None:
    """Let one pair of nodes be in use, and a second pair be asked for."""
    scene.cloud(labels={"small": LabelFacts(needs=NEEDS)})
    for number in (1, 2):
        scene.node(number, NodeState.IN_USE, lock=Side.FOREIGN, resources=NEEDS, tenant_name="a-tenant")
    scene.request(3, "small", "small", tenant_name="a-tenant")


def goes_on_when_nodes_are_freed(scene: Scene) -> bool:
    """Tell whether the second pair waits now, and begins as soon as the first is gone."""
    waits = not scene.does(Claim, Decline)
    scene.nodes.clear()
    scene.node_locks.clear()
    return waits and len(scene.one(Claim).launches) == 2


@pytest.mark.parametrize(("resource", "limit"), ONE_PAIR)
def test_a_second_pair_waits_for_the_pools_limit_and_then_goes_on(scene: Scene, resource: str, limit: float) -> None:
    scene.provider("acme", quota=Resources())
    scene.pool("acme/main", limits=Resources({resource: limit}))
    pairs(scene)
    assert scene.why(next(iter(scene.requests.values()))) == ["pool-limit"]
    assert goes_on_when_nodes_are_freed(scene)


@pytest.mark.parametrize(("resource", "limit"), ONE_PAIR)
def test_a_second_pair_waits_for_the_clouds_limit_and_then_goes_on(scene: Scene, resource: str, limit: float) -> None:
    scene.provider("acme", quota=Resources({resource: limit}))
    pairs(scene)
    assert scene.why(next(iter(scene.requests.values()))) == ["provider-quota"]
    assert goes_on_when_nodes_are_freed(scene)


@pytest.mark.parametrize(("resource", "limit"), ONE_PAIR)
def test_a_tenant_at_its_limit_waits_alone_and_then_goes_on(scene: Scene, resource: str, limit: float) -> None:
    scene.provider("acme", quota=Resources())
    scene.tenants["a-tenant"] = Resources({resource: limit})
    pairs(scene)
    other = scene.request(4, "small", "small", tenant_name="another")
    assert served(scene) == ["4"]
    del scene.requests[other.id]
    assert scene.why(next(iter(scene.requests.values()))) == ["tenant-limit"]
    assert goes_on_when_nodes_are_freed(scene)


def test_a_tenant_at_its_limit_waits_even_where_nodes_are_ready(scene: Scene) -> None:
    scene.tenants["a-tenant"] = instances(2)
    pairs(scene)
    scene.node(5)
    scene.node(6)
    assert scene.why(next(iter(scene.requests.values()))) == ["tenant-limit"]


def test_what_a_cloud_does_not_limit_is_not_limited() -> None:
    shop = Shop(settings(), quota={"instances": -1, "cores": -1, "ram": -1})
    jobs = [shop.ask("small", seconds=200) for _ in range(60)]
    shop.run(60)
    assert all(job.served for job in jobs)


def test_an_impossible_request_fails_while_a_possible_one_waits_for_room() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 2}))))
    running = shop.ask("small", "small", seconds=60)
    shop.run(10)
    waiting = shop.ask("small", "small", seconds=5)
    shop.run(2)
    impossible = shop.ask("small", "small", "small")
    shop.run(20)
    assert (running.ended, waiting.served, impossible.failed) == (None, None, True)
    assert [request.state for request in shop.requests()] == [RequestState.REQUESTED]
    shop.run(60)
    assert waiting.served


def test_a_quota_refusal_out_of_the_blue_is_waited_out_without_a_server_too_many() -> None:
    refusal = {"call": "server.create", "fate": "refused", "status": 403, "message": "Quota exceeded", "times": 2}
    shop = Shop(settings(provider("north", launch_retries=1)), faults=[refusal])
    job = shop.ask("small", "small")
    shop.run(60)
    assert job.served
    assert not job.trouble
    assert shop.created() == 2
    shop.assert_at_rest()


def test_a_quota_refusal_has_the_clouds_limits_read_again_at_once() -> None:
    """Nobody waits for the next reading, minutes later: what is impossible by now fails, and does not ask in vain."""
    here = Shop(settings(provider("north")), quota={"instances": 3, "cores": 100, "ram": 1_000_000})
    here.ask("small", seconds=500)
    here.run(10)
    reads: list[float] = []
    here.place.called = lambda name, where, call, answer: (
        reads.append(here.place.timeline.now()) if isinstance(call, Look) else None
    )
    here.change("north", quota={"instances": 1, "cores": 100, "ram": 1_000_000})
    began = here.place.timeline.now()
    job = here.ask("small", "small")
    here.run(30)
    assert reads
    assert reads[0] - began < 1.0
    assert job.failed
    assert here.created() == 1


def test_a_min_ready_request_of_another_launcher_is_declined_where_there_is_no_room_and_evicts_nobody(
    scene: Scene,
) -> None:
    scene.pool("acme/main", limits=instances(1))
    scene.node(1, label="large")
    scene.request(7, "small", requestor="NodePool:min-ready", reuse=False, priority="900")
    action = scene.one(Decline)
    assert action.fail
    assert [reason.code.value for reason in action.because] == ["pool-limit"]
    assert len(scene.does()) == 1


@pytest.mark.parametrize("ignored", [False, True])
def test_a_cloud_without_any_quota_fails_requests_unless_it_is_ignored(ignored: bool) -> None:
    place = settings(provider("north", pool("main", "small", ignore_provider_quota=ignored, limits={"instances": 2})))
    shop = Shop(place, quota={"instances": 0})
    shop.change("north", quota={"instances": 100})  # what it told before stays true for five minutes
    job = shop.ask("small", seconds=100)
    shop.run(30)
    assert (job.failed, bool(job.served)) == (not ignored, ignored)


def test_ignoring_the_clouds_quota_leaves_the_pools_limits_in_force(scene: Scene) -> None:
    scene.provider("acme", quota=instances(0))
    scene.pool("acme/main", limits=instances(2), ignore_provider_quota=True)
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    waits = scene.request(1, "small", "small")
    scene.request(2, "small", "small", "small")
    assert [action.request for action in scene.does(Decline)] == ["100-0000000002"]  # type: ignore[union-attr]
    assert scene.why(waits) == ["pool-limit"]


def test_a_cloud_that_refuses_although_its_quota_is_ignored_is_tried_again() -> None:
    place = settings(provider("north", pool("main", "small", ignore_provider_quota=True), launch_retries=1))
    shop = Shop(place, quota={"instances": 1})
    first = shop.ask("small", seconds=30)
    shop.run(10)
    second = shop.ask("small", seconds=5)
    shop.run(20)
    assert first.served
    assert not second.served
    assert not second.failed
    shop.run(90)
    assert second.served
    shop.run(60)
    shop.assert_at_rest()


def test_requests_that_wait_for_room_are_served_in_order() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 2}))))
    jobs = [shop.ask("small", "small", seconds=10) for _ in range(4)]
    shop.run(200)
    instants = [job.served or 0 for job in jobs]
    assert all(instants)
    assert instants == sorted(instants)


def test_a_request_that_waits_fails_once_a_lower_limit_makes_it_impossible() -> None:
    def limited(count: int) -> object:
        return settings(provider("north", pool("main", "small", limits={"instances": count})))

    shop = Shop(limited(2))  # type: ignore[arg-type]
    shop.ask("small", "small", seconds=300)
    shop.run(10)
    waiting = shop.ask("small", "small")
    shop.run(10)
    assert not waiting.failed
    shop.reconfigure(limited(1))  # type: ignore[arg-type]
    shop.run(20)
    assert waiting.failed


def test_an_unused_node_of_another_label_makes_room_for_a_request() -> None:
    main = pool("main", "small", label("other", flavor_name="medium"), limits={"instances": 1})
    shop = Shop(settings(provider("north", main), labels={"other": {"min_ready": 1}}))
    assert [node.label for node in shop.nodes(NodeState.READY)] == ["other"]
    job = shop.ask("small")
    shop.run(30)
    assert job.served
    assert not job.trouble


def test_a_tenants_limit_is_one_for_all_providers() -> None:
    limit = {"t": Resources({"instances": 2})}
    shop = Shop(settings(provider("north"), provider("south"), tenant_limits=limit))  # type: ignore[arg-type]
    jobs = [shop.ask("small", seconds=20, tenant_name="t") for _ in range(4)]
    shop.run(12)
    assert sum(bool(job.served) for job in jobs) == 2
    shop.run(100)
    assert all(job.ended for job in jobs)
