"""The driver against simulated clouds, over HTTP and through the unmodified openstacksdk."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests
from keystoneauth1.adapter import Adapter
from openstack.config.cloud_region import CloudRegion

from nodepool_ng.drivers import (
    Driver,
    ImageOrder,
    Marks,
    Misconfigured,
    NoCapacity,
    Refused,
    ServerOrder,
    Throttled,
    Unavailable,
)
from nodepool_ng.drivers.openstack import cloud as door
from nodepool_ng.drivers.openstack.connections import Connections
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.pace import MOST_THREADS
from nodepool_ng.model.server import ServerStatus
from nodepool_ng.model.settings import CloudImage, Pool, PoolLabel, Provider
from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import parse
from nodepool_ng.sim.http.serve import Running, running

# The SDK warns of its own use of what it is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

CLOUDS = """\
clouds:
  acme:
    regions:
      north:
        boot: 0.05
        delete: 0.05
        page: 3
        networks: [{name: outer, cidrs: [198.18.0.0/16], external: true}]
      south:
        boot: 0.05
        delete: 0.05
        networks:
          - {name: inner, cidrs: [10.0.0.0/16]}
          - {name: outer, cidrs: [198.18.0.0/16], external: true}
"""
QCOW2 = b"QFI\xfb"  # how every such file begins
LABEL = PoolLabel(name="small", cloud_image="base", min_ram=1024, networks=("outer",))
INNER = PoolLabel(name="inner", cloud_image="base", min_ram=1024, networks=("inner",))
POOL = Pool(name="main", provider="acme-north", labels={"small": LABEL})
MARKS = Marks(provider="acme-north", installation="i1", node="0000000001", pool="main", attempt="a1")
ORDER = ServerOrder(name="np0000000001", marks=MARKS, pool=POOL, label=LABEL, image=None, config_drive=None, zone=None)


def provider(region: str, **more) -> Provider:
    return Provider(
        **{
            "name": f"acme-{region}",
            "cloud": "acme",
            "region_name": region,
            "pools": {"main": POOL},
            "cloud_images": {"base": CloudImage(name="base")},
            **more,
        }
    )


@pytest.fixture
def sim(tmp_path, monkeypatch) -> Iterator[Running]:
    settings = parse(CLOUDS)
    with running(settings) as run:
        (tmp_path / "clouds.yaml").write_text(clouds_yaml(settings, run.url))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
        yield run


@pytest.fixture
def seen() -> list[tuple[object, ...]]:
    """What was observed of the calls."""
    return []


@pytest.fixture
def north(sim, seen) -> Iterator[Driver]:
    driver = make(provider("north"), lambda *call: seen.append(call))
    driver.connect()
    yield driver
    driver.close()


@pytest.fixture
def region(sim):
    return sim.client.region("acme", "north")


def server_of(driver, server, *, until=ServerStatus.ACTIVE):
    deadline = time.monotonic() + 5
    while True:
        found = [one for one in driver.list_servers(None, time.time()).servers if one.id == server]
        if found and found[0].status is until:
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_a_server_lives_and_dies_with_two_calls_beside_the_lists(north, region, seen):
    north.capacity(time.time())
    seen.clear()
    began = time.time()
    server = north.create_server(ORDER)
    active = server_of(north, server)
    assert (active.node, active.attempt, active.installation, active.provider) == (
        "0000000001",
        "a1",
        "i1",
        "acme-north",
    )
    assert active.addresses.interface_ip == active.addresses.public_ipv4 == active.addresses.private_ipv4 != ""
    assert active.resources.amounts == {"instances": 1, "cores": 1, "ram": 2048}
    assert "login" in north.console(server)
    north.delete_server(server)
    time.sleep(0.1)
    north.delete_server(server)
    assert north.list_servers(None, time.time()).servers == ()
    (gone,) = north.list_servers(began, time.time()).servers
    assert gone.status is ServerStatus.DELETED
    assert region.state().servers[0].metadata["groups"] == "acme-north,base,small"
    names = [(service, method, name, status) for service, method, name, status, _ in seen]
    assert [name for name in names if name[2] != "servers_detail"] == [
        ("compute", "POST", "servers", 202),
        ("compute", "POST", "server_action", 200),
        ("compute", "DELETE", "server", 204),
        ("compute", "DELETE", "server", 404),
    ]
    assert all(seconds > 0 for *_, seconds in seen)


def test_lists_come_in_pages(north, seen):
    ids = {north.create_server(ORDER) for _ in range(7)}
    seen.clear()
    assert {server.id for server in north.list_servers(None, time.time()).servers} == ids
    assert len(seen) == 3


def test_many_threads_share_one_login(sim, north):
    north.capacity(time.time())
    with ThreadPoolExecutor(MOST_THREADS) as pool:
        ids = set(pool.map(lambda _: north.create_server(ORDER), range(64)))
        list(pool.map(north.delete_server, ids))
    assert len(ids) == 64
    assert sim.client.logins("acme") == 1


@pytest.mark.parametrize("calls_before", [0, 1])
def test_an_expired_token_is_renewed(sim, north, calls_before):
    for _ in range(calls_before):
        north.create_server(ORDER)
    sim.site.clouds["acme"].tokens.clear()
    assert north.create_server(ORDER)
    assert sim.client.logins("acme") == 2


@pytest.fixture
def sent_by_the_sdk(monkeypatch) -> list[tuple[str, str]]:
    """Method and path of every call that went the SDK's way."""
    seen = []
    request = Adapter.request

    def observed(self, url, method, **more):
        seen.append((method, url))
        return request(self, url, method, **more)

    monkeypatch.setattr(Adapter, "request", observed)
    return seen


