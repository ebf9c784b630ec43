"""The main job on the real services: an image uploaded, a warm pool, requests served, what was used deleted."""

import hashlib
import time

from devstack import catalogue
from tests.support import real_site as config
from tests.support.daemons import Site, wait_for
from tests.support.real_cloud import MARKS, RealCloud

WARM = 15
LIVES = 8
BY_THE_CLOCK = frozenset(
    {"nova GET servers_detail", "nova GET limits", "nova GET os-availability-zone", "nova GET flavors_detail"}
    | {"neutron GET networks", "neutron GET floatingips", "neutron GET ports", "glance GET images"}
)
"""Calls that are made every so often, however many nodes there are."""
ZONES = {"az1", "az2", "az3"}
PATIENCE = 120.0  # seconds; the control plane makes about one server in two seconds

pytestmark = list(MARKS)


def test_an_image_is_uploaded_a_pool_fills_and_requests_are_served(real_site: Site, cloud: RealCloud) -> None:
    config.configure(real_site, min_ready=WARM)
    began = time.monotonic()
    since = cloud.marks()
    builder = config.builder(real_site)
    wait_for(lambda: config.uploaded(real_site), "the image is in service")
    print(f"uploaded after {time.monotonic() - began:.1f} s: {cloud.calls(since)}")
    (image,) = cloud.ci.image.images(owner=cloud.project)
    (upload,) = config.uploads(real_site)
    (file,) = (real_site.folder / "images").glob("*.qcow2")
    assert (image.id, image.name, image.status) == (upload.external_id, upload.external_name, "active")
    assert image.hash_value == hashlib.new(image.hash_algo, file.read_bytes()).hexdigest()
    assert image.properties["kind"] == "test"
    assert image.properties["nodepool_provider_name"] == config.PROVIDER

    began, since = time.monotonic(), cloud.marks()
    launcher = real_site.launcher()
    wait_for(lambda: real_site.ready(WARM), f"{WARM} nodes are ready", PATIENCE)
    print(f"{WARM} ready after {time.monotonic() - began:.1f} s: {cloud.calls(since)}")
    nodes = real_site.nodes()
    servers = cloud.servers()
    assert {node.external_id for node in nodes.values()} == set(servers)
    assert {server["OS-EXT-AZ:availability_zone"] for server in servers.values()} == ZONES
    assert {node.az for node in nodes.values()} == ZONES
    assert all(node.interface_ip and node.interface_ip.startswith("10.99.") for node in nodes.values())
    for node in nodes.values():
        assert servers[str(node.external_id)]["metadata"]["nodepool_node_id"] == node.id

    zuul = real_site.scheduler()
    one = zuul.wait(zuul.ask([config.LABEL]), PATIENCE)
    three = zuul.wait(zuul.ask([config.LABEL] * 3), PATIENCE)
    assert one.timing.took < 2.0
    lent = [*zuul.take(one), *zuul.take(three)]
    used = {each.node.external_id for each in lent}
    for each in [zuul.use(each) for each in lent]:
        zuul.give_back(each)
    wait_for(lambda: not used & set(cloud.servers()), "used servers are gone", PATIENCE)
    wait_for(lambda: real_site.ready(WARM), "the pool is full again", PATIENCE)
    assert {node.external_id for node in real_site.nodes().values()} == set(cloud.servers())
    assert launcher.stop() == 0
    assert builder.stop() == 0
    assert "Traceback" not in real_site.logs("nodepool")


def test_a_node_costs_one_create_and_one_delete(real_site: Site, cloud: RealCloud) -> None:
    config.ready_made(real_site, cloud, min_ready=2)
    real_site.launcher()
    wait_for(lambda: real_site.ready(2), "two nodes are ready", PATIENCE)
    zuul = real_site.scheduler()
    began, since = time.monotonic(), cloud.marks()
    used = set()
    for _ in range(LIVES):
        (lent,) = zuul.take(zuul.wait(zuul.ask([config.LABEL]), PATIENCE))
        used.add(lent.node.external_id)
        zuul.give_back(zuul.use(lent))
    wait_for(lambda: real_site.ready(2) and not used & set(cloud.servers()), "all lives are over", PATIENCE)
    took, calls = time.monotonic() - began, cloud.calls(since)
    print(f"{LIVES} lives in {took:.1f} s: {calls}")
    of_nodes = {name: number for name, number in calls.items() if name not in BY_THE_CLOCK}
    assert of_nodes == {"nova POST servers": LIVES, "nova DELETE server": LIVES}
    assert calls["nova GET servers_detail"] <= 2 * took + 5, "lists go by the clock, two a second at most"


def test_servers_on_an_inner_network_get_floating_ips_which_go_with_them(real_site: Site, cloud: RealCloud) -> None:
    config.ready_made(real_site, cloud, min_ready=2, cloud_name=catalogue.FLOATING)
    real_site.launcher()
    wait_for(lambda: real_site.ready(2), "two nodes are ready", PATIENCE)
    nodes = real_site.nodes()
    floating = {address.floating_ip_address: address for address in cloud.ci.network.ips(project_id=cloud.project)}
    assert {node.interface_ip for node in nodes.values()} == set(floating)
    assert all(str(node.private_ipv4).startswith("10.99.") for node in nodes.values())
    zuul = real_site.scheduler()
    (lent,) = zuul.take(zuul.wait(zuul.ask([config.LABEL]), PATIENCE))
    zuul.give_back(zuul.use(lent))
    wait_for(lambda: real_site.ready(2) and lent.node.id not in real_site.nodes(), "it is replaced", PATIENCE)
    wait_for(
        lambda: (
            {node.interface_ip for node in real_site.nodes().values()}
            == {address.floating_ip_address for address in cloud.ci.network.ips(project_id=cloud.project)}
        ),
        "no floating IP is left over",
        PATIENCE,
    )
