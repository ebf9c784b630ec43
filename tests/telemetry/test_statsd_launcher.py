"""What a launcher process sends to statsd, on a real ZooKeeper with simulated clouds."""

import json
import socket
import urllib.request

import pytest
from kazoo.client import KazooClient

from tests.support.daemons import Site, wait_for
from tests.support.sink import Sink

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]

STATES = ("building", "testing", "ready", "in-use", "used", "hold", "deleting", "failed", "init", "aborted", "deleted")
QUEUES = ("node_cache", "request_cache", "image_cache")


def configure(place: Site, min_ready: int = 2) -> None:
    """Write the configuration that the names in the contract were recorded with, as far as a cloud has it."""
    place.start_clouds(
        clouds={"acme": {"defaults": {"boot": 0.5, "images": [{"name": "base"}]}, "regions": {"north": {}}}}
    )
    labels = [{"name": name, "cloud-image": "base", "flavor-name": "small"} for name in ("fake-label", "spare-label")]
    pool = {"name": "main", "max-servers": 5, "host-key-checking": False, "labels": labels}
    place.configure(
        **{"tenant-resource-limits": [{"tenant-name": "ten.ant", "max-servers": 7, "max-cores": 8, "max-ram": 9}]},
        labels=[{"name": "fake-label", "min-ready": min_ready}, {"name": "spare-label"}],
        providers=[
            {
                "name": "fake-provider",
                "cloud": "acme",
                "region-name": "north",
                "cloud-images": [{"name": "base"}],
                "pools": [pool],
            }
        ],
    )


def recorded() -> set[str]:
    """Return what Nodepool 11's launcher sent, in the contract's recording; the zone is the simulated cloud's."""
    names = {f"nodepool.nodes.{state}|g" for state in STATES}
    names |= {f"nodepool.provider.fake-provider.nodes.{state}|g" for state in STATES}
    names |= {f"nodepool.label.{label}.nodes.{state}|g" for label in ("fake-label", "spare-label") for state in STATES}
    for result in ("", "provider.fake-provider.", "provider.fake-provider.nova.", "requestor.NodePool_min-ready."):
        names |= {f"nodepool.launch.{result}ready|{kind}" for kind in ("c", "ms")}
    host = f"nodepool.launcher.{socket.gethostname()}.zk"
    names |= {f"{host}.{cache}.{queue}_queue|g" for cache in QUEUES for queue in ("event", "playback")}
    names |= {f"{host}.client.connection_queue|g"}
    names |= {f"nodepool.tenant_limits.ten_ant.{limit}|g" for limit in ("cores", "instances", "ram")}
    names |= {"nodepool.provider.fake-provider.max_servers|g"}
    return names | {"nodepool.provider.fake-provider.pool.main.addressable_requests|g"}


def test_every_recorded_name_comes_with_its_type(place: Site, ears: Sink) -> None:
    configure(place)
    launcher = place.launcher()
    ears.wait(lambda: ears.last("nodepool.nodes.ready") == "2|g", "two nodes are ready")
    ears.wait(lambda: not recorded() - set(ears.names), f"missing: {recorded() - set(ears.names)}")
    assert ears.last("nodepool.provider.fake-provider.max_servers") == "5|g"
    assert ears.last("nodepool.tenant_limits.ten_ant.instances") == "7|g"
    assert ears.names["nodepool.launch.ready|c"] == 2
    task = "nodepool.task.fake-provider.compute"
    for name in ("POST.servers.202", "GET.servers_detail.200", "GET.limits.200"):
        assert {f"{task}.{name}|ms", f"{task}.{name}|c"} <= set(ears.names)
    assert f"{task}.POST.servers.attempted|c" in ears.names
    assert all(line.rpartition(":")[2][0].isdigit() for line in ears.lines)
    assert ears.longest <= 512
    assert launcher.stop() == 0
    assert "Traceback" not in place.logs()


def test_the_operators_prefix_is_obeyed(place: Site, ears: Sink) -> None:
    place.environment["STATSD_PREFIX"] = "my.own"
    configure(place)
    place.launcher()
    ears.wait(lambda: "my.own.compute.POST.servers.202|ms" in ears.names, "calls under the operator's prefix")
    assert not any(name.startswith("nodepool.task") for name in ears.names)


def test_one_tells_the_numbers_of_all_and_a_launcher_of_nodepool_11_may_be_it(place: Site, ears: Sink) -> None:
    configure(place)
    kazoo = KazooClient(hosts=",".join(place.zookeeper.hosts) + place.zookeeper.chroot)
    kazoo.start()
    try:
        lock = kazoo.Election("/nodepool/elections/stats", "their launcher").lock
        assert lock.acquire()
        first = place.launcher("-1")
        ears.wait(lambda: "nodepool.launch.ready|c" in ears.names, "a node was launched")
        ears.wait(lambda: len(kazoo.get_children("/nodepool/elections/stats")) == 2, "ours stands, too")
        assert "nodepool.nodes.ready|g" not in ears.names
        lock.release()
        ears.wait(lambda: ears.last("nodepool.nodes.ready") == "2|g", "ours took over")
        place.launcher("-2")
        ears.wait(lambda: len(kazoo.get_children("/nodepool/elections/stats")) == 2, "another one stands")
        first.kill()
        ears.lines.clear()
        ears.wait(lambda: ears.last("nodepool.nodes.ready") is not None, "the other one took over")
    finally:
        kazoo.stop()
        kazoo.close()


def test_without_statsd_nobody_stands_for_election_and_the_pages_work(place: Site) -> None:
    configure(place)
    launcher = place.launcher()
    wait_for(lambda: place.ready(2), "two nodes are ready")
    base = f"http://127.0.0.1:{place.web_port}"
    with urllib.request.urlopen(f"{base}/health") as answer:
        health = json.load(answer)
    assert health["ok"] is True
    assert set(health["loops"]) == {"reconciler", "zookeeper", "configuration"}
    assert health["providers"]["fake-provider"]["ok"] is True
    with urllib.request.urlopen(f"{base}/metrics") as answer:
        text = answer.read().decode()
    assert 'nodepool_nodes{state="ready"} 2.0' in text
    assert 'nodepool_launch_by_provider_timer_count{provider="fake-provider",result="ready"} 2.0' in text
    assert 'nodepool_provider_usage{provider="fake-provider",resource="instances"} 2.0' in text
    kazoo = KazooClient(hosts=",".join(place.zookeeper.hosts) + place.zookeeper.chroot)
    kazoo.start()
    assert kazoo.exists("/nodepool/elections") is None
    kazoo.stop()
    kazoo.close()
    assert launcher.stop() == 0
