"""Operators' commands as processes, beside a running launcher, a real ZooKeeper and simulated clouds over HTTP."""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from typing import Any

import pytest

from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import encode_node
from nodepool_ng.zk.store import Commit, Set
from tests.daemons.test_launcher import clouds, configure, provider, servers_of
from tests.support.daemons import SCRIPTS, Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


def run(place: Site, *words: str, status: int = 0) -> str:
    """Run a command and return what it prints."""
    argv = [str(SCRIPTS / "nodepool"), "-c", str(place.config), *words]
    ended = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=place.surroundings(),
        check=False,
    )
    assert ended.returncode == status, (ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def asked(place: Site, path: str) -> Any:
    """Return what the launcher's web port answers in JSON."""
    with urllib.request.urlopen(f"http://127.0.0.1:{place.web_port}{path}", timeout=10) as answer:
        return json.load(answer)


def filled(place: Site, *providers: str, min_ready: int = 2, **more: object) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, *(providers or ("north",)), min_ready=min_ready, **more)
    place.launcher()
    wait_for(lambda: place.ready(min_ready), "the pool is full")


USE = (
    "import json, os; nodes = json.loads(os.environ['NODEPOOL_NODES']);"
    "print(len(nodes), nodes[0]['label'], len(os.environ['NODEPOOL_ADDRESSES'].split()),"
    "open(os.environ['NODEPOOL_SSH_CONFIG']).read().count('Host node-')); raise SystemExit(7)"
)


def test_a_command_gets_nodes_and_gives_them_back_with_its_own_status(place: Site) -> None:
    filled(place)
    before = set(place.nodes())
    said = run(place, "request", "small", "small", "--", sys.executable, "-c", USE, status=7)
    assert "2 small 2 2" in said
    assert not place.children(paths.REQUESTS)
    wait_for(lambda: place.ready(2) and not before & set(place.nodes()), "what was used is replaced")
    (order,) = json.loads(run(place, "audit", "--format", "json"))
    assert order["command"] == "request"


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_nodes_come_back_when_the_command_is_killed(place: Site, blow: signal.Signals) -> None:
    filled(place)
    sleeping = place.daemon("nodepool", "-c", str(place.config), "request", "small", "--", "sleep", "1000")
    wait_for(lambda: any(n.state is NodeState.IN_USE for n in place.nodes().values()), "a node is in use")
    used = {id for id, node in place.nodes().items() if node.state is NodeState.IN_USE}
    sleeping.signal(blow)
    wait_for(lambda: not used & set(place.nodes()) and place.ready(2), "it is deleted and replaced")
    assert not place.children(paths.REQUESTS)


def test_what_nobody_can_serve_and_what_takes_too_long_is_one_sentence(place: Site) -> None:
    filled(place, max_servers=2)
    assert "declined by every pool" in run(place, "request", *["small"] * 3, "--", "true", status=1)
    holds = place.daemon("nodepool", "-c", str(place.config), "request", "small", "small", "--", "sleep", "1000")
    in_use = [NodeState.IN_USE] * 2
    wait_for(lambda: [node.state for node in place.nodes().values()] == in_use, "all are in use")
    wait_for(lambda: not place.children(paths.REQUESTS), "their request is over")
    waits = place.daemon("nodepool", "-c", str(place.config), "request", "small", "--", "true", tag="-waits")
    wait_for(lambda: len(place.children(paths.REQUESTS)) == 1, "another request waits")
    (path,) = place.children(paths.REQUESTS)
    id = path.rpartition("/")[2]
    wait_for(lambda: "max-servers is 2, 2 in use" in run(place, "explain", id), "the launcher tells why")
    (told,) = json.loads(run(place, "explain", id, "--format", "json"))
    assert told["changes"] == ["raise max-servers of pool north/main from 2 to 3"]
    (twin,) = asked(place, f"/explain?name={id}")
    for same in ("kind", "name", "summary", "why", "binding", "ahead", "changes", "unknown"):
        assert twin[same] == told[same]
    assert "max-servers is 2" in run(place, "explain", "north")
    assert "limited by the pool's limit of instances" in run(place, "explain", "small")
    assert "the pool's limit of instances" in run(place, "request-list", "--format", "wide")
    waits.signal(signal.SIGINT)
    wait_for(lambda: not place.children(paths.REQUESTS), "its request goes with it")
    assert "No nodes within 1 s" in run(place, "request", "--timeout", "1", "small", "--", "true", status=1)
    holds.signal(signal.SIGINT)


def test_a_drained_provider_is_emptied_while_the_other_takes_over(place: Site) -> None:
    filled(place, "north", "south", min_ready=4)
    assert {node.provider for node in place.nodes().values()} == {"north", "south"}
    said = run(place, "drain", "north", "--yes", "--wait", "--reason", "new kernel")
    assert said.splitlines()[-1] == "Drained."
    assert not servers_of(place, "north")
    wait_for(lambda: place.ready(4), "the other one has all")
    assert {node.provider for node in place.nodes().values()} == {"south"}
    assert "drained by" in run(place, "explain", "north")
    assert "new kernel" in run(place, "doctor")
    run(place, "uncordon", "north")
    wait_for(lambda: "drained" not in run(place, "explain", "north"), "it may be used again")


