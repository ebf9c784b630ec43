"""What a tenant may have."""

from __future__ import annotations

from nodepool_ng.model.action import (
    HandOut,
)
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from tests.unit.plan.support import Scene, instances, served


def test_a_tenant_does_not_get_more_than_its_limit_not_even_in_one_pass(scene: Scene) -> None:
    scene.tenants["t"] = Resources({"cores": 3})
    scene.node(1, NodeState.HOLD, at="zeta/main", tenant_name="t")
    scene.node(2)
    scene.request(1, "small", tenant_name="t")
    scene.request(2, "small", tenant_name="t")
    waits = scene.request(3, "small", tenant_name="t")
    scene.request(4, "small", tenant_name="other")
    assert served(scene) == ["1", "2", "4"]
    assert scene.why(waits) == ["tenant-limit"]


def test_what_is_in_flight_for_a_tenant_is_counted(scene: Scene) -> None:
    scene.tenants["t"] = Resources({"instances": 2})
    scene.node(1)
    scene.request(1, "small", tenant_name="t")
    scene.fly(scene.one(HandOut))
    scene.request(2, "small", tenant_name="t")
    scene.request(3, "small", tenant_name="t")
    assert served(scene) == ["2"]


def test_a_tenant_at_its_limit_reserves_nothing_and_evicts_nobody(scene: Scene) -> None:
    scene.tenants["t"] = Resources({"instances": 0})
    scene.provider("acme", quota=instances(1))
    scene.request(1, "small", tenant_name="t")
    scene.request(2, "small")
    assert served(scene) == ["2"]
