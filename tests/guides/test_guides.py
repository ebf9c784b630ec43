"""The guides below docs/, typed in by a test: every command, in order, on an installation that a job is running on."""

import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import NoZooKeeper, Server, find
from tests.daemons.test_launcher import clouds, provider
from tests.support.daemons import SCRIPTS, Daemon, Site, free_port, site, wait_for
from tests.support.readme import CHECKOUT

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(240)]

DOCS = CHECKOUT / "docs"
GUIDES = ("from-nodepool", "back-to-nodepool", "backup", "several", "upgrading")
_TYPED = re.compile(r"^ +# (.+)$", re.MULTILINE)
READY = 3


def typed(guide: str) -> list[str]:
    return _TYPED.findall((DOCS / f"{guide}.rst").read_text())


@dataclass
class Host:
    """A machine on which /etc/nodepool, /var/backups and ZooKeeper's folder are below a folder of the test's."""

    place: Site
    server: Server
    running: dict[str, Daemon] = field(default_factory=dict)

    def type(self, command: str) -> None:
        """Do what a command does; raise `AssertionError` when it fails."""
        words = shlex.split(command)
        if words[0] == "systemctl":
            for unit in words[2:]:
                self.unit(words[1], unit)
            return
        folder = self.place.folder
        for path in ("/etc/nodepool", "/var/backups", "/var/lib/zookeeper"):
            command = command.replace(path, str(folder if path == "/etc/nodepool" else folder / path[1:]))
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=self.place.surroundings({"PATH": f"{SCRIPTS}:/usr/bin:/bin"}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def unit(self, verb: str, unit: str) -> None:
        if unit == "zookeeper":
            {"stop": self.server.kill, "start": self.server.start}[verb]()
            return
        if verb == "kill":
            self.running.pop(unit).kill()
        elif verb in ("stop", "restart"):
            assert self.running.pop(unit).stop() in (0, -signal.SIGTERM), "one that has hardly begun just ends"
        if verb in ("start", "restart"):
            pid = self.place.folder / f"{unit}.pid"
            program = unit.partition("@")[0]
            arguments = ("-f", "-c", str(self.place.config), "-p", str(pid))
            self.running[unit] = self.place.daemon(program, *arguments, tag=f"-{unit}")

    def servers(self) -> set[str]:
        return {server.id for server in self.place.sim.region("acme", "east").state().live}


@contextmanager
def at_work(folder: Path) -> Iterator[Host]:
    """A host with all daemons running and a full pool."""
    server = Server(folder / "var/lib/zookeeper", free_port())
    server.start()
    (folder / "var/backups").mkdir(parents=True)
    try:
        with site(folder, ZooKeeperSettings(hosts=(server.address,))) as place:
            cloud = clouds()["acme"]
            place.start_clouds(clouds={"acme": {**cloud, "regions": {"east": {}}}})  # type: ignore[dict-item]
            images = {"images-dir": str(folder / "images"), "build-log-dir": str(folder / "build-logs")}
            labels = [{"name": "small", "min-ready": READY}]
            place.configure(**images, labels=labels, providers=[provider("east")])
            host = Host(place, server)
            for unit in ("nodepool-builder", "nodepool-launcher"):
                host.unit("start", unit)
            wait_for(lambda: place.ready(READY), "the pool is full")
            yield host
    finally:
        server.kill()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    with at_work(tmp_path) as made:
        yield made


def test_every_guide_has_commands_that_are_known() -> None:
    for guide in GUIDES:
        words = {command.split()[0] for command in typed(guide)}
        assert words <= {"nodepool", "systemctl", "cp", "rm"}
        assert "nodepool" in words
    links = (DOCS / "operators.rst").read_text()
    assert [guide for guide in GUIDES if f"<{guide}.rst>" not in links] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_does_what_it_says_and_no_job_loses_its_node(host: Host, guide: str) -> None:
    place = host.place
    zuul = place.scheduler()
    (lent,) = zuul.take(zuul.wait(zuul.ask(["small"]), 30))
    job = zuul.use(lent)
    wait_for(lambda: place.ready(READY), "the pool is full again")
    before = {id: node.server_id for id, node in place.nodes().items()}
    for command in typed(guide):
        host.type(command)
    assert host.servers() >= set(before.values())
    if guide == "back-to-nodepool":
        assert not host.running
        assert {id: node.server_id for id, node in place.nodes().items()} == before
        return
    wait_for(lambda: place.ready(READY), "the pool is full", 90)
    assert place.node(job.node.id).state is NodeState.IN_USE
    assert {id: node.server_id for id, node in place.nodes().items()} == before
    if guide == "backup":
        assert (place.folder / "var/backups/images.json").exists()
        assert shutil.disk_usage(place.folder / "var/backups/zookeeper")
    zuul.wait_connected(60)
    assert zuul.wait(zuul.ask(["small"]), 60)
    zuul.give_back(job)
    wait_for(lambda: job.node.id not in place.nodes(), "the used node is deleted")
