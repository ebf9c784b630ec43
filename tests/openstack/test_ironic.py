"""The product on the real Ironic, whose machines are of fake hardware: they deploy and clean, and there is no disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devstack.place import default_folder
from nodepool_ng.demo.scheduler import Scheduler
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import parse
from nodepool_ng.sim.http.serve import running as running_sim
from tests.support.daemons import Site, site, wait_for
from tests.support.machine_talk import Talk, converse
from tests.support.real_cloud import MARKS, demand, missing, running
from tests.support.real_machines import RealMachines

pytestmark = [*MARKS]

URL = {"image-url": "http://images.example/a.qcow2", "checksum": "ab" * 32}
PATIENCE = 120.0  # seconds


@pytest.fixture(scope="session")
def hall() -> Iterator[RealMachines]:
    """Ironic, Neutron, Glance and what they need, for the whole run."""
    demand(missing())
    with running(default_folder(), only=("ironic", "neutron", "glance")) as cloud:
        yield RealMachines(cloud)


@pytest.fixture
def machines(hall: RealMachines) -> Iterator[RealMachines]:
    """The machines, all available before and after."""
    hall.clean()
    yield hall
    hall.clean()


@pytest.fixture
def place(
    tmp_path: Path, zookeeper: ZooKeeperSettings, machines: RealMachines, request: pytest.FixtureRequest
) -> Iterator[Site]:
    with site(tmp_path, zookeeper) as made:
        made.environment["OS_CLIENT_CONFIG_FILE"] = str(machines.cloud.place.clouds_yaml)
        yield made
        report = getattr(request.node, "outcome_of_call", None)
        if report is not None and report.failed:
            print(made.logs("nodepool")[-8000:])


def configure(
    place: Site,
    *,
    cloud: str = "admin-system",
    min_ready: int = 0,
    image: Mapping[str, str] = URL,
    **pool: object,
) -> None:
    fast = {"name": "fast", "cloud-image": "fixed", "traits": ["CUSTOM_FAST"]}
    pools = [
        {
            "name": name,
            "resource-class": "baremetal.small",
            "host-key-checking": False,
            "labels": labels,
            **pool,
        }
        for name, labels in {"main": [{"name": "metal", "cloud-image": "fixed"}], "special": [fast]}.items()
    ]
    metal = {
        "name": "hall",
        "driver": "ironic",
        "cloud": cloud,
        "launch-timeout": 300,
        "list-interval": 1,
        "cleanup-interval": 2,
        "cloud-images": [{"name": "fixed", "username": "zuul", **image}],
        "pools": pools,
    }
    place.configure(labels=[{"name": "metal", "min-ready": min_ready}, {"name": "fast"}], providers=[metal])


def launched(place: Site) -> Scheduler:
    place.launcher()
    wait_for(lambda: "Launcher of installation" in place.logs(), "the launcher runs")
    return place.scheduler()


def test_ten_machines_are_deployed_used_held_and_cleaned(place: Site, machines: RealMachines) -> None:
    """A stranger has one of them; a request for all the others makes use of every one that is left."""
    made = machines.ironic.create_allocation(name="somebody-elses", resource_class="baremetal.small")
    theirs = machines.ironic.wait_for_allocation(made)
    before = untouched(machines, theirs.node_id)
    configure(place, min_ready=3)
    zuul = launched(place)
    wait_for(lambda: any(each["extra"] for each in machines.allocations()), "a machine is allocated", PATIENCE)
    leak = planted_leak(machines)
    wait_for(lambda: place.ready(3), "three machines are deployed", PATIENCE)
    # two full lists have to show it: there is one a minute, and another soon after the first that does
    wait_for(lambda: leak not in {each["uuid"] for each in machines.allocations()}, "the leak is gone", 2 * PATIENCE)
    lent = zuul.take(zuul.wait(zuul.ask(["metal"] * 9), PATIENCE))
    assert machines.count("active") == 9
    used = [zuul.use(each) for each in lent]
    waiting = zuul.ask(["fast"])
    zuul.hold(used[0], "a-job", "to look at")
    for each in used[1:]:
        zuul.give_back(each)
    zuul.give_back(zuul.use(*zuul.take(zuul.wait(waiting, PATIENCE))))
    kept = lent[0].node.id
    wait_for(lambda: place.ready(3), "the pool is full again", PATIENCE)
    assert place.nodes()[kept].state is NodeState.HOLD
    held = {node["instance_uuid"] for node in machines.all().values() if node["provision_state"] == "active"}
    assert place.nodes()[kept].external_id in held
    assert untouched(machines, theirs.node_id) == before
    assert theirs.id in {each["uuid"] for each in machines.allocations()}
    assert "Traceback" not in place.logs()


def planted_leak(machines: RealMachines) -> str:
    """Have an allocation that says it is of the installation, and of a node that there is not; return its id."""
    marks = next(each["extra"] for each in machines.allocations() if each["extra"])
    marks = {**marks, "nodepool_node_id": "0000009999", "nodepool_ng_attempt_id": "gone"}
    made = machines.ironic.create_allocation(name="a-leak", resource_class="baremetal.small", extra=marks)
    return str(made.id)


def untouched(machines: RealMachines, uuid: str) -> dict[str, Any]:
    """Return all of a machine that nobody but its user should change."""
    (node,) = [node for node in machines.all().values() if node["uuid"] == uuid]
    return {key: node[key] for key in ("provision_state", "instance_uuid", "instance_info", "extra", "maintenance")}


def test_ironic_dies_while_it_deploys_undeploys_and_cleans(place: Site, machines: RealMachines) -> None:
    """What was under way has failed when Ironic is back. Deployments are tried again, machines put to work again."""
    configure(place)
    zuul = launched(place)
    asked = zuul.ask(["metal"] * 3)
    wait_for(lambda: machines.count("deploying") > 0, "machines deploy", PATIENCE)
    machines.cloud.kill("ironic")
    machines.cloud.start("ironic")
    lent = zuul.take(zuul.wait(asked, PATIENCE))
    assert len({each.node.id for each in lent}) == 3
    for each in lent:
        zuul.give_back(zuul.use(each))
    for state in ("deleting", "cleaning"):
        wait_for(lambda state=state: machines.count(state) > 0, f"machines are {state}", PATIENCE)  # type: ignore[misc]
        machines.cloud.kill("ironic")
        machines.cloud.start("ironic")
    wait_for(lambda: not place.nodes() and machines.idle(), "everything is as it was", 2 * PATIENCE)
    assert "Traceback" not in place.logs()


def test_a_launcher_that_dies_leaves_nothing_half_done(place: Site, machines: RealMachines) -> None:
    configure(place)
    first = place.launcher("-first")
    wait_for(lambda: "Launcher of installation" in place.logs(), "the launcher runs")
    zuul = place.scheduler()
    asked = [zuul.ask(["metal"]) for _ in range(4)]
    wait_for(lambda: len(machines.allocations()) > 1, "machines are allocated", PATIENCE)
    first.kill()
    place.launcher("-second")
    lent = [each for request in asked for each in zuul.take(zuul.wait(request, PATIENCE))]
    assert machines.count("active") == len(machines.allocations()) == len(lent) == 4
    for each in lent:
        zuul.give_back(zuul.use(each))
    wait_for(lambda: not place.nodes() and machines.idle(), "everything is as it was", PATIENCE)


def test_a_project_uses_the_machines_that_it_owns_and_no_others(place: Site, machines: RealMachines) -> None:
    """With an image of Glance, and a port of Neutron for each, which Ironic plugs into the machine: its machines are
    nobody's business but its own."""
    project, network = machines.cloud.project, machines.cloud.ci.network
    mine = sorted(machines.all())[:2]
    for name in mine:
        machines.ironic.update_node(name, owner=project, network_interface="flat")
    golden = machines.cloud.image("golden")
    theirs = network.create_port(network_id=network.find_network("private").id, name="not-ours")
    try:
        configure(place, cloud="ci", owner=project, networks=["private"], image={"image-name": "golden"})
        zuul = launched(place)
        lent = zuul.take(zuul.wait(zuul.ask(["metal"] * 2), PATIENCE))
        deployed = {name: node for name, node in machines.all().items() if node["provision_state"] == "active"}
        assert set(deployed) == set(mine)
        assert {node["instance_info"]["image_source"] for node in deployed.values()} == {golden}
        active = {name: node["uuid"] for name, node in deployed.items()}
        ports = {port.id: port for port in machines.cloud.admin.network.ports(project_id=project)}
        assert len(ports) == 3
        plugged = {name: [ports[vif] for vif in machines.vifs(uuid)] for name, uuid in active.items()}
        for name, (port,) in plugged.items():
            assert port.mac_address in machines.addresses(active[name]), "Neutron knows the machine's own address"
            assert port.binding_host_id == active[name]
        addresses = {fixed["ip_address"] for (port,) in plugged.values() for fixed in port.fixed_ips}
        assert {each.node.interface_ip for each in lent} == addresses
        for each in lent:
            zuul.give_back(zuul.use(each))
        wait_for(lambda: not place.nodes() and machines.idle(), "everything is as it was", PATIENCE)
        assert not any(machines.vifs(uuid) for uuid in active.values())
        wait_for(
            lambda: [port.id for port in network.ports(project_id=project)] == [theirs.id],
            "only the port that is not ours is left",
            PATIENCE,
        )
        assert "Traceback" not in place.logs()
    finally:
        network.delete_port(theirs)
        machines.cloud.ci.image.delete_image(golden)
        machines.clean()
        for name in mine:
            undone = [
                {"op": "remove", "path": "/owner"},
                {"op": "replace", "path": "/network_interface", "value": "noop"},
            ]
            machines.ironic.patch(f"/nodes/{name}", json=undone, microversion="1.78")


def test_simulated_machines_answer_as_real_ones_do(
    machines: RealMachines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(machines.cloud.place.clouds_yaml))
    with Talk("admin-system") as talk:
        real = converse(talk)
    settings = parse("clouds: {hall: {regions: {north: {bare_metal: {deploy: 1, undeploy: 0.1, clean: 0.1}}}}}")
    with running_sim(settings) as sim:
        (tmp_path / "clouds.yaml").write_text(clouds_yaml(settings, sim.url))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
        with Talk("hall", "north") as talk:
            simulated = converse(talk)
    assert [step for step, *_ in simulated] == [step for step, *_ in real]
    lies = [f"{lie}\n    is {truth[1:]}" for lie, truth in zip(simulated, real, strict=True) if lie != truth]
    assert not lies, "\n".join(lies)
