"""Launchers as processes with simulated machines: pools of deployed machines, and failures of all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nodepool_ng.demo.scheduler import Scheduler
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.sim.client import RegionClient
from tests.support.daemons import Site, wait_for

pytestmark = [
    pytest.mark.zookeeper,
    pytest.mark.daemons,
    # The SDK warns of its own use of what it is about to remove.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

NODE = "nodepool_node_id"
URL = {"image-url": "http://images.example/a.qcow2", "checksum": "ab" * 32}


def start_hall(place: Site, count: int = 4, **bare_metal: object) -> RegionClient:
    """Start a cloud of machines that deploy in a second."""
    times = {"allocate": 0.1, "deploy": 1, "undeploy": 0.3, "clean": 0.5, **bare_metal}
    machines = [
        {"name": "plain", "count": count, "resource_class": "small"},
        {"name": "gold", "count": 1, "resource_class": "small", "traits": ["CUSTOM_GOLD"]},
    ]
    region = {"bare_metal": times, "machines": machines, "networks": [{"name": "rack", "cidrs": ["198.18.0.0/16"]}]}
    return place.start_clouds(clouds={"hall": {"regions": {"north": region}}}).region("hall", "north")


def configure(place: Site, *, min_ready: int = 2, **more: object) -> None:
    label = {"name": "metal", "cloud-image": "fixed"}
    gold = {"name": "gold", "cloud-image": "fixed", "traits": ["CUSTOM_GOLD"], "networks": ["rack"]}
    pools = [
        {"name": "main", "resource-class": "small", "host-key-checking": False, "labels": [label]},
        {"name": "special", "resource-class": "small", "host-key-checking": False, "labels": [gold]},
    ]
    metal = {
        "name": "hall",
        "driver": "ironic",
        "cloud": "hall",
        "region-name": "north",
        "launch-timeout": 60,
        "list-interval": 1,
        "cleanup-interval": 2,
        "cloud-images": [{"name": "fixed", "username": "zuul", **URL}],
        "pools": pools,
        **more,
    }
    place.configure(labels=[{"name": "metal", "min-ready": min_ready}, {"name": "gold"}], providers=[metal])


def launched(place: Site) -> Scheduler:
    """Start a launcher; return a scheduler that has somebody to ask."""
    place.launcher()
    wait_for(lambda: "Launcher of installation" in place.logs(), "the launcher runs")
    return place.scheduler()


def deployed(region: RegionClient) -> list[Mapping[str, Any]]:
    return [machine for machine in region.state().machines if machine["provision_state"] == "active"]


def idle(region: RegionClient) -> bool:
    """Tell whether every machine is available and nobody's, with nothing of ours left on it."""
    state = region.state()
    machines = all(
        one["provision_state"] == "available" and one["instance_uuid"] is None and "nodepool_ng" not in one["extra"]
        for one in state.machines
    )
    return machines and not state.allocations and not state.ports


def test_machines_are_deployed_used_held_and_cleaned(place: Site) -> None:
    region = start_hall(place)
    foreign = dict(region.change_machine("plain-0", state="active", instance="theirs", power="power on"))
    configure(place)
    launcher = place.launcher()
    wait_for(lambda: place.ready(2), "two machines are deployed")
    zuul = place.scheduler()
    (first,) = zuul.take(zuul.wait(zuul.ask(["metal"]), 20))
    assert first.node.interface_ip.startswith("plain-") or first.node.interface_ip == "gold-0"
    assert first.node.username == "zuul"
    used = zuul.use(first)
    zuul.hold(used, "a-job", "to look at")
    wait_for(lambda: place.ready(2), "the pool is full again")
    held = place.nodes()[first.node.id]
    assert held.state is NodeState.HOLD
    assert held.external_id in {machine["instance_uuid"] for machine in deployed(region)}
    more = zuul.take(zuul.wait(zuul.ask(["metal"]), 20))
    for each in more:
        zuul.give_back(zuul.use(each))
    wait_for(lambda: not {each.node.id for each in more} & set(place.nodes()), "what was used goes")
    assert held.external_id in {machine["instance_uuid"] for machine in deployed(region)}
    now = next(machine for machine in region.state().machines if machine["name"] == "plain-0")
    assert {key: now[key] for key in foreign} == foreign
    assert launcher.stop() == 0
    assert "Traceback" not in place.logs()


def test_a_machine_with_a_trait_and_a_port_and_nothing_is_left_behind(place: Site) -> None:
    region = start_hall(place)
    configure(place, min_ready=0)
    zuul = launched(place)
    (gold,) = zuul.take(zuul.wait(zuul.ask(["gold"]), 30))
    (machine,) = deployed(region)
    assert (machine["name"], len(machine["vifs"])) == ("gold-0", 1)
    assert gold.node.interface_ip.startswith("198.18.")
    zuul.give_back(zuul.use(gold))
    wait_for(lambda: not place.nodes() and idle(region), "all is as it was")
    assert "Traceback" not in place.logs()


