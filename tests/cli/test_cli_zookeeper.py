"""The program as a process and in process, on a real ZooKeeper, beside real kazoo locks."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.metadata import packages_distributions

import pytest
from click.testing import CliRunner
from kazoo.client import KazooClient

from nodepool_ng.cli.main import cli
from nodepool_ng.cli.session import Surroundings
from nodepool_ng.model.settings import Settings

pytestmark = pytest.mark.zookeeper

NODE = {"state": "ready", "state_time": 1.5, "type": ["small"], "provider": "p", "pool": "main", "unknown": [1]}
MAIN = "from nodepool_ng.cli.main import main; main()"


@pytest.fixture
def kazoo(zookeeper):
    client = KazooClient(hosts=",".join(zookeeper.hosts) + zookeeper.chroot)
    client.start()
    yield client
    client.stop()
    client.close()


@pytest.fixture
def config(zookeeper, tmp_path):
    host, _, port = zookeeper.hosts[0].rpartition(":")
    file = tmp_path / "nodepool.yaml"
    server = {"host": host, "port": int(port), "chroot": zookeeper.chroot}
    file.write_text(json.dumps({"zookeeper-servers": [server], "diskimages": [{"name": "img", "formats": ["raw"]}]}))
    return file


@pytest.fixture
def put_node(kazoo):
    def put(**fields):
        data = json.dumps({**NODE, **fields}).encode()
        return kazoo.create("/nodepool/nodes/", data, sequence=True, makepath=True).rpartition("/")[2]

    return put


def nodepool(*args, **surroundings):
    return CliRunner().invoke(cli, list(map(str, args)), obj=Surroundings(**surroundings), prog_name="nodepool")


def column(result, number):
    return [line.split("|")[number - 1].strip() for line in result.stdout.splitlines()[3:-1]]


def record(kazoo, id):
    return json.loads(kazoo.get(f"/nodepool/nodes/{id}")[0])


def test_the_process_lists_what_is_there_and_creates_nothing(config, kazoo, put_node):
    for _ in range(3):
        put_node(public_ipv4="192.0.2.1")
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "-c", config, "list"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert column(done, 2) == ["0000000000", "0000000001", "0000000002"]
    assert column(done, 6) == ["192.0.2.1"] * 3
    assert kazoo.get_children("/nodepool/nodes/0000000000") == []


def test_what_a_terminal_cannot_write_is_escaped(config, put_node):
    put_node(comment="\u65e5", public_ipv4="\x1b[2J")
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "-c", config, "list", "--detail"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "iso-8859-1"},
        timeout=60,
    )
    assert done.returncode == 0
    assert rb"\u65e5" in done.stdout
    assert rb"\x1b[2J" in done.stdout


def test_a_node_locked_by_kazoo_is_told_and_left_alone(config, kazoo, put_node):
    id = put_node(state="in-use")
    with kazoo.Lock(f"/nodepool/nodes/{id}/lock", "executor 7"):
        assert column(nodepool("-c", config, "list"), 10) == ["locked"]
        result = nodepool("-c", config, "hold", id, lock_timeout=0.2)
        assert (result.exit_code, result.stderr) == (1, f"Node {id} is locked by executor 7; waited 0 s for it.\n")
        assert len(kazoo.get_children(f"/nodepool/nodes/{id}/lock")) == 1
    assert record(kazoo, id)["state"] == "in-use"


@pytest.mark.parametrize(("command", "state"), [("hold", "hold"), ("delete", "deleting")])
def test_a_command_waits_for_kazoo_to_let_go(config, kazoo, put_node, command, state):
    id = put_node()
    lock = kazoo.Lock(f"/nodepool/nodes/{id}/lock")
    lock.acquire()
    queued = threading.Event()

    def watch(names):
        if len(names) == 2:
            queued.set()

    kazoo.ChildrenWatch(lock.path, watch)
    results = []
    thread = threading.Thread(target=lambda: results.append(nodepool("-c", config, command, id, lock_timeout=20)))
    thread.start()
    assert queued.wait(20)
    lock.release()
    thread.join()
    assert results[0].exit_code == 0
    assert (column(results[0], 8), column(results[0], 10)) == ([state], ["unlocked"])
    assert (record(kazoo, id)["state"], record(kazoo, id)["unknown"]) == (state, [1])
    assert kazoo.Lock(f"/nodepool/nodes/{id}/lock").acquire(blocking=False)


def test_kazoo_waits_for_nobody_after_a_command_was_refused(config, kazoo, put_node):
    id = put_node(state="deleting")
    assert nodepool("-c", config, "hold", id).exit_code == 0
    assert kazoo.Lock(f"/nodepool/nodes/{id}/lock").acquire(blocking=False)


def test_a_missing_node_is_not_made_by_looking_for_its_lock(config, kazoo, put_node):
    put_node()
    assert nodepool("-c", config, "delete", "0000000099").stdout == "Node id 0000000099 not found\n"
    assert kazoo.get_children("/nodepool/nodes") == ["0000000000"]


def test_images_go_out_and_come_in_with_their_numbers(config, kazoo, tmp_path):
    builds = "/nodepool/images/img/builds"
    uploads = f"{builds}/b1/providers/p/images"
    kazoo.create(f"{builds}/b1", b'{"state": "ready", "state_time": 1}', makepath=True)
    kazoo.create(f"{uploads}/0000000021", b'{"state": "ready", "state_time": 2}', makepath=True)
    assert nodepool("-c", config, "image-pause", "img").exit_code == 0
    assert nodepool("-c", config, "export-image-data", tmp_path / "a").exit_code == 0
    kazoo.delete("/nodepool", recursive=True)
    assert nodepool("-c", config, "import-image-data", tmp_path / "a").output == ""
    assert nodepool("-c", config, "export-image-data", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert kazoo.create(f"{uploads}/", sequence=True) > f"{uploads}/0000000021"
    assert column(nodepool("-c", config, "dib-image-list"), 6) == ["paused"]


def test_erase_removes_nodes_with_locks_of_others(config, kazoo, put_node):
    id, other = put_node(provider="gone"), put_node()
    kazoo.Lock(f"/nodepool/nodes/{id}/lock").acquire()
    kazoo.create("/nodepool/images/img/builds/b1", b'{"state": "ready"}', makepath=True)
    kazoo.create("/nodepool/images/img/builds/b1/providers/gone/images/lock", makepath=True)
    assert nodepool("-c", config, "erase", "--force", "gone").exit_code == 0
    assert kazoo.get_children("/nodepool/nodes") == [other]
    assert kazoo.get_children("/nodepool/images/img/builds/b1/providers") == []


def test_building_is_told_from_pending(config, kazoo):
    assert nodepool("-c", config, "image-build", "img").output == ""
    assert column(nodepool("-c", config, "image-status"), 4) == ["pending"]
    with kazoo.Lock("/nodepool/images/img/builds/lock"):
        assert column(nodepool("-c", config, "image-status"), 4) == ["pending"]
        kazoo.create("/nodepool/images/img/builds/b1", b'{"state": "building"}')
        assert column(nodepool("-c", config, "image-status"), 4) == ["building"]
    assert column(nodepool("-c", config, "image-status"), 4) == ["pending"]


def test_nobody_listening_is_one_sentence_within_the_time(tmp_path, zookeeper):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = (f"127.0.0.1:{silent.getsockname()[1]}",)
        settings = Settings(zookeeper=replace(zookeeper, hosts=hosts, chroot=""))
        result = nodepool("list", load=lambda path, secure: settings, connect_timeout=0.3)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert f"No answer from ZooKeeper at {hosts[0]} within" in line


def test_a_closed_port_is_one_sentence_with_the_reason(zookeeper):
    with socket.create_server(("127.0.0.1", 0)) as server:
        hosts = (f"127.0.0.1:{server.getsockname()[1]}",)
    settings = Settings(zookeeper=replace(zookeeper, hosts=hosts))
    result = nodepool("list", load=lambda path, secure: settings, connect_timeout=1)
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "refused" in line


def test_a_missing_chroot_is_one_sentence_and_no_empty_pool(zookeeper):
    settings = Settings(zookeeper=replace(zookeeper, chroot="/never-made"))
    result = nodepool("list", load=lambda path, secure: settings)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no /never-made in ZooKeeper" in result.stderr


def test_tls_against_a_plain_port_is_one_sentence(config):
    """As a process: kazoo leaves the sockets of failed TLS handshakes to the garbage collector, which warns here."""
    authority = ssl.get_default_verify_paths().cafile
    if authority is None:
        pytest.skip("no certificates on this machine")
    with_tls = {**json.loads(config.read_text()), "zookeeper-tls": {"ca": authority, "cert": None, "key": None}}
    config.write_text(json.dumps(with_tls))
    script = "import nodepool_ng.cli.session as s; from nodepool_ng.cli.main import cli; "
    script += "cli(obj=s.Surroundings(connect_timeout=1))"
    done = subprocess.run([sys.executable, "-c", script, "-c", config, "list"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "with TLS" in done.stderr


LISTED = """
import sys
before = set(sys.modules)
from nodepool_ng.cli.main import cli
try:
    cli(prog_name="nodepool")
