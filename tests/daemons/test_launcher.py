"""The launcher as a process: real ZooKeeper, simulated OpenStack over HTTP, a scheduler on the other side."""

import re
import time
from datetime import datetime

import pytest

from nodepool_ng.demo.scheduler import Refused
from nodepool_ng.model.lifecycle import NodeState
from tests.support.daemons import Site, wait_for

RESTART_WITHIN = 5.0  # seconds after it began to log, on the same host
TAKE_OVER_BEYOND_SESSION = 5.0  # seconds

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


def clouds(**region: object) -> dict[str, object]:
    """Return one cloud with two regions that boot in a second."""
    defaults = {"boot": 1, "delete": 0.5, "images": [{"name": "base"}], **region}
    return {"acme": {"defaults": defaults, "regions": {"north": {}, "south": {}}}}


def provider(name: str, *, max_servers: int = 10, host_keys: bool = False) -> dict[str, object]:
    label = {"name": "small", "cloud-image": "base", "flavor-name": "small"}
    pool = {"name": "main", "max-servers": max_servers, "host-key-checking": host_keys, "labels": [label]}
    return {
        "name": name,
        "cloud": "acme",
        "region-name": name,
        "launch-timeout": 30,
        "cloud-images": [{"name": "base", "username": "zuul"}],
        "pools": [pool],
    }


def configure(place: Site, *providers: str, min_ready: int = 2, **more: object) -> None:
    place.configure(
        labels=[{"name": "small", "min-ready": min_ready}],
        providers=[provider(name, **more) for name in providers],
    )


def test_a_pool_fills_serves_one_and_three_and_is_refilled(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, "north", "south", min_ready=4)
    launcher = place.launcher()
    wait_for(lambda: place.ready(4), "four nodes are ready")
    zuul = place.scheduler()
    one = zuul.wait(zuul.ask(["small"]), 20)
    three = zuul.wait(zuul.ask(["small"] * 3), 20)
    assert one.timing.took < 1.0
    lent = [*zuul.take(one), *zuul.take(three)]
    assert len({each.node.id for each in lent}) == 4
    assert len({(each.node.provider, each.node.pool) for each in lent[1:]}) == 1
    assert all(each.node.interface_ip and each.node.username == "zuul" for each in lent)
    used = [zuul.use(each) for each in lent]
    zuul.hold(used[0], "a-job", "to look at")
    for each in used[1:]:
        zuul.give_back(each)
    gone = {each.node.id for each in used[1:]}
    wait_for(lambda: place.ready(4) and not gone & set(place.nodes()), "used nodes are replaced")
    assert place.nodes()[used[0].node.id].state is NodeState.HOLD
    servers = {server.id for name in ("north", "south") for server in place.sim.region("acme", name).state().live}
    wait_for(
        lambda: servers_of(place, "north", "south") == {node.external_id for node in place.nodes().values()},
        "every server has a node",
    )
    assert servers
    assert launcher.stop() == 0
    assert "Traceback" not in place.logs()


def servers_of(place: Site, *regions: str) -> set[str]:
    return {server.id for name in regions for server in place.sim.region("acme", name).state().live}


def test_host_keys_are_read_from_servers_that_answer(place: Site) -> None:
    place.start_clouds(clouds={"acme": {"defaults": {"boot": 1, "ssh": True}, "regions": {"north": {}}}})
    with_ssh = provider("north", host_keys=True)
    port = int(re.findall(r"ssh of \S+ on port (\d+)", place.logs("nodepool-sim"))[0])
    with_ssh["cloud-images"] = [{"name": "base", "connection-port": port}]
    place.configure(labels=[{"name": "small", "min-ready": 2}], providers=[with_ssh])
    place.launcher()
    wait_for(lambda: place.ready(2), "two nodes are ready")
    for node in place.nodes().values():
        assert {key.split()[0] for key in node.host_keys} >= {"ssh-ed25519", "ecdsa-sha2-nistp256"}
        assert node.connection_port == port


def test_a_request_that_nobody_can_serve_fails(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, "north", min_ready=1)
    place.launcher()
    wait_for(lambda: place.ready(1), "a node is ready")
    zuul = place.scheduler()
    with pytest.raises(Refused):
        zuul.wait(zuul.ask(["small", "unknown"]), 40)
    with pytest.raises(Refused):
        zuul.wait(zuul.ask(["small"] * 11), 40)
    assert zuul.wait(zuul.ask(["small"]), 20)