def test_a_full_hall_makes_requests_wait_and_not_fail(place: Site) -> None:
    region = start_hall(place, count=1)
    configure(place, min_ready=0)
    zuul = launched(place)
    first = zuul.ask(["metal", "metal"])
    lent = zuul.take(zuul.wait(first, 30))
    second = zuul.ask(["metal"])
    for each in lent:
        zuul.give_back(zuul.use(each))
    (again,) = zuul.take(zuul.wait(second, 30))
    zuul.give_back(zuul.use(again))
    wait_for(lambda: not place.nodes() and idle(region), "all is as it was")
    assert region.counters().refusals.get("allocation.create 409", 0) == 0
    assert "Traceback" not in place.logs()


def test_leaks_go_and_allocations_of_others_stay(place: Site) -> None:
    region = start_hall(place)
    configure(place)
    launcher = place.launcher()
    wait_for(lambda: place.ready(2), "two machines are deployed")
    mine = region.state().allocations[0]
    token_free = dict(mine["extra"])
    leak = plant(place, "leak", {**token_free, NODE: "0000009999", "nodepool_ng_attempt_id": "gone"})
    other = plant(place, "other", {**token_free, NODE: "0000009999", "nodepool_ng_installation_id": "another"})
    bare = plant(place, "bare", {})
    launcher.kill()
    place.launcher("-second")
    wait_for(lambda: leak not in ids(region), "the leak is gone", 100)
    assert {other, bare} <= ids(region)
    assert {mine["uuid"]} <= ids(region)


def ids(region: RegionClient) -> set[str]:
    return {allocation["uuid"] for allocation in region.state().allocations}


def plant(place: Site, name: str, extra: Mapping[str, object]) -> str:
    """Make an allocation as somebody else would, through the SDK."""
    import openstack

    region = openstack.config.OpenStackConfig(config_files=[str(place.clouds_yaml)]).get_one(
        cloud="hall", region_name="north"
    )
    connection = openstack.connection.Connection(config=region)
    try:
        made = connection.baremetal.create_allocation(name=name, resource_class="small", extra=dict(extra))
        return str(made.id)
    finally:
        connection.close()


def test_deployments_that_fail_are_tried_again_and_told_of(place: Site) -> None:
    region = start_hall(place)
    region.fault(call="machine.deploy", fate="error", times=2)
    configure(place, min_ready=0)
    zuul = launched(place)
    (node,) = zuul.take(zuul.wait(zuul.ask(["metal"]), 40))
    assert len(deployed(region)) == 1
    log = place.logs()
    assert log.count("whose boot failed") == 2
    assert "deploying ERROR: Deploy step deploy.deploy failed" in log
    zuul.give_back(zuul.use(node))
    wait_for(lambda: not place.nodes() and idle(region), "all is as it was")


def test_a_machine_that_does_not_clean_is_put_to_work_again(place: Site) -> None:
    region = start_hall(place)
    region.fault(call="machine.undeploy", fate="unclean", times=1)
    configure(place, min_ready=0)
    zuul = launched(place)
    (node,) = zuul.take(zuul.wait(zuul.ask(["metal"]), 30))
    zuul.give_back(zuul.use(node))
    wait_for(lambda: not place.nodes() and idle(region), "the machine works again")
    assert "put 1 machines to work again" in place.logs()


CALLS = ["allocation.create", "port.create", "vif.list", "vif.attach", "machine.update", "machine.deploy"]
"""What a create is made of, in this order."""


@pytest.mark.parametrize("call", CALLS)
def test_a_launcher_that_is_killed_between_two_calls_of_a_create(place: Site, call: str) -> None:
    """One call has its effect and takes its time to answer; its launcher dies before the answer comes."""
    region = start_hall(place)
    configure(place, min_ready=0)
    first = place.launcher("-first")
    wait_for(lambda: region.counters().calls.get("machine.list", 0) > 0, "the launcher looks")
    zuul = place.scheduler()
    slow = "machine.provision" if call == "machine.deploy" else call
    region.fault(call=slow, fate="slow", seconds=4.0, times=1)
    asked = zuul.ask(["gold"])
    wait_for(lambda: region.counters().calls.get(call, 0) > 0, f"{call} had its effect")
    first.kill()
    place.launcher("-second")
    (node,) = zuul.take(zuul.wait(asked, 60))
    (machine,) = deployed(region)
    assert (machine["deployments"], len(machine["vifs"])) == (1, 1)
    assert machine["instance_uuid"] == place.nodes()[node.node.id].external_id
    assert len(region.state().ports) == len(region.state().allocations) == 1
    zuul.give_back(zuul.use(node))
    wait_for(lambda: not place.nodes() and idle(region), "nothing is left behind")
    assert "Traceback" not in place.logs("nodepool-launcher-second")