def test_the_doctor_finds_nothing_wrong_with_what_works_and_says_what_to_do_about_what_does_not(place: Site) -> None:
    filled(place)
    said = run(place, "doctor")
    assert not re.search("^bad", said, re.MULTILINE)
    for about in ("configuration", "ZooKeeper", "permissions", "clocks", "provider north", "launchers"):
        assert f"ok    {about}: " in said
    place.configure(
        labels=[{"name": "small"}, {"name": "nowhere"}],
        providers=[{**provider("north"), "cloud": "acme", "region-name": "north"}, provider("south")],
    )
    good = place.clouds_yaml.read_text()
    place.clouds_yaml.write_text(good.replace("password: simulated", "password: wrong"))
    said = run(place, "doctor", status=1)
    assert "bad   provider north: " in said
    assert "-> check clouds.yaml, the credentials" in said
    assert "warn  label nowhere: no registered pool has it" in said


def test_a_node_is_deleted_from_here_when_its_launcher_is_gone(place: Site) -> None:
    filled(place, min_ready=1)
    (node,) = place.nodes().values()
    for daemon in place._running[1:]:
        daemon.stop()
    said = run(place, "delete", "--now", node.id)
    assert node.id not in said
    assert not place.nodes()
    assert not servers_of(place, "north")


def test_images_that_nobody_knows_are_listed(place: Site) -> None:
    filled(place, min_ready=0)
    assert "| Provider | Name | Image ID |" in run(place, "alien-image-list")
    assert "no provider typo" in run(place, "alien-image-list", "typo", status=1)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh here")
def test_a_shell_is_reached_only_where_the_recorded_host_key_is_shown(place: Site) -> None:
    place.start_clouds(clouds={"acme": {"defaults": {"boot": 1, "ssh": True}, "regions": {"north": {}}}})
    with_ssh = provider("north", host_keys=True)
    port = int(re.findall(r"ssh of \S+ on port (\d+)", place.logs("nodepool-sim"))[0])
    with_ssh["cloud-images"] = [{"name": "base", "connection-port": port}]
    place.configure(labels=[{"name": "small", "min-ready": 1}], providers=[with_ssh])
    place.launcher()
    wait_for(lambda: place.ready(1), "a node is ready")
    (node,) = place.nodes().values()
    # The simulated servers show their keys and let nobody in.
    assert "Permission denied" in run(place, "ssh", node.id, "--", "true", status=255)
    wrong = replace(
        node, host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJf8dIIvd5vVdVv2Hh2m8qRkzvrkYpZyb6mPh1rqlkXE",)
    )
    place.store().submit([Commit((Set(paths.node(node.id), encode_node(wrong)),))], lambda answers: None)
    wait_for(lambda: place.node(node.id).host_keys == wrong.host_keys, "another key is recorded")
    assert "Host key verification failed" in run(place, "ssh", node.id, "--", "true", status=255)


def test_the_console_is_what_the_cloud_keeps(place: Site) -> None:
    filled(place, min_ready=1)
    (node,) = place.nodes().values()
    assert run(place, "console", node.id).strip()
    assert "There is no node 0000009999" in run(place, "console", "0000009999", status=1)


def test_the_life_of_a_node_that_is_gone_is_remembered_with_its_causes(place: Site) -> None:
    place.environment["STATE_DIRECTORY"] = str(place.folder)
    filled(place, min_ready=1)
    (node,) = place.nodes().values()
    run(place, "request", "small", "--", "true")
    wait_for(lambda: node.id not in place.nodes() and place.ready(1), "it was used and replaced")
    (launcher,) = place._running[1:2]
    launcher.stop()
    place.launcher()
    wait_for(lambda: bool(place.children(paths.FACTS)), "a new launcher tells where it is")
    told = run(place, "history", node.id)
    for words in ("since min-ready wants one more", "| building ", "| in-use ", "| gone ", "Handing out"):
        assert words in told, told
    wait_for(lambda: "| boot " in run(place, "stats"), "statistics are told")
    stats = json.loads(run(place, "stats", "--by", "label", "--format", "json"))
    rows = {row["stage"]: row for row in stats["spans"]}
    assert [(pool["provider"], pool["pool"]) for pool in stats["pools"]] in ([], [("north", "main")])
    assert {"boot", "life", "delete", "wait"} <= set(rows)
    assert rows["boot"]["group"] == "small"
    assert rows["boot"]["p50"] >= 1
    played = json.loads(run(place, "simulate", "--recorded", "1h", "--format", "json"))
    assert (played["requests"], played["labels"]["small"]["served"]) == (1, 1)
    order = next(line for line in run(place, "audit").splitlines() if node.id in line)
    assert "request" in order
    assert "nodepool request" in told
