"""The cloud's side: addresses, what is left behind, consoles, deletes that are not carried out, orders to stop."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from nodepool_ng.drivers import MARK_ATTEMPT, MARK_INSTALLATION, MARK_NODE, MARK_PROVIDER, Listing
from nodepool_ng.drivers.openstack.calls import Traits
from nodepool_ng.drivers.openstack.driver import OpenStack
from nodepool_ng.drivers.openstack.networks import Access
from nodepool_ng.drivers.openstack.volumes import loose
from nodepool_ng.launcher.clouds import CloudFacts
from nodepool_ng.model.action import (
    AttachAddress,
    CreateServer,
    DeleteServer,
    ForgetConfirmation,
    KeepConsole,
    RetryNode,
    SweepNetwork,
)
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import NO_ADDRESSES, Addresses, LabelFacts
from nodepool_ng.model.settings import PoolLabel
from nodepool_ng.model.snapshot import Addressing, AttemptState, Side
from nodepool_ng.sim.server import ServerAsk
from nodepool_ng.sim.virtual.world import CALLER, INSTALLATION
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Create, Delete
from tests.acceptance.shop import Shop, label, pool, provider, settings
from tests.unit.drivers.conftest import Talk
from tests.unit.plan.support import NOW, Scene, instances

INSIDE = Addresses(private_ipv4="10.0.0.4")


@pytest.mark.parametrize(
    ("wanted", "cloud", "fixed", "addresses", "does"),
    [
        (True, True, True, INSIDE, True),
        (True, True, True, replace(INSIDE, interface_ip="2001:db8::1", public_ipv6="2001:db8::1"), True),
        (True, True, True, replace(INSIDE, public_ipv4="192.0.2.7", interface_ip="192.0.2.7"), False),
        (True, True, False, NO_ADDRESSES, False),
        (True, False, True, INSIDE, False),
        (False, True, True, INSIDE, False),
    ],
    ids=["inside", "IPv6 only", "public", "no address yet", "cloud has none", "pool wants none"],
)
def test_a_server_that_nobody_can_reach_is_given_a_floating_ip_where_the_pool_allows_it(
    scene: Scene, wanted: bool, cloud: bool, fixed: bool, addresses: Addresses, does: bool
) -> None:
    scene.pool("acme/main", auto_floating_ip=wanted)
    scene.cloud(floating=cloud)
    scene.building(1)
    scene.server(1, addresses=addresses, fixed_ipv4=fixed)
    assert [action.server for action in scene.does(AttachAddress)] == (["server-1"] if does else [])  # type: ignore[union-attr]


def test_a_floating_ip_is_asked_for_again_until_it_shows(scene: Scene) -> None:
    scene.cloud(floating=True)
    node = scene.building(1, state_time=NOW)
    scene.server(1, addresses=INSIDE, fixed_ipv4=True)
    scene.more["addressing"] = {node.attempt: Addressing(until=NOW + 10)}
    assert not scene.does(AttachAddress)
    scene.now = NOW + 10
    assert scene.one(AttachAddress)
    scene.now = NOW + 3600
    assert scene.one(RetryNode)


def test_a_cloud_without_a_floating_ip_left_has_no_room(scene: Scene) -> None:
    scene.cloud(floating=True)
    scene.pending(1, "small")
    node = scene.building(1, allocated_to="100-0000000001", attempts=3)
    scene.server(1, addresses=INSIDE, fixed_ipv4=True)
    scene.more["addressing"] = {node.attempt: Addressing(until=NOW, no_room="Quota exceeded")}
    assert {type(action).__name__ for action in scene.does()} == {"RetireNode"}


FLOATING = ("GET", "/floatingips")
PORTS = ("GET", "/ports")


def test_only_floating_ips_of_ours_that_lead_nowhere_are_swept(talk: Talk) -> None:
    talk.answers[FLOATING] = {
        "floatingips": [
            {"id": "ours", "description": "nodepool_ng i1 server s1", "port_id": None},
            {"id": "in-use", "description": "nodepool_ng i1 server s2", "port_id": "p"},
            {"id": "another-installations", "description": "nodepool_ng i2 server s3", "port_id": None},
            {"id": "somebodys", "description": "", "port_id": None},
        ]
    }
    talk.answers["DELETE", "/floatingips/ours"] = 204
    driver = OpenStack(provider("acme"), talk)
    swept = driver.sweep_network("i1", frozenset({"s1"}), ports=False, floating_ips=True)  # type: ignore[arg-type]
    assert swept.floating_ips == 1
    assert talk.verbs() == [FLOATING, ("DELETE", "/floatingips/ours")]


def test_ports_of_ours_that_are_left_behind_go_and_nobody_elses_do(talk: Talk) -> None:
    def port(id: str, device: str, owner: str = "compute:nova", status: str = "DOWN") -> dict[str, str]:
        return {"id": id, "device_id": device, "device_owner": owner, "status": status}

    left = [port("ours", "gone"), port("up", "gone", status="ACTIVE"), port("router", "gone", "network:router")]
    talk.answers[PORTS] = {"ports": [*left, port("theirs", "theirs"), port("unbound", "", ""), port("listed", "there")]}
    talk.answers["DELETE", "/ports/ours"] = 204
    talk.answers["GET", "/servers/detail"] = {"servers": [{"id": "there", "name": "x", "status": "ACTIVE"}]}
    driver = OpenStack(provider("acme"), talk)
    driver.list_servers(None, 0.0)
    talk.asked.clear()
    swept = driver.sweep_network("i1", frozenset({"gone", "there"}), ports=True, floating_ips=False)  # type: ignore[arg-type]
    assert swept.ports == 1
    assert talk.verbs() == [PORTS, ("DELETE", "/ports/ours")]


DELETE_PORT, TAKE_PORT = ("DELETE", "/ports/left"), ("PUT", "/ports/left")
LEFT = {"id": "left", "device_id": "gone", "device_owner": "compute:nova", "status": "DOWN"}


def test_a_port_that_says_a_server_has_it_is_taken_away_from_that_server_first(talk: Talk) -> None:
    talk.answers[PORTS] = {"ports": [LEFT]}
    talk.answers[DELETE_PORT] = [403, 204]
    talk.answers[TAKE_PORT] = {"port": {"id": "left"}}
    driver = OpenStack(provider("acme"), talk)
    assert driver.sweep_network("i1", frozenset({"gone"}), ports=True, floating_ips=False).ports == 1  # type: ignore[arg-type]
    assert talk.verbs() == [PORTS, DELETE_PORT, TAKE_PORT, DELETE_PORT]
    assert talk.asked[2][2] == {"port": {"device_owner": ""}}


def test_a_port_that_we_may_not_delete_is_told_of_once(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    talk.answers[PORTS] = {"ports": [LEFT]}
    talk.answers[DELETE_PORT] = talk.answers[TAKE_PORT] = 403
    driver = OpenStack(provider("acme"), talk)
    for _ in range(2):
        assert driver.sweep_network("i1", frozenset({"gone"}), ports=True, floating_ips=False).ports == 0  # type: ignore[arg-type]
    (said,) = caplog.messages
    assert "Port left " in said
    assert "administrator" in said


VOLUMES = ("GET", "/volumes/detail")


def test_volumes_that_should_have_gone_with_a_server_of_ours_are_deleted_and_nobody_elses_are(talk: Talk) -> None:
    def server(id: str, volume: str, *, ours: bool = True, bound: bool = True) -> dict[str, Any]:
        attached = [{"id": volume, "delete_on_termination": bound}]
        marks = {MARK_INSTALLATION: "i1"} if ours else {}
        told = {"id": id, "name": id, "status": "ACTIVE", "metadata": marks}
        return {**told, "os-extended-volumes:volumes_attached": attached}

    def volume(id: str, status: str = "available", **more: Any) -> dict[str, Any]:
        return {"id": id, "status": status, "size": 9, "attachments": [], **more}

    gone = ("s1", "s2", "s3", "s4", "s5", "s6")
    servers = [server(id, f"of-{id}") for id in ("s1", "s2", "s3", "s7")]
    servers += [server("s4", "of-s4", ours=False), server("s5", "of-s5", bound=False), server("s6", "of-s6")]
    driver = OpenStack(provider("acme"), talk)
    talk.answers["GET", "/servers/detail"] = {"servers": servers}
    driver.list_servers(None, 0.0)
    talk.answers["GET", "/servers/detail"] = {"servers": [servers[3]]}
    driver.list_servers(None, 10.0)
    talk.answers[PORTS] = {"ports": []}
    talk.answers[VOLUMES] = {
        "volumes": [
            volume("of-s1"),
            volume("of-s2", "error_deleting"),
            volume("of-s3", "deleting"),
            volume("of-s4"),
            volume("of-s5"),
            volume("of-s6", "in-use", attachments=[{"id": "somewhere else"}]),
            volume("of-s7"),
            volume("somebodys"),
        ]
    }
    talk.answers["DELETE", "/volumes/of-s1"] = talk.answers["DELETE", "/volumes/of-s2"] = 202
    talk.asked.clear()
    swept = driver.sweep_network("i1", frozenset(gone), ports=True, floating_ips=False)  # type: ignore[arg-type]
    assert swept.volumes == 2
    assert talk.verbs() == [PORTS, VOLUMES, ("DELETE", "/volumes/of-s1"), ("DELETE", "/volumes/of-s2")]
    talk.answers[VOLUMES] = {"volumes": [volume("of-s2", "error_deleting"), volume("of-s3")]}
    talk.answers["DELETE", "/volumes/of-s3"] = 202
    assert driver.sweep_network("i1", frozenset(gone), ports=True, floating_ips=False).volumes == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("configured", "due"),
    [
        ({"port_cleanup_interval": 300}, (True, False, 300)),
        ({"port_cleanup_interval": 0}, None),
        ({"port_cleanup_interval": 0, "clean_floating_ips": True}, (False, True, 600)),
        ({"port_cleanup_interval": 60, "clean_floating_ips": True}, (True, True, 60)),
    ],
    ids=str,
)
def test_networks_are_swept_as_often_as_configured(
    scene: Scene, configured: dict[str, Any], due: tuple[bool, bool, float] | None
) -> None:
    scene.provider("acme", **configured)
    scene.cloud(network=True)
    if due is None:
        assert not scene.does(SweepNetwork)
        return
    action = scene.one(SweepNetwork)
    assert (action.ports, action.floating_ips) == due[:2]
    scene.more["swept"] = {"acme": NOW}
    scene.cloud(full_listed=NOW + 1e6, listed=NOW + 1e6, limits_read=NOW + 1e6)
    assert not scene.does(SweepNetwork)
    scene.now = NOW + due[2]
    assert scene.one(SweepNetwork)
    scene.cloud(network=False)
    assert not scene.does(SweepNetwork)


def test_pools_may_make_one_label_of_different_sizes(scene: Scene, talk: Talk) -> None:
    left, right = pool("left", label("a", flavor_name="small")), pool("right", label("a", flavor_name="large"))
    capacity = OpenStack(provider("acme", left, right), talk).capacity(0.0)
    assert capacity.pool_labels["left", "a"].needs.get("cores") == 1  # type: ignore[index]
    assert capacity.pool_labels["right", "a"].needs.get("cores") == 8  # type: ignore[index]
    assert capacity.labels["a"].needs.get("cores") == 8  # type: ignore[index]
    scene.cloud(pool_labels={("main", "small"): LabelFacts(needs=instances(7))})
    scene.provider("acme", quota=instances(6))
    scene.cloud(pool_labels={("main", "small"): LabelFacts(needs=instances(7))})
    scene.request(1, "small")
    assert scene.plan().actions[0].why.code.value == "never-fits"


def test_volumes_that_were_left_behind_use_quota(scene: Scene) -> None:
    old, young = "2026-01-01T00:00:00.000000", "2027-01-15T07:59:00.000000"
    now = 1_800_000_000.0
    volumes = [
        {"id": "1", "size": 50, "attachments": [], "created_at": old},
        {"id": "2", "size": 10, "attachments": [{"id": "x"}], "created_at": old},
        {"id": "3", "size": 20, "attachments": [], "created_at": young},
    ]
    assert loose(volumes, now) == Resources({"volumes": 1, "volume-gb": 50})  # type: ignore[arg-type]
    needs = Resources({"instances": 1, "volumes": 1, "volume-gb": 50})
    scene.provider("acme", quota=Resources({"instances": 9, "volumes": 2}))
    scene.cloud(labels={"small": LabelFacts(needs=needs)}, loose=Resources({"volumes": 2}))
    scene.request(1, "small")
    assert scene.plan().actions[0].why.code.value == "never-fits"
    scene.cloud(loose=Resources({"volumes": 1}))
    assert scene.plan().actions[0].why.code.value == "asked-for"


def test_the_console_is_read_once_for_each_attempt_that_failed(scene: Scene) -> None:
    place = settings(provider("north", pool("main", label("small", console_log=True)), launch_retries=2))
    shop = Shop(place, faults=[{"call": "server.create", "fate": "error"}])
    job = shop.ask("small")
    shop.run(60)
    assert job.failed
    assert shop.place.regions[ProviderName("north")].gate.calls["server.console"] == 2  # type: ignore[index]
    scene.pool("acme/main")
    told = PoolLabel(name="small", cloud_image="stock", console_log=True)  # type: ignore[arg-type]
    made = scene.providers["acme"].pools["main"]  # type: ignore[index]
    scene.providers["acme"] = replace(scene.providers["acme"], pools={"main": replace(made, labels={"small": told})})  # type: ignore[dict-item]
    node = scene.building(1)
    scene.server(1, "failed")
    assert scene.one(KeepConsole).server == "server-1"
    scene.more["consoles"] = {node.attempt}
    assert not scene.does(KeepConsole)
    assert scene.one(RetryNode)


def test_what_a_console_says_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    place = settings(provider("north", pool("main", label("small", console_log=True)), launch_retries=1))
    shop = Shop(place)
    shop.launcher.reconciler._runner._scanner = _Deaf()  # type: ignore[assignment]
    with caplog.at_level(logging.INFO, logger="nodepool.console"):
        job = shop.ask("small")
        shop.run(60)
    assert job.failed
    assert "login: booted in 5.0 s" in caplog.text


class _Deaf:
    """A scanner that nobody answers."""

    def scan(self, address: str, port: int, ssh: bool, deadline: float, done: Any) -> None:
        done("nobody answered")


def test_a_server_that_the_cloud_does_not_delete_is_told_counted_and_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = settings(
        provider("north", pool("main", "small", limits={"instances": 1})), labels={"small": {"min_ready": 1}}
    )
    shop = Shop(place)
    shop.change("north", faults=[{"call": "server.delete", "fate": "stuck"}])
    (node,) = shop.nodes()
    shop.rewrite(replace(node, state=NodeState.DELETING))
    with caplog.at_level(logging.ERROR, logger="nodepool.launcher"):
        shop.run(900)
    told = [record.getMessage() for record in caplog.records if "not deleted although" in record.getMessage()]
    assert len(told) == 1
    assert str(node.external_id) in told[0]
    assert [one.state for one in shop.nodes()] == [NodeState.DELETING]
    assert len(shop.servers()) == 1
    asked = shop.place.regions[ProviderName("north")].gate.calls["server.delete"]  # type: ignore[index]
    assert 6 <= asked <= 12
    shop.change("north", faults=[])
    shop.run(400)
    assert [one.state for one in shop.nodes()] == [NodeState.READY]
    shop.assert_at_rest()


def test_a_leak_that_the_cloud_does_not_delete_counts_as_used(scene: Scene) -> None:
    clouds = CloudFacts("this-installation")  # type: ignore[arg-type]
    server = scene.server(1)
    listing = Listing(servers=(server,), asked=NOW, full=True)
    clouds.listed(server.provider, listing, set(), set())  # type: ignore[arg-type]
    assert not clouds.foreign_use["acme"]  # type: ignore[index]
    for _ in range(6):
        clouds.deleted(server.id, NOW)
    clouds.listed(server.provider, listing, set(), set())  # type: ignore[arg-type]
    assert clouds.foreign_use["acme"].get("instances") == 1  # type: ignore[index]


@pytest.mark.parametrize("name", ["north", "all"])
def test_a_freeze_stops_creates_and_deletes_at_once_and_a_thaw_lets_them_go_on(name: str) -> None:
    shop = Shop(settings(labels={"small": {"min_ready": 2}}))
    session = shop.place.client.session_id
    order = codec.encode_freeze(Freeze(creates=True, deletes=True))
    shop.place.tree.commit((Create(paths.freeze(name), order),), session)
    warm = shop.ask("small", seconds=5)
    shop.run(20)
    cold = shop.ask("small", "small", seconds=5)
    shop.run(60)
    assert warm.served
    assert warm.ended
    assert not cold.served
    assert not cold.failed
    assert shop.created() == 2
    assert len(shop.servers()) == 2
    shop.place.launchers[0].kill()
    shop.place.launcher("next")
    shop.run(60)
    assert shop.created() == 2
    assert len(shop.servers()) == 2
    shop.place.tree.commit((Delete(paths.freeze(name)),), session)
    shop.run(60)
    assert cold.served
    shop.run(60)
    shop.assert_at_rest()


@pytest.mark.parametrize(("creates", "deletes"), [(True, False), (False, True)])
def test_creates_and_deletes_are_frozen_apart(scene: Scene, creates: bool, deletes: bool) -> None:
    scene.more["frozen"] = {"acme": Freeze(creates=creates, deletes=deletes)}
    scene.building(1, AttemptState.FRESH)
    scene.node(2, NodeState.DELETING, lock=Side.OURS)
    scene.server(2)
    assert bool(scene.does(CreateServer)) is not creates
    assert bool(scene.does(DeleteServer)) is not deletes


def test_a_request_that_a_frozen_provider_cannot_serve_is_told_why(scene: Scene) -> None:
    scene.more["frozen"] = {"acme": Freeze(creates=True, deletes=False)}
    waits = scene.request(1, "small")
    assert scene.why(waits) == ["frozen"]
    assert scene.plan().short == {("acme", "main")}


def test_a_permission_for_a_large_sweep_is_taken_back_once_it_was_used(scene: Scene) -> None:
    scene.more["sweeps_confirmed"] = {"acme": NOW}
    assert not scene.does(ForgetConfirmation)
    scene.now = NOW + 600
    assert scene.one(ForgetConfirmation)
    scene.server(1, node="0000000404")
    scene.more["suspects"] = {("acme", "server-1"): NOW}
    assert not scene.does(ForgetConfirmation)


def test_a_large_sweep_waits_for_its_permission(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(settings(labels={"small": {"min_ready": 1}}))
    region = shop.place.regions[ProviderName("north")]
    for number in range(8):
        marks = {MARK_PROVIDER: "north", MARK_NODE: f"{number + 9000:010}", MARK_INSTALLATION: INSTALLATION}
        ask = ServerAsk(name="np", flavor="small", metadata={**marks, MARK_ATTEMPT: "x"})
        region.servers.plant(CALLER, ask, now=shop.place.timeline.now())
    shop.run(300)
    assert len(shop.servers()) == 9
    assert "nodepool confirm north" in caplog.text
    permission = paths.confirmed(ProviderName("north"))
    shop.place.tree.commit((Create(permission),), shop.place.client.session_id)
    shop.run(300)
    assert len(shop.servers()) == 1
    assert permission in shop.place.tree.paths()
    shop.run(600)
    assert permission not in shop.place.tree.paths()


def test_traits_without_floating_ips_are_told_in_capacity(talk: Talk) -> None:
    assert OpenStack(provider("acme"), talk).capacity(0.0).floating
    talk.answers["GET", "/limits"] = [{"limits": {}}, {"limits": {}}]
    talk.traits_ = Traits(access=Access(floating=False))
    assert not OpenStack(provider("acme"), talk).capacity(0.0).floating