def test_calls_are_sent_as_the_sdk_sent_the_first_one(north, region, sent_by_the_sdk):
    servers = [north.create_server(ORDER) for _ in range(3)]
    north.list_servers(None, time.time())
    for server in servers:
        north.delete_server(server)
    assert sent_by_the_sdk == [("GET", "/flavors/detail"), ("GET", "/networks"), ("GET", "/images")], "one of a service"
    assert region.counters().calls["server.create"] == region.counters().calls["server.delete"] == 3


def test_where_clouds_yaml_bounds_calls_the_sdk_counts_them(sim, monkeypatch, sent_by_the_sdk):
    # Not written into clouds.yaml: of a number there the SDK makes a string, and fails to divide by it.
    monkeypatch.setattr(CloudRegion, "get_rate_limit", lambda _, service: 1000.0 if service == "compute" else None)
    driver = make(provider("north"))
    driver.connect()
    for _ in range(2):
        driver.delete_server("nobody")
    assert [method for method, _ in sent_by_the_sdk] == ["DELETE"] * 2
    driver.close()


def test_only_what_does_no_harm_twice_is_sent_again_when_a_connection_breaks(north, region, monkeypatch):
    north.create_server(ORDER)

    def broken(self, *_, **__):
        raise requests.ConnectionError("the server closed the connection")

    monkeypatch.setattr(Connections, "exchange", broken, raising=True)
    with pytest.raises(Unavailable, match="closed the connection"):
        north.create_server(ORDER)
    monkeypatch.undo()
    assert region.counters().calls["server.create"] == 1

    exchange, failures = Connections.exchange, [requests.ConnectionError("the server closed the connection")]

    def broken_once(self, *arguments, **more):
        if failures:
            raise failures.pop()
        return exchange(self, *arguments, **more)

    monkeypatch.setattr(Connections, "exchange", broken_once)
    north.delete_server("nobody")
    assert region.counters().calls["server.delete"] == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 403, "message": "Quota exceeded for instances: Requested 1"}, NoCapacity),
        ({"status": 403, "message": "Maximum number of ports exceeded"}, NoCapacity),
        ({"status": 403, "message": "Policy does not allow this"}, Refused),
        ({"status": 400, "message": "Invalid key_name provided."}, Refused),
        ({"status": 429, "message": "slow down", "retry_after": 7}, Throttled),
        ({"status": 503, "message": "busy", "retry_after": 7}, Throttled),
        ({"status": 500, "message": "Unexpected API Error."}, Unavailable),
    ],
)
def test_refusals_are_told_apart_and_not_repeated(north, region, fault, error):
    north.capacity(time.time())
    region.reset_counters()
    region.fault(call="server.create", fate="refused", times=1, **fault)
    with pytest.raises(error, match=fault["message"]) as caught:
        north.create_server(ORDER)
    assert getattr(caught.value, "retry_after", 7) == 7
    assert region.counters().calls["server.create"] == 1
    assert north.create_server(ORDER)


