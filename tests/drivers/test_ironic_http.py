"""The Ironic driver against simulated machines, over HTTP and through the unmodified openstacksdk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from nodepool_ng.drivers import Marks, Misconfigured, NoCapacity, Refused, ServerOrder, Unavailable
from nodepool_ng.drivers.ironic.driver import Ironic
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.server import Server, ServerStatus
from nodepool_ng.model.settings import CloudImage, ImageSource, Machine, Pool, PoolLabel, Provider
from nodepool_ng.sim.client import RegionClient
from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import parse
from nodepool_ng.sim.http.serve import Running, running

# The SDK warns of its own use of what it is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

CLOUDS = """\
clouds:
  hall:
    regions:
      north:
        page: 2
        bare_metal: {allocate: 0.01, deploy: 0.05, undeploy: 0.05, clean: 0.05}
        networks: [{name: rack, cidrs: [198.18.0.0/16]}]
        machines:
          - {name: plain, count: 2, resource_class: small, extra: {address: 192.0.2.7}}
          - {name: gold, count: 1, resource_class: small, traits: [CUSTOM_GOLD], owner: "ours"}
          - {name: big, count: 1, resource_class: large}
      old:
        bare_metal: {newest: "1.50"}
"""
SOURCE = ImageSource(url="http://images.example/a.qcow2", checksum="ab" * 32)
SMALL = Machine(resource_class="small", address="extra.address", public_keys=("ssh-ed25519 AAAA me",))
GOLD = replace(SMALL, traits=frozenset({"CUSTOM_GOLD"}))
LABELS = {
    "small": PoolLabel(name="small", cloud_image="url", machine=SMALL, userdata="#cloud-config"),
    "gold": PoolLabel(name="gold", cloud_image="base", machine=GOLD),
    "owned": PoolLabel(name="owned", cloud_image="base", machine=replace(SMALL, owner="ours")),
    "plugged": PoolLabel(name="plugged", cloud_image="base", machine=SMALL, networks=("rack",)),
}
POOL = Pool(name="main", provider="hall", labels=LABELS)
PROVIDER = Provider(
    name="hall",
    driver="ironic",
    cloud="hall",
    region_name="north",
    machine_retries=2,
    pools={"main": POOL},
    cloud_images={"url": CloudImage(name="url", source=SOURCE), "base": CloudImage(name="base")},
)


def order(label: str = "small", attempt: str = "a1", node: str = "0000000001", installation: str = "i1") -> ServerOrder:
    return ServerOrder(
        name=f"np{node}",
        marks=Marks(provider="hall", installation=installation, node=node, pool="main", attempt=attempt),
        pool=POOL,
        label=LABELS[label],
        image=None,
        config_drive=None,
        zone=None,
        properties={"job": "a"},
    )


@pytest.fixture
def sim(tmp_path, monkeypatch) -> Iterator[Running]:
    settings = parse(CLOUDS)
    with running(settings) as run:
        (tmp_path / "clouds.yaml").write_text(clouds_yaml(settings, run.url))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
        yield run


@pytest.fixture
def hall(sim: Running) -> Iterator[Ironic]:
    yield from connected(PROVIDER)


def connected(provider: Provider) -> Iterator[Ironic]:
    driver = make(provider)
    assert isinstance(driver, Ironic)
    driver.connect()
    yield driver
    driver.close()


@pytest.fixture
def region(sim: Running) -> RegionClient:
    return sim.client.region("hall", "north")


def seen(driver: Ironic, server: str) -> Server | None:
    return next((one for one in driver.list_servers(None, time.time()).servers if one.id == server), None)


def until(driver: Ironic, server: str, holds: Callable[[Server | None], bool]) -> Server | None:
    deadline = time.monotonic() + 5
    while True:
        found = seen(driver, server)
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def is_(status: ServerStatus, *, step: bool = False) -> Callable[[Server | None], bool]:
    return lambda found: found is not None and found.status is status and found.step is step


def gone(found: Server | None) -> bool:
    return found is None


def machine_of(region: RegionClient, server: Server | None) -> Any:
    assert server is not None
    return next(one for one in region.state().machines if one["uuid"] == server.host_id)


def deployed(driver: Ironic, wanted: ServerOrder) -> Server:
    server = driver.create_server(wanted)
    until(driver, server, is_(ServerStatus.BUILDING, step=True))
    driver.advance(server, wanted)
    found = until(driver, server, is_(ServerStatus.ACTIVE))
    assert found is not None
    return found


def test_a_machine_is_allocated_deployed_used_and_cleaned(hall: Ironic, region: RegionClient) -> None:
    hall.capacity(time.time())
    active = deployed(hall, order())
    assert (active.node, active.attempt, active.installation, active.provider) == ("0000000001", "a1", "i1", "hall")
    assert active.addresses.interface_ip in ("192.0.2.7", "")
    assert active.created is not None
    machine = machine_of(region, active)
    told = machine["instance_info"]
    assert (told["image_source"], told["image_os_hash_algo"]) == (SOURCE.url, "sha256")
    assert told["nodepool_ng"]["nodepool_node_id"] == "0000000001"
    drive = machine["drive"]
    assert drive["user_data"] == "#cloud-config"
    assert drive["meta_data"]["public_keys"] == {"key-0": "ssh-ed25519 AAAA me"}
    assert drive["meta_data"]["hostname"] == "np0000000001"
    assert drive["meta_data"]["meta"]["job"] == "a"
    hall.delete_server(active.id)
    until(hall, active.id, gone)
    left = next(one for one in region.state().machines if one["uuid"] == active.host_id)
    assert left["provision_state"] in ("cleaning", "available")
    assert not region.state().allocations
    hall.delete_server(active.id)


def test_an_attempt_makes_one_allocation_however_often_it_is_asked_for(hall: Ironic, region: RegionClient) -> None:
    first = hall.create_server(order())
    assert hall.create_server(order()) == first
    assert len(region.state().allocations) == 1
    assert hall.create_server(order(attempt="a2")) != first


def test_steps_that_are_repeated_change_nothing(hall: Ironic, region: RegionClient) -> None:
    wanted = order("plugged")
    server = hall.create_server(wanted)
    until(hall, server, is_(ServerStatus.BUILDING, step=True))
    region.fault(call="machine.update", fate="answer-lost", times=1)
    with pytest.raises(Unavailable):
        hall.advance(server, wanted)
    region.fault(call="machine.deploy", fate="answer-lost", times=1)
    with pytest.raises(Unavailable):
        hall.advance(server, wanted)
    hall.advance(server, wanted)
    active = until(hall, server, is_(ServerStatus.ACTIVE))
    hall.advance(server, wanted)
    machine = machine_of(region, active)
    assert (machine["deployments"], len(machine["vifs"]), len(region.state().ports)) == (1, 1, 1)
    assert active is not None
    assert active.addresses.interface_ip.startswith("198.18.")
    hall.delete_server(server)
    until(hall, server, gone)
    swept = hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False)
    assert (swept.ports, region.state().ports) == (1, ())


def test_a_machine_that_was_only_allocated_is_given_back_as_it_was(hall: Ironic, region: RegionClient) -> None:
    wanted = order("plugged")
    server = hall.create_server(wanted)
    until(hall, server, is_(ServerStatus.BUILDING, step=True))
    region.fault(call="machine.deploy", fate="refused", times=1, status=503)
    with pytest.raises(Unavailable):
        hall.advance(server, wanted)
    hall.delete_server(server)
    assert seen(hall, server) is None
    assert all(one["vifs"] == [] and one["instance_info"] == {} for one in region.state().machines)
    assert region.state().ports == ()


def test_kinds_of_machines_are_counted_each(hall: Ironic) -> None:
    found = hall.capacity(time.time())
    assert found.limits.amounts == {
        "instances": 3,
        "machines small": 3,
        "machines small+CUSTOM_GOLD": 1,
        "machines small of ours": 1,
    }
    needs = {label: facts.needs.amounts for label, facts in found.labels.items()}
    assert needs["small"] == {"instances": 1, "machines small": 1}
    assert needs["gold"] == {"instances": 1, "machines small": 1, "machines small+CUSTOM_GOLD": 1}
    assert found.labels["gold"].broken is None


def test_an_allocation_too_many_says_that_there_is_no_room(hall: Ironic) -> None:
    hall.create_server(order("gold"))
    second = hall.create_server(order("gold", attempt="a2"))
    failed = until(hall, second, is_(ServerStatus.FAILED))
    assert failed is not None
    assert failed.no_capacity
    hall.delete_server(second)
    assert seen(hall, second) is None


def test_only_an_owners_machines_are_candidates(hall: Ironic, region: RegionClient) -> None:
    hall.list_servers(None, time.time())
    machine = machine_of(region, deployed(hall, order("owned")))
    assert machine["name"] == "gold-0"
    hall.list_servers(None, time.time())
    with pytest.raises(NoCapacity, match="owned by ours is available"):
        hall.create_server(order("owned", attempt="a2"))


def test_what_others_have_takes_room_and_is_never_touched(hall: Ironic, region: RegionClient) -> None:
    hall.capacity(time.time())
    before = dict(region.change_machine("plain-0", state="active", instance="theirs", power="power on"))
    region.change_machine("plain-1", state="cleaning")
    listed = {one.name: one for one in hall.list_servers(None, time.time()).servers}
    assert set(listed) == {"plain-0", "plain-1"}
    assert all(one.node is None and one.provider is None for one in listed.values())
    assert (listed["plain-0"].returning, listed["plain-1"].returning) == (False, True)
    assert listed["plain-0"].resources.amounts == {"instances": 1, "machines small": 1}
    hall.delete_server("theirs-but-not-quite")
    hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False)
    after = next(one for one in region.state().machines if one["name"] == "plain-0")
    assert {key: after[key] for key in before} == before


def test_a_machine_of_two_kinds_is_missing_from_both(hall: Ironic, region: RegionClient) -> None:
    hall.capacity(time.time())
    for name in ("plain-0", "plain-1"):
        region.change_machine(name, maintenance=True)
    active = deployed(hall, order("small"))
    more = seen(hall, f"{active.host_id}/more")
    assert more is not None
    assert (more.returning, more.resources.amounts) == (
        True,
        {"machines small+CUSTOM_GOLD": 1, "machines small of ours": 1},
    )


def test_a_deployment_that_fails_tells_why(hall: Ironic, region: RegionClient) -> None:
    region.fault(call="machine.deploy", fate="error", times=1)
    server = hall.create_server(order())
    until(hall, server, is_(ServerStatus.BUILDING, step=True))
    hall.advance(server, order())
    failed = until(hall, server, is_(ServerStatus.FAILED))
    assert failed is not None
    assert "deploy failed" in (failed.fault or "")
    region.change_machine(str(failed.host_id), console=7001)
    told = hall.console(server)
    assert "console: tcp://192.0.2.1:7001" in told
    assert "power: power off" in told
    assert "deploying ERROR: Deploy step" in told
    hall.delete_server(server)
    until(hall, server, gone)


def test_a_machine_that_fails_again_and_again_gets_nothing_more(hall: Ironic, region: RegionClient) -> None:
    hall.capacity(time.time())
    for name in ("plain-0", "gold-0"):
        region.change_machine(name, maintenance=True)
    region.fault(call="machine.deploy", fate="error", times=2)
    for attempt in ("a1", "a2"):
        wanted = order(attempt=attempt)
        server = hall.create_server(wanted)
        until(hall, server, is_(ServerStatus.BUILDING, step=True))
        hall.advance(server, wanted)
        failed = until(hall, server, is_(ServerStatus.FAILED))
        hall.delete_server(server)
        until(hall, server, gone)
        until(hall, failed.host_id or "" if failed else "", lambda found: found is None or not found.returning)
    assert "plain-1 failed 2 times in a row" in hall.capacity(time.time()).trouble
    with pytest.raises(NoCapacity):
        hall.create_server(order(attempt="a3"))
    region.change_machine("plain-1", maintenance=True)
    hall.list_servers(None, time.time())
    region.change_machine("plain-1", maintenance=False)
    deployed(hall, order(attempt="a4"))
    assert hall.capacity(time.time()).trouble == ""


def test_what_failed_to_clean_is_put_to_work_again_and_then_left_to_an_operator(
    hall: Ironic, region: RegionClient
) -> None:
    active = deployed(hall, order())
    region.fault(call="machine.undeploy", fate="unclean", times=1)
    region.fault(call="machine.provide", fate="error", times=2)

    def state() -> tuple[str, bool]:
        machine = machine_of(region, active)
        return machine["provision_state"], machine["maintenance"]

    hall.delete_server(active.id)
    for _ in range(2):
        wait_until(lambda: state() == ("clean failed", True))
        assert hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False).machines == 1
    wait_until(lambda: state() == ("clean failed", True))
    assert hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False).machines == 0
    assert "clean failed" in hall.capacity(time.time()).trouble


def test_a_machine_put_to_work_again_loses_its_mark(hall: Ironic, region: RegionClient) -> None:
    active = deployed(hall, order())
    region.fault(call="machine.undeploy", fate="unclean", times=1)
    hall.delete_server(active.id)
    wait_until(lambda: machine_of(region, active)["provision_state"] == "clean failed")
    assert hall.sweep_network("another", frozenset(), ports=True, floating_ips=False).machines == 0
    assert hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False).machines == 1
    wait_until(lambda: machine_of(region, active)["provision_state"] == "available")
    assert "nodepool_ng" in machine_of(region, active)["extra"]
    hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False)
    assert "nodepool_ng" not in machine_of(region, active)["extra"]


def test_a_machine_that_ironic_forgot_while_undeploying_it_is_undeployed_once_more(
    hall: Ironic, region: RegionClient
) -> None:
    """Nothing but our mark tells then whose it was."""
    active = deployed(hall, order())
    hall.delete_server(active.id)
    wait_until(lambda: machine_of(region, active)["provision_state"] == "available")
    for _ in range(2):
        region.change_machine(str(active.host_id), state="error")
        assert hall.sweep_network("another", frozenset(), ports=True, floating_ips=False).machines == 0
        assert hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False).machines == 1
        wait_until(lambda: machine_of(region, active)["provision_state"] == "available")
    region.change_machine(str(active.host_id), state="error")
    assert hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False).machines == 0
    assert "error" in hall.capacity(time.time()).trouble


def test_an_operators_maintenance_is_respected(hall: Ironic, region: RegionClient) -> None:
    active = deployed(hall, order())
    region.fault(call="machine.undeploy", fate="unclean", times=1)
    hall.delete_server(active.id)
    wait_until(lambda: machine_of(region, active)["provision_state"] == "clean failed")
    region.change_machine(str(active.host_id), fault=None, maintenance_reason="a bad disk")
    assert hall.sweep_network("i1", frozenset(), ports=True, floating_ips=False).machines == 0
    assert "a bad disk" in hall.capacity(time.time()).trouble
    server = hall.create_server(order(attempt="a2"))
    building = until(hall, server, is_(ServerStatus.BUILDING, step=True))
    region.change_machine(str(building.host_id if building else ""), maintenance=True)
    failed = until(hall, server, is_(ServerStatus.FAILED))
    assert failed is not None
    assert "in maintenance" in (failed.fault or "")
    with pytest.raises(Refused, match="maintenance"):
        hall.advance(server, order(attempt="a2"))
    hall.delete_server(server)
    assert seen(hall, server) is None


def test_while_ironic_is_busy_with_a_machine_it_is_not_asked(hall: Ironic, region: RegionClient) -> None:
    region.fault(call="machine.deploy", fate="stuck", times=1)
    server = hall.create_server(order())
    until(hall, server, is_(ServerStatus.BUILDING, step=True))
    hall.advance(server, order())
    busy = until(hall, server, is_(ServerStatus.BUILDING))
    assert busy is not None
    assert busy.busy
    with pytest.raises(Unavailable, match="busy"):
        hall.delete_server(server)


def test_a_deployment_whose_allocation_was_deleted_is_known_by_its_machine(hall: Ironic, region: RegionClient) -> None:
    active = deployed(hall, order())
    region.change_machine(str(active.host_id), instance=None, allocation=None)
    state = hall._door.call("baremetal", "PUT", f"/nodes/{active.host_id}/maintenance", json={})
    assert state.status == 202
    hall._door.call("baremetal", "DELETE", f"/allocations/{active.id}")
    found = seen(hall, active.id)
    assert found is not None
    assert (found.node, found.installation) == ("0000000001", "i1")
    hall.delete_server(active.id)
    until(hall, active.id, gone)


def test_an_old_ironic_is_spoken_to_as_far_as_it_goes(sim: Running) -> None:
    sim.client.region("hall", "north").change(bare_metal={"newest": "1.62"})
    (driver,) = list(connected(PROVIDER))
    driver.connect()
    assert driver._door.microversion() == (1, 61)
    deployed(driver, order())
    driver.close()
    with pytest.raises(Misconfigured, match="no version"):
        list(connected(replace(PROVIDER, region_name="old")))


def test_labels_that_cannot_be_had_say_why(sim: Running) -> None:
    labels = {
        "none": replace(LABELS["small"], name="none", machine=Machine(resource_class="huge")),
        "net": replace(LABELS["small"], name="net", networks=("nowhere",)),
        "image": replace(LABELS["gold"], name="image", cloud_image="missing"),
    }
    images = {**PROVIDER.cloud_images, "missing": CloudImage(name="missing")}
    provider = replace(PROVIDER, pools={"main": replace(POOL, labels=labels)}, cloud_images=images)
    for driver in connected(provider):
        broken = {name: facts.broken for name, facts in driver.capacity(time.time()).labels.items()}
    assert broken == {
        "none": "the cloud has no machine of the resource class huge",
        "net": "the cloud has no network 'nowhere'",
        "image": "the cloud has no active image 'missing'",
    }


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
