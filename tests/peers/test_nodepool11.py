"""Nodepool 11 before us, after us and beside us: the same configuration, the same tree, the same clouds."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nodepool_ng.demo.building import STAND_IN
from nodepool_ng.demo.scheduler import Lent, Refused, Scheduler
from nodepool_ng.model.ids import NodeId, ProviderName, RequestId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import decode_node, decode_request, encode_node, encode_request
from nodepool_ng.zk.store import Got
from tests.support.daemons import SCRIPTS, Site, site, wait_for
from tests.support.nodepool11 import Nodepool11, comparable

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.peers, pytest.mark.timeout(400)]

SLOW = 90.0  # seconds; Nodepool 11 takes its time
IMAGE = "tiny"


@pytest.fixture
def place(tmp_path: Path, new_tree: Callable[[], ZooKeeperSettings]) -> Iterator[Site]:
    """A site of each test's own."""
    with site(tmp_path, new_tree()) as made:
        made.start_clouds(clouds={"acme": {"defaults": CLOUD, "regions": {"north": {}, "south": {}}}})
        yield made


CLOUD = {"boot": 0.5, "delete": 0.2, "images": [{"name": "base"}]}


def provider(name: str, *labels: dict[str, object], max_servers: int = 6, **more: object) -> dict[str, object]:
    pool = {"name": "main", "max-servers": max_servers, "host-key-checking": False, "labels": list(labels)}
    return {
        "name": name,
        "cloud": "acme",
        "region-name": name,
        "rate": 0.001,
        "cloud-images": [{"name": "base", "username": "zuul"}],
        "pools": [pool],
        **more,
    }


def label(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "cloud-image": "base", "flavor-name": "small", "min-ram": 1, **more}


def configure(place: Site, *providers: dict[str, object], min_ready: int = 1, **more: object) -> None:
    labels = [{"name": "small", "min-ready": min_ready}, {"name": "cold"}]
    place.configure(labels=labels, providers=list(providers), **more)


def with_image(place: Site, **more: object) -> None:
    """Configure a provider whose warm label boots from an image that is built here."""
    built = {"name": "small", "diskimage": IMAGE, "flavor-name": "small", "min-ram": 1}
    north = provider("north", built, label("cold"), diskimages=[{"name": IMAGE}], **more)
    image = {"name": IMAGE, "elements": ["none"], "formats": ["qcow2"], "dib-cmd": STAND_IN}
    (place.folder / "images").mkdir()
    folders = {"images-dir": str(place.folder / "images"), "build-log-dir": str(place.folder / "build-logs")}
    configure(place, north, diskimages=[image], **folders)


def live(place: Site, *regions: str) -> set[str]:
    return {server.id for name in regions for server in place.sim.region("acme", name).state().live}


def of_nodes(place: Site) -> set[object]:
    return {node.external_id for node in place.nodes().values()}


def borrow(zuul: Scheduler, *labels: str, patience: float = SLOW) -> list[Lent]:
    """Ask for nodes, take them and use them."""
    return [zuul.use(each) for each in zuul.take(zuul.wait(zuul.ask(labels), patience))]


def ours(place: Site, *arguments: str) -> str:
    """Run our command."""
    argv = [str(SCRIPTS / "nodepool"), "-c", str(place.config), *arguments]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=place.surroundings(), check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


COMMANDS = (
    ("list",),
    ("list", "--detail"),
    ("request-list",),
    ("image-list",),
    ("dib-image-list",),
    ("image-status",),
    ("info", "north"),
    ("alien-image-list",),
)


def compare_commands(place: Site, nodepool_11: Nodepool11) -> dict[tuple[str, ...], list[str]]:
    """Have both print every table; return them, once they are found equal."""
    with ThreadPoolExecutor(3) as threads:
        theirs = dict(zip(COMMANDS, threads.map(lambda words: nodepool_11.command(*words), COMMANDS), strict=True))
    printed = {words: comparable(ours(place, *words)) for words in COMMANDS}
    for words, table in theirs.items():
        assert "\n".join(printed[words]) == "\n".join(comparable(table))
    return printed


def test_its_commands_and_its_model_read_what_our_daemons_wrote(place: Site, nodepool_11: Nodepool11) -> None:
    with_image(place)
    place.daemon("nodepool-builder", "-c", str(place.config), "-d")
    place.launcher()
    zuul = place.scheduler()
    wait_for(lambda: place.ready(1), "a node is ready", SLOW)
    (held,) = borrow(zuul, "small")
    zuul.hold(held, "a-job", "to look at", 3600)
    borrow(zuul, "cold")
    waiting = zuul.ask(["cold"] * 6)
    wait_for(lambda: place.ready(1, label="small"), "another node is ready")
    tables = compare_commands(place, nodepool_11)
    assert sum(" hold " in line for line in tables["list",]) == 1
    assert any(waiting in line for line in tables["request-list",])
    assert any(f" {IMAGE} " in line and " ready " in line for line in tables["image-list",])
    assert any(" qcow2 " in line for line in tables["dib-image-list",])
    seen = nodepool_11.sees()
    assert sorted(seen["nodes"]) == sorted(place.nodes())
    assert {node["state"] for node in seen["nodes"].values()} == {"ready", "in-use", "hold"}
    assert seen["locked"] == [id for id, node in place.nodes().items() if node.state is NodeState.IN_USE]
    assert seen["pools"] == [["north", "main", 100]]
    for path, record in records(place):
        kind, id = path.split("/")[2:4]
        known = {key: value for key, value in seen[kind][id].items() if key in record}
        assert known == {key: record[key] for key in known}


