"""Whole daemons as processes: a folder of configuration, simulated clouds, and the console scripts of the product.

Everything is started on free ports, in a folder of its own, and dies with the test.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import yaml

from nodepool_ng.demo.scheduler import Scheduler
from nodepool_ng.model.ids import NodeId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.client import SimClient
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.codec import decode_node
from nodepool_ng.zk.store import UNKNOWN_OUTCOME, Answer, Answers, Children, Failure, Get, Got, Names, Verb

PATIENCE = 60.0  # seconds
SCRIPTS = Path(sys.executable).parent
NOTHING: Mapping[str, str] = MappingProxyType({})
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """To be called in a child before it becomes what it is to be."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """A child process with a log; `kill` is kill -9."""

    def __init__(self, argv: list[str], log: Path, env: Mapping[str, str]) -> None:
        self.argv = argv
        self.log = log
        self._env = env
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Daemon":
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._env,
                preexec_fn=die_with_parent,
            )
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Stop in order and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Site:
    """Simulated clouds and the files that daemons are pointed at."""

    def __init__(self, folder: Path, zookeeper: ZooKeeperSettings) -> None:
        self.folder = folder
        self.zookeeper = zookeeper
        self.sim: SimClient
        self.web_port = free_port()
        """Where the first of its launchers serves pages; others wait for the port."""
        self.environment: dict[str, str] = {}
        """What daemons started from now on get beside the usual."""
        self._running: list[Daemon] = []
        self._schedulers: list[Scheduler] = []
        self._eyes: KazooStore | None = None

    def start_clouds(self, **settings: object) -> SimClient:
        """Start nodepool-sim with these settings (see `sim.config`); returns the way to its admin endpoint."""
        config = self.folder / "sim.yaml"
        config.write_text(yaml.safe_dump(settings))
        port = self.folder / "port"
        self.daemon(
            "nodepool-sim", "--config", str(config), "--port-file", str(port), "--clouds-yaml", str(self.clouds_yaml)
        )
        wait_for(port.exists, "nodepool-sim listens")
        self.sim = SimClient(f"http://127.0.0.1:{port.read_text().strip()}")
        return self.sim

    def nodes(self) -> dict[NodeId, Node]:
        """Return the records of all nodes there are."""
        (listed,) = self._look(Children(paths.NODES))
        ids = [NodeId(name) for name in listed.names] if isinstance(listed, Names) else []
        answers = self._look(*(Get(paths.node(id)) for id in ids))
        found = {id: decode_node(id, got.data) for id, got in zip(ids, answers, strict=True) if isinstance(got, Got)}
        return {id: node for id, node in found.items() if isinstance(node, Node)}

    def node(self, id: NodeId) -> Node:
        """Return the record of one node."""
        (got,) = self._look(Get(paths.node(id)))
        assert isinstance(got, Got), got
        node = decode_node(id, got.data)
        assert isinstance(node, Node), node
        return node

    def children(self, folder: str) -> list[str]:
        """Return the paths right below one, in order."""
        (listed,) = self._look(Children(folder))
        return sorted(f"{folder}/{name}" for name in listed.names) if isinstance(listed, Names) else []

    def read(self, path: str) -> Answer:
        """Return what is at a path."""
        (got,) = self._look(Get(path))
        return got

    def _look(self, *verbs: Verb) -> Answers:
        """Read; again when the server went away meanwhile, since no answer does not mean that nothing is there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answers = call(self.store(), verbs)
            lost = any(isinstance(answer, Failure) and answer.problem in UNKNOWN_OUTCOME for answer in answers)
            if not lost or time.monotonic() > deadline:
                return answers
            time.sleep(0.05)

    def ready(self, count: int, *, label: str | None = None) -> bool:
        """Tell whether exactly so many nodes are ready and nobody's, and no others are on their way."""
        nodes = [node for node in self.nodes().values() if label is None or label in node.labels]
        coming = [node for node in nodes if node.state in (NodeState.INIT, NodeState.BUILDING)]
        return not coming and sum(node.free for node in nodes) == count

    def scheduler(self) -> Scheduler:
        """Return a CI scheduler that is connected."""
        made = Scheduler(KazooStore(self.zookeeper), name="tests")
        made.start()
        self._schedulers.append(made)
        return made

    def store(self) -> KazooStore:
        """Return the way to ZooKeeper's records that this site uses itself."""
        if self._eyes is None:
            self._eyes = KazooStore(self.zookeeper)
            self._eyes.start()
            assert wait_connected(self._eyes, PATIENCE)
        return self._eyes

    @property
    def clouds_yaml(self) -> Path:
        return self.folder / "clouds.yaml"

    @property
    def config(self) -> Path:
        return self.folder / "nodepool.yaml"

    def configure(self, **settings: object) -> None:
        """Write nodepool.yaml; where ZooKeeper is goes in by itself."""
        places = [host.rpartition(":") for host in self.zookeeper.hosts]
        chroot = self.zookeeper.chroot
        servers = [{"host": name, "port": int(port), "chroot": chroot} for name, _, port in places]
        web = {"port": self.web_port, "listen_address": "127.0.0.1"}
        draft = self.folder / "nodepool.yaml.new"
        whole = {
            "zookeeper-servers": servers,
            "zookeeper-timeout": self.zookeeper.session_timeout,
            "webapp": web,
            **settings,
        }
        if self.zookeeper.tls_ca is not None:
            tls = {"ca": self.zookeeper.tls_ca, "cert": self.zookeeper.tls_cert, "key": self.zookeeper.tls_key}
            whole["zookeeper-tls"] = tls
        if (auth := self.zookeeper.auth) is not None:
            told = {"user": auth.user, "password": auth.password}
            whole["zookeeper-auth"] = {**told, "scheme": str(auth.scheme), "protect": str(auth.protect)}
        draft.write_text(yaml.safe_dump(whole, sort_keys=False))
        draft.replace(self.config)

    def daemon(self, name: str, *arguments: str, tag: str = "", start: bool = True) -> Daemon:
        """Start a console script of the product."""
        return self.run([str(SCRIPTS / name), *arguments], f"{name}{tag}", start=start)

    def run(self, argv: list[str], name: str, env: Mapping[str, str] = NOTHING, *, start: bool = True) -> Daemon:
        """Start any daemon in the surroundings of this site; `name` is its log's."""
        daemon = Daemon(argv, self.folder / f"{name}.log", self.surroundings(env))
        self._running.append(daemon)
        return daemon.start() if start else daemon

    def surroundings(self, more: Mapping[str, str] = NOTHING) -> dict[str, str]:
        """Return all environment variables of this site's processes."""
        site = {"OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml), "HOME": str(self.folder)}
        return {**os.environ, **site, **self.environment, **more}

    def launcher(self, tag: str = "", *arguments: str) -> Daemon:
        return self.daemon("nodepool-launcher", "-c", str(self.config), "-d", *arguments, tag=tag)

    def logs(self, name: str = "nodepool-launcher") -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"{name}*.log")))

    def stop(self) -> None:
        for scheduler in self._schedulers:
            scheduler.stop()
        if self._eyes is not None:
            self._eyes.stop()
        for daemon in reversed(self._running):
            if daemon.running:
                daemon.kill()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def site(folder: Path, zookeeper: ZooKeeperSettings) -> Iterator[Site]:
    """A site whose processes are gone when the block ends."""
    made = Site(folder, zookeeper)
    try:
        yield made
    finally:
        made.stop()


def wait_for(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until something outside of this process holds; there is no event to wait on, so look again and again."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience:g} s: {what}")
        time.sleep(0.05)
