"""Servers that are made in steps, and of which some come back by themselves: whole machines."""

from __future__ import annotations

import pytest

from nodepool_ng.drivers import Listing
from nodepool_ng.launcher.clouds import CloudFacts
from nodepool_ng.model.action import (
    AdvanceServer,
    Claim,
    Decline,
    DeleteServer,
    ListServers,
    RetireNode,
    RetryNode,
)
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import NONE, ONE_INSTANCE, Resources
from nodepool_ng.model.server import Server, ServerStatus
from nodepool_ng.model.snapshot import Side, Stepping
from tests.unit.plan.support import NOW, Scene, instances


def waiting(scene: Scene) -> str:
    """Add a node whose server waits for us; return its attempt."""
    node = scene.building(1)
    scene.server(1, status="building", step=True)
    assert node.attempt is not None
    return node.attempt


def test_a_server_that_waits_for_us_goes_on(scene: Scene) -> None:
    waiting(scene)
    step = scene.one(AdvanceServer)
    assert (step.node, step.server, step.pool, step.label) == ("0000000001", "server-1", "main", "small")


def test_a_step_that_was_taken_is_given_time_to_show(scene: Scene) -> None:
    attempt = waiting(scene)
    scene.more["stepping"] = {attempt: Stepping(until=NOW + 10)}
    assert not scene.does(AdvanceServer)
    assert scene.plan().wake == NOW + 1
    scene.now = NOW + 10
    assert scene.one(AdvanceServer)


def test_a_step_that_the_cloud_refuses_ends_the_attempt(scene: Scene) -> None:
    attempt = waiting(scene)
    scene.more["stepping"] = {attempt: Stepping(until=NOW, refused="the machine is in maintenance")}
    assert scene.one(RetryNode).why.detail == "the machine is in maintenance"


def test_a_step_that_lacks_room_is_no_fault_of_the_nodes(scene: Scene) -> None:
    attempt = waiting(scene)
    scene.more["stepping"] = {attempt: Stepping(until=NOW, refused="no port is left", no_room=True)}
    assert scene.one(RetireNode).why.detail == "no port is left"


def test_after_its_time_a_server_that_waits_is_given_up(scene: Scene) -> None:
    waiting(scene)
    scene.now = NOW + 3600
    assert scene.one(RetryNode)
    assert not scene.does(AdvanceServer)


@pytest.mark.parametrize(("busy", "deletes"), [(True, 0), (False, 1)])
def test_a_cloud_at_work_on_a_server_is_not_asked_for_its_end(scene: Scene, busy: bool, deletes: int) -> None:
    scene.node(1, NodeState.DELETING, lock=Side.OURS)
    scene.server(1, status="other", deleting=True, busy=busy)
    assert len(scene.does(DeleteServer)) == deletes


def test_what_comes_back_takes_room_and_does_not_make_a_request_hopeless(scene: Scene) -> None:
    scene.cloud(limits=instances(2))
    scene.request(1, "small", "small")
    scene.more["away"] = {"acme": instances(1)}
    assert not scene.does(Claim, Decline)
    scene.more["away"] = {}
    assert scene.one(Claim)
    scene.more["foreign_use"] = {"acme": instances(1)}
    assert scene.one(Decline)


def test_a_cloud_that_is_dear_to_list_is_listed_more_rarely(scene: Scene) -> None:
    scene.building(1)
    scene.cloud(list_every=5.0)
    scene.now = NOW + 4.9
    assert not scene.does(ListServers)
    scene.now = NOW + 5
    assert scene.one(ListServers)


def test_machines_that_need_somebody_are_told_of(scene: Scene) -> None:
    scene.cloud(trouble="machine-1 is clean failed")
    assert scene.plan().alarms == {"acme": "machine-1 is clean failed"}


def test_foreign_machines_are_told_from_those_that_come_back() -> None:
    facts = CloudFacts("i1")  # type: ignore[arg-type]
    servers = (
        Server(id="theirs", name="", status=ServerStatus.OTHER),  # type: ignore[arg-type]
        Server(id="cleaned", name="", status=ServerStatus.OTHER, returning=True),  # type: ignore[arg-type]
    )
    facts.listed("acme", Listing(servers=servers, asked=NOW, full=True), set(), set())  # type: ignore[arg-type]
    assert (facts.foreign_use["acme"], facts.away["acme"]) == (ONE_INSTANCE, ONE_INSTANCE)  # type: ignore[index]
    facts.listed("acme", Listing(servers=(), asked=NOW, full=True), set(), set())  # type: ignore[arg-type]
    assert facts.away["acme"] == Resources({}) == NONE  # type: ignore[index]