def test_an_image_that_nobody_knows_is_found_by_ours_only(place: Site, nodepool_11: Nodepool11) -> None:
    """The one table that differs: the original cannot ask any cloud there, and shows nothing whatever is in it."""
    with_image(place)
    builder = place.daemon("nodepool-builder", "-c", str(place.config), "-d")
    wait_for(lambda: " ready " in ours(place, "image-list"), "it is built and uploaded", SLOW)
    assert builder.stop() == 0
    ours(place, "erase", "north", "--force")
    titles = "| Provider | Name | Image ID |"
    found, theirs = cells(ours(place, "alien-image-list")), cells(nodepool_11.command("alien-image-list"))
    assert theirs == [titles]
    (image,) = [one for one in place.sim.region("acme", "north").state().images if one["name"] != "base"]
    assert found == [titles, f"| north | {image['name']} | {image['id']} |"]


def cells(table: str) -> list[str]:
    return [" ".join(line.split()) for line in table.splitlines() if "+" not in line]


def records(place: Site) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and JSON of each node and request there is."""
    for folder in (paths.NODES, paths.REQUESTS):
        for path in place.children(folder):
            got = place.read(path)
            if isinstance(got, Got):
                yield path, json.loads(got.data)


def test_we_take_over_what_it_left_behind(place: Site, nodepool_11: Nodepool11) -> None:
    with_image(place)
    its_builder = nodepool_11.builder()
    its_launcher = nodepool_11.launcher()
    zuul = place.scheduler()
    wait_for(lambda: place.ready(1), "its image is built and its node is ready", SLOW)
    (held,) = borrow(zuul, "cold")
    zuul.hold(held, "a-job", "to look at", 3600)
    used, kept = borrow(zuul, "cold", "cold")
    place.sim.region("acme", "north").fault(call="server.create", fate="stuck", times=1)
    pending = zuul.ask(["cold"])
    # Killed before it has recorded the server's id, it leaves a server that only the sweep for leaks may delete.
    wait_for(lambda: with_server(place, pending), "it builds a node that does not come up", SLOW)
    its_launcher.kill()
    its_builder.stop()
    waiting = zuul.ask(["small"])
    ready = in_state(place, NodeState.READY)
    (building,) = with_server(place, pending)
    for path, record in records(place):
        decode, encode = (decode_node, encode_node) if "/nodes/" in path else (decode_request, encode_request)
        decoded = decode(path.rpartition("/")[2], json.dumps(record).encode())
        again = json.loads(encode(decoded))
        assert {key: again.get(key) for key in record} == record
    wait_for(lambda: not place.children(paths.components("launcher")), "its session is over")
    compare_commands(place, nodepool_11)
    place.daemon("nodepool-builder", "-c", str(place.config), "-d")
    place.launcher()
    assert zuul.wait(waiting, SLOW).request.nodes[0] in ready
    assert zuul.wait(pending, SLOW).request.nodes != (building,)
    zuul.give_back(used)
    gone = {building, used.node.id}
    assert not set(ready) - set(place.nodes())
    wait_for(lambda: not gone & set(place.nodes()), "what it was building and what was used is gone", SLOW)
    wait_for(lambda: live(place, "north") == of_nodes(place), "servers and nodes agree", SLOW)
    assert place.node(held.node.id).state is NodeState.HOLD
    assert place.node(kept.node.id).state is NodeState.IN_USE
    assert len(place.sim.region("acme", "north").state().images) == 2
    assert "Traceback" not in place.logs("nodepool-")


def with_server(place: Site, request: RequestId) -> list[NodeId]:
    """Return the nodes that are built for a request and whose server is there and recorded. A pool that was found short
    twice while it was filled may have one more of them than was asked for, so to count servers would not tell."""
    there = live(place, "north")
    return [
        id
        for id, node in place.nodes().items()
        if (node.allocated_to, node.state) == (request, NodeState.BUILDING) and node.external_id in there
    ]


def in_state(place: Site, state: NodeState) -> list[NodeId]:
    return sorted(id for id, node in place.nodes().items() if node.state is state)


def test_it_takes_over_what_we_left_behind(place: Site, nodepool_11: Nodepool11) -> None:
    configure(place, provider("north", label("small"), label("cold")))
    launcher = place.launcher()
    zuul = place.scheduler()
    wait_for(lambda: place.ready(1), "a node is ready")
    (held,) = borrow(zuul, "cold")
    zuul.hold(held, "a-job", "to look at", 3600)
    used, kept = borrow(zuul, "cold", "cold")
    place.sim.region("acme", "north").fault(call="server.create", fate="stuck", times=1)
    pending = zuul.ask(["cold"])
    wait_for(lambda: with_server(place, pending), "a node is being built that does not come up")
    launcher.kill()
    waiting = zuul.ask(["small"])
    ready = in_state(place, NodeState.READY)
    (building,) = with_server(place, pending)
    # It looks for lost requests when it starts and then once a minute.
    wait_for(lambda: not place.children(paths.components("launcher")), "our session is over")
    nodepool_11.launcher()
    assert zuul.wait(waiting, SLOW).request.nodes[0] in ready
    assert zuul.wait(pending, SLOW).request.nodes != (building,)
    zuul.give_back(used)
    gone = {building, used.node.id}
    assert not set(ready) - set(place.nodes())
    wait_for(lambda: not gone & set(place.nodes()), "what we were building and what was used is gone", SLOW)
    wait_for(lambda: live(place, "north") == of_nodes(place), "servers and nodes agree", SLOW)
    assert place.node(held.node.id).state is NodeState.HOLD
    assert place.node(kept.node.id).state is NodeState.IN_USE


def test_side_by_side_with_different_providers(place: Site, nodepool_11: Nodepool11, tmp_path: Path) -> None:
    configure(place, provider("north", label("small")), min_ready=0)
    its_config = tmp_path / "its.yaml"
    place.config.rename(its_config)
    configure(place, provider("south", label("small"), label("cold")), min_ready=0)
    nodepool_11.launcher(its_config)
    place.launcher()
    wait_for(lambda: len(place.children(paths.components("pool"))) == 2, "both are registered", SLOW)
    zuul = place.scheduler()

    def asked(*labels: str, prefer: str | None = None) -> RequestId:
        return zuul.ask(labels, provider=ProviderName(prefer) if prefer else None)

    preferred = [asked("small", prefer=name) for name in ("north", "south")]
    only_ours, nobody = asked("cold", "small"), asked("small", "unknown")
    found = [place.node(zuul.wait(id, SLOW).request.nodes[0]).provider for id in preferred]
    assert found == ["north", "south"]
    assert {place.node(id).provider for id in zuul.wait(only_ours, SLOW).request.nodes} == {"south"}
    with pytest.raises(Refused):
        zuul.wait(nobody, SLOW)
    for id in preferred:
        zuul.cancel(id)
    place.sim.region("acme", "north").fault(call="server.create", fate="refused", status=500, times=50)
    moved_on = asked("small", "small", prefer="north")
    assert {place.node(id).provider for id in zuul.wait(moved_on, SLOW).request.nodes} == {"south"}


class Work:
    """Jobs one after the other, as long as wanted; everything that goes wrong is kept."""

    def __init__(self, zuul: Scheduler) -> None:
        self._zuul = zuul
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.done = 0
        self.trouble: list[str] = []

    def __enter__(self) -> "Work":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def more(self, jobs: int) -> None:
        """Wait until so many more are done."""
        goal = self.done + jobs
        wait_for(lambda: self.done >= goal or bool(self.trouble), f"{jobs} more jobs are done", SLOW)
        assert not self.trouble

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                for each in borrow(self._zuul, *["small"] * (1 + self.done % 2)):
                    self._zuul.give_back(each)
            except Exception as error:  # noqa: BLE001 - told by `more`, on the test's own thread
                self.trouble.append(repr(error))
                return
            self.done += 1


def test_a_rolling_upgrade_there_and_back_under_load(place: Site, nodepool_11: Nodepool11) -> None:
    configure(place, provider("north", label("small"), max_servers=10), min_ready=2)
    zuul = place.scheduler()
    old = nodepool_11.launcher()
    wait_for(lambda: bool(place.children(paths.components("pool"))), "it is registered", SLOW)
    with Work(zuul) as work:
        work.more(3)
        new = place.launcher("-new")
        work.more(6)
        old.kill()
        work.more(6)
        back = nodepool_11.launcher(tag="-back")
        wait_for(lambda: len(place.children(paths.components("pool"))) == 2, "both are registered", SLOW)
        work.more(6)
        assert new.stop() == 0
        work.more(3)
    assert back.running
    wait_for(lambda: {node.state for node in place.nodes().values()} == {NodeState.READY}, "all is at rest", SLOW)
    wait_for(lambda: live(place, "north") == of_nodes(place), "servers and nodes agree", SLOW)
    assert "Traceback" not in place.logs("nodepool-launcher")