def test_killed_between_create_and_record_the_next_life_goes_on(place: Site) -> None:
    sim = place.start_clouds(clouds=clouds(boot=3))
    configure(place, "north", min_ready=0)
    region = sim.region("acme", "north")
    region.fault(call="server.create", fate="slow", seconds=20.0, times=3)
    pid = ("-p", str(place.folder / "launcher.pid"))
    first = place.launcher("-first", *pid)
    wait_for(lambda: "Launcher of installation" in place.logs(), "the launcher runs")
    zuul = place.scheduler()
    request = zuul.ask(["small"] * 3)
    wait_for(lambda: len(region.state().live) == 3, "the cloud has been asked")
    first.kill()
    assert all(node.external_id is None for node in place.nodes().values())
    place.launcher("-second", *pid)
    wait_for(lambda: "Adopting the request" in place.logs("nodepool-launcher-second"), "the next life goes on")
    assert logged_until(place.logs("nodepool-launcher-second"), "Adopting the request") < RESTART_WITHIN
    answered = zuul.wait(request, 60)
    lent = zuul.take(answered)
    assert len(lent) == 3
    for each in lent:
        zuul.give_back(zuul.use(each))
    wait_for(lambda: not place.nodes() and not region.state().live, "nothing is left", 90)


def logged_until(log: str, words: str) -> float:
    """Return how many seconds after a daemon's first line the first one with these words came."""
    lines = [line for line in log.splitlines() if line[:4].isdigit()]
    first, last = lines[0], next(line for line in lines if words in line)
    begun, ended = (datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") for line in (first, last))
    return (ended - begun).total_seconds()


def test_a_standby_of_the_same_provider_takes_over(place: Site) -> None:
    sim = place.start_clouds(clouds=clouds(boot=4))
    configure(place, "north", min_ready=2)
    region = sim.region("acme", "north")
    launchers = [place.launcher("-one")]
    wait_for(lambda: "Launcher of installation" in place.logs(), "the first launcher runs")
    launchers.append(place.launcher("-two"))
    wait_for(lambda: place.ready(2), "two nodes are ready")
    assert len(region.state().servers) == 2
    zuul = place.scheduler()
    request = zuul.ask(["small"] * 5)
    wait_for(lambda: len(region.state().live) >= 5, "nodes are being launched")
    launchers[0].kill()
    began = time.monotonic()
    wait_for(lambda: "Adopting the request" in place.logs("nodepool-launcher-two"), "the standby goes on")
    assert time.monotonic() - began < place.zookeeper.session_timeout + TAKE_OVER_BEYOND_SESSION
    lent = zuul.take(zuul.wait(request, 60))
    assert len({each.node.external_id for each in lent}) == 5
    for each in lent:
        zuul.give_back(zuul.use(each))
    wait_for(lambda: place.ready(2) and len(region.state().live) == 2, "the pool is as it was", 90)


def test_what_is_not_ours_stays_on_an_empty_zookeeper(place: Site) -> None:
    sim = place.start_clouds(clouds=clouds(quota={"instances": 100, "cores": 400, "ram": 900000}))
    region = sim.region("acme", "north")
    planted = set()
    for number in range(15):
        marks = {"nodepool_provider_name": "north", "nodepool_node_id": f"{number:010}", "nodepool_pool_name": "main"}
        planted.add(region.plant_server(f"np{number:010}", metadata=marks).id)
        theirs = {**marks, "nodepool_ng_installation_id": "another", "nodepool_ng_attempt_id": f"attempt-{number}"}
        planted.add(region.plant_server(f"other{number}", metadata=theirs).id)
    configure(place, "north", min_ready=2)
    launcher = place.launcher()
    wait_for(lambda: place.ready(2), "two nodes are ready")
    zuul = place.scheduler()
    for each in zuul.take(zuul.wait(zuul.ask(["small"] * 2), 20)):
        zuul.give_back(zuul.use(each))
    assert launcher.stop() == 0
    before = region.counters().calls["server.list"]
    place.launcher("-again")
    wait_for(lambda: region.counters().calls["server.list"] > before, "the servers are listed anew")
    wait_for(lambda: place.ready(2), "the pool is full again")
    assert planted <= {server.id for server in region.state().live}
    assert not any(server.id in planted and server.delete_asked for server in region.state().servers)


def test_a_changed_configuration_is_taken_up_and_a_broken_one_is_not(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, "north", min_ready=1)
    place.launcher()
    wait_for(lambda: place.ready(1), "a node is ready")
    configure(place, "north", "south", min_ready=5)
    wait_for(lambda: place.ready(5), "five nodes are ready")
    place.config.write_text("labels: [")
    wait_for(lambda: "stays as it was" in place.logs(), "the broken file is reported")
    zuul = place.scheduler()
    (lent,) = zuul.take(zuul.wait(zuul.ask(["small"]), 20))
    zuul.give_back(zuul.use(lent))
    wait_for(lambda: place.ready(5), "five nodes are ready again")
    assert "nodepool.yaml:1:" in place.logs()