def test_the_quota_of_nova_is_no_capacity(north, region):
    region.change(quota={"instances": 1})
    assert north.capacity(time.time()).limits.amounts["instances"] == 1
    north.create_server(ORDER)
    with pytest.raises(NoCapacity):
        north.create_server(ORDER)


def test_after_a_lost_answer_the_list_tells(north, region):
    region.fault(call="server.create", fate="answer-lost", times=1)
    with pytest.raises(Unavailable, match="not known"):
        north.create_server(ORDER)
    (server,) = north.list_servers(None, time.time()).servers
    assert server.attempt == "a1"


def test_a_cloud_that_does_not_answer_is_left_in_time(sim, region, monkeypatch, seen):
    monkeypatch.setattr(door, "CALL_TIMEOUT", 0.3)
    driver = make(provider("north"), lambda *call: seen.append(call))
    driver.connect()
    driver.capacity(time.time())
    region.fault(call="server.create", fate="slow", seconds=1, times=1)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        driver.create_server(ORDER)
    assert time.monotonic() - began < 2
    assert seen[-1][:4] == ("compute", "POST", "servers", None)
    driver.close()


def test_wrong_credentials_are_the_operators_business(sim, tmp_path, caplog):
    path = tmp_path / "clouds.yaml"
    path.write_text(path.read_text().replace("password: simulated", "password: guessed-wrong"))
    with caplog.at_level(logging.DEBUG), pytest.raises(Misconfigured, match="credentials") as caught:
        make(provider("north")).connect()
    assert "guessed-wrong" not in str(caught.value)


def test_a_cloud_that_is_down_is_unavailable(sim, tmp_path):
    path = tmp_path / "clouds.yaml"
    path.write_text(path.read_text().replace(sim.url, "http://127.0.0.1:1"))
    driver = make(provider("north"))
    with pytest.raises(Unavailable):
        driver.connect()


def test_a_region_that_does_not_exist_is_misconfigured(sim):
    with pytest.raises(Misconfigured):
        make(provider("nowhere", cloud="acme.north")).connect()


def test_a_configured_rate_is_kept(sim):
    driver = make(provider("north", rate=20.0))
    driver.connect()
    driver.capacity(time.time())
    for _ in range(20):
        driver.delete_server("nobody")
    began = time.monotonic()
    for _ in range(10):
        driver.delete_server("nobody")
    assert time.monotonic() - began > 0.4
    driver.close()


def test_a_server_inside_gets_a_floating_ip(sim):
    driver = make(provider("south"))
    driver.connect()
    south = sim.client.region("acme", "south")
    server = driver.create_server(
        ServerOrder(name="np2", marks=MARKS, pool=POOL, label=INNER, image=None, config_drive=None, zone=None)
    )
    assert server_of(driver, server).addresses.interface_ip == ""
    address = driver.attach_address(server, "i1")
    assert server_of(driver, server).addresses.interface_ip == address
    assert len(south.state().floating_ips) == 1
    driver.delete_server(server)
    driver.close()