finally:
    print(*(set(sys.modules) - before), sep="\\n", file=sys.stderr)
"""
LIBRARIES = {"click", "kazoo", "puresasl", "yaml"}
"""What `nodepool list` may load that is neither ours nor Python's; puresasl comes with kazoo."""
PACKAGES = {"cli", "config", "listing", "model", "zk"}
"""What it may load of ours."""
OF_THE_CONFIGURATION = {"address", "complaint", "document", "source"}
"""Enough to find ZooKeeper; the models of whole files take a third of a second."""
SLOW_ONES_OF_PYTHON = {"asyncio", "concurrent", "email", "http", "multiprocessing", "sqlite3", "subprocess", "xml"}


def test_list_loads_what_it_needs_and_nothing_else(config, put_node):
    """How long it takes until something is printed is mostly how much is loaded, and that can be counted."""
    put_node()
    argv = [sys.executable, "-c", LISTED, "-c", str(config), "list"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert " ready " in done.stdout
    loaded = [name.split(".") for name in done.stderr.splitlines()]
    tops = {name[0] for name in loaded}
    assert tops & packages_distributions().keys() - {"nodepool_ng"} <= LIBRARIES
    assert not tops & SLOW_ONES_OF_PYTHON
    ours = [name[1:] for name in loaded if name[0] == "nodepool_ng" and name[1:]]
    assert {name[0] for name in ours} <= PACKAGES
    assert {name[1] for name in ours if name[0] == "config" and name[1:]} <= OF_THE_CONFIGURATION
    assert len(loaded) <= 260, "it has grown: see what can be loaded later"