def gone(driver, *servers):
    deadline = time.monotonic() + 5
    while {one.id for one in driver.list_servers(None, time.time()).servers} & set(servers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_boots_from_a_volume_which_goes_with_it_or_is_swept_when_it_does_not(sim, region):
    label = replace(LABEL, boot_from_volume=True, volume_size=9)
    pool = replace(POOL, labels={"small": label})
    driver = make(provider("north", pools={"main": pool}))
    driver.connect()
    capacity = driver.capacity(time.time())
    assert capacity.network
    assert dict(capacity.labels["small"].needs.amounts) | {"volumes": 1, "volume-gb": 9} == dict(
        capacity.labels["small"].needs.amounts
    )
    orders = [replace(ORDER, pool=pool, label=label, name=f"np{number}") for number in range(2)]
    tidy, untidy = (driver.create_server(order) for order in orders)
    both = [server_of(driver, server) for server in (tidy, untidy)]
    assert [one.resources.get("volumes") for one in both] == [1, 1]
    assert len(region.state().volumes) == 2
    driver.delete_server(tidy)
    gone(driver, tidy)
    assert [volume["server"] for volume in region.state().volumes] == [untidy]
    region.fault(call="server.delete", fate="volume-left")
    driver.delete_server(untidy)
    gone(driver, untidy)
    assert [volume["server"] for volume in region.state().volumes] == [""]
    assert driver.sweep_network("i1", frozenset(), ports=True, floating_ips=False).volumes == 0
    assert driver.sweep_network("i1", frozenset({tidy, untidy}), ports=True, floating_ips=False).volumes == 1
    assert region.state().volumes == ()
    driver.close()


def order_of(path, **more) -> ImageOrder:
    marks = Marks(provider="acme-north", installation="i1", build="b" * 32, upload="0000000001")
    data = path.read_bytes()
    md5, sha256 = hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest()
    return ImageOrder(
        **{
            "name": "debian-1",
            "marks": marks,
            "path": str(path),
            "format": "qcow2",
            "md5": md5,
            "sha256": sha256,
            "properties": {"hw_disk_bus": "scsi"},
            **more,
        }
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "image.qcow2"
    path.write_bytes(QCOW2 + os.urandom(3_500_000 - len(QCOW2)))
    return path


def test_an_image_arrives_whole(north, region, file):
    told: list[int] = []
    image = north.upload_image(order_of(file), told.append)
    (listed,) = [one for one in north.list_images() if one.id == image]
    assert (listed.provider, listed.build, listed.upload, listed.installation, listed.status) == (
        "acme-north",
        "b" * 32,
        "0000000001",
        "i1",
        "active",
    )
    assert told == [1 << 20, 2 << 20, 3 << 20, 3_500_000]
    north.delete_image(image)
    north.delete_image(image)
    assert image not in {one.id for one in north.list_images()}


def test_an_upload_survives_the_end_of_its_token(sim, north, region, file):
    # The first request of the upload gets a new token, so the second one must be the one that loses it.
    tokens = sim.site.clouds["acme"].tokens
    told: list[int] = []

    def lose_token(sent: int) -> None:
        if not told:
            tokens.clear()
        told.append(sent)

    image = north.upload_image(order_of(file), lose_token)
    assert image in {one.id for one in north.list_images()}


def test_a_damaged_image_does_not_stay(north, region, file):
    with pytest.raises(Refused, match="md5"):
        north.upload_image(order_of(file, md5="0" * 32), lambda sent: None)
    assert [one for one in north.list_images() if one.name == "debian-1"] == []


def test_an_upload_that_is_refused_leaves_nothing(north, region, file):
    region.fault(call="image.upload", fate="refused", times=1, status=500)
    with pytest.raises(Unavailable):
        north.upload_image(order_of(file), lambda sent: None)
    assert [one for one in north.list_images() if one.name == "debian-1"] == []


def test_an_upload_is_broken_off_in_time_or_when_the_file_changes(sim, region, file):
    driver = make(provider("north", image_upload_timeout=0.02))
    driver.connect()
    with pytest.raises(Unavailable, match="image-upload-timeout"):
        driver.upload_image(order_of(file), lambda sent: time.sleep(0.03))
    driver.close()
    patient = make(provider("north"))
    patient.connect()
    with pytest.raises(Unavailable, match="shrank"):
        patient.upload_image(order_of(file), lambda sent: os.truncate(file, 2 << 20))
    assert [one for one in patient.list_images() if one.name == "debian-1"] == []
    patient.close()


def test_two_uploads_at_once_do_not_mix(north, file, tmp_path):
    other = tmp_path / "other.qcow2"
    other.write_bytes(QCOW2 + os.urandom(2_000_000))
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda path=path: ids.append(north.upload_image(order_of(path), lambda sent: None)))
        for path in (file, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 2
