"""Where scenarios play: a private ZooKeeper, simulated clouds, and one launcher, ours or Nodepool 11.0.0's.

Both read the same nodepool.yaml. Nodepool 11 is configured kindly: a rate that does not slow it down, no search for
floating IPs, INFO log; it insists on TLS to ZooKeeper, which its launcher alone uses.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from nodepool_ng.model.component import POOL
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import Server, private_server
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Children, Names
from tests.bench.figures import Usage, packets, sessions, usage
from tests.bench.jobs import Jobs
from tests.support.daemons import Daemon, Site, site, wait_for

BOOT = 5.0  # seconds
PATIENCE = 600.0  # seconds
UNLIMITED = -1


class Product(StrEnum):
    OURS = "nodepool_ng"
    THEIRS = "Nodepool 11.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """So many regions, each a provider with one pool; times in seconds; `quota` is for each region."""

    count: int = 1
    boot: float = BOOT
    quota: int = UNLIMITED
    slots: int = UNLIMITED
    """max-servers of each pool."""
    min_ready: int = 0
    labels: int = 1
    host_keys: bool = False
    """Whether servers answer SSH with keys of three types, and launchers ask for them."""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"region{number}" for number in range(self.count))

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(f"small{number or ''}" for number in range(self.labels))


@dataclass(frozen=True, slots=True)
class Counts:
    """What was used since the launcher began."""

    launcher: Usage
    operations: int
    calls: Mapping[str, int]

    def lists(self) -> int:
        return self.calls.get("server.list", 0)

    def other_calls(self) -> int:
        """Calls that are neither lists of servers nor made once per start."""
        return sum(
            count
            for name, count in self.calls.items()
            if name.startswith(("server.", "port.", "floating.")) and name != "server.list"
        )


class Stage:
    """A running scenario. Whoever asks ZooKeeper beside the launcher has to be connected before it starts."""

    def __init__(self, product: Product, place: Site, server: Server, clouds: Clouds) -> None:
        self.product = product
        self.place = place
        self.server = server
        self.clouds = clouds
        self.launcher: Daemon
        self.jobs = Jobs(place.zookeeper)
        self._store = KazooStore(place.zookeeper)
        self._strangers: frozenset[int] = frozenset()

    def open(self) -> None:
        """Connect everybody who is not the launcher."""
        self.jobs.start()
        self._store.start()
        wait_for(lambda: self._store.connected, "ZooKeeper answers")
        self.place.nodes()
        self._strangers = frozenset(sessions(self.server))

    def close(self) -> None:
        self.jobs.stop()
        self._store.stop()

    def another(self, tag: str = "") -> Daemon:
        """Return a launcher, not yet started, with the configuration of the others."""
        return _launcher(self.product, self.place, tag)

    def counts(self) -> Counts:
        pid = self.launcher.process.pid if self.launcher.process else 0
        strangers = sum(count for id, count in sessions(self.server).items() if id in self._strangers)
        return Counts(usage(pid), packets(self.server) - strangers, self.calls())

    def calls(self) -> dict[str, int]:
        """Return how often all clouds together were asked for what, by whichever launcher."""
        totals: dict[str, int] = {}
        for name in self.clouds.names:
            for verb, count in self.place.sim.region("acme", name).counters().calls.items():
                totals[verb] = totals.get(verb, 0) + count
        return totals

    def nodes(self) -> int:
        """Return how many nodes are recorded, whatever their state."""
        return max(self._children(paths.NODES), 0)

    def _children(self, path: str) -> int:
        (listed,) = call(self._store, [Children(path)])
        return len(listed.names) if isinstance(listed, Names) else -1

    def wait_registered(self, launchers: int = 1) -> None:
        """Wait until all pools of so many launchers are there to be asked."""
        pools = self.clouds.count * launchers
        wait_for(lambda: self._children(paths.components(POOL)) >= pools, "the pools are registered")

    def wait_ready(self, count: int, timeout: float = PATIENCE) -> None:
        """Wait until so many nodes are ready and free, and no others on their way. There may be more of them: nodes
        that were given back unused have been replaced already."""

        def enough() -> bool:
            nodes = self.place.nodes().values()
            coming = any(node.state in (NodeState.INIT, NodeState.BUILDING) for node in nodes)
            return not coming and sum(node.free for node in nodes) >= count

        wait_for(enough, f"{count} nodes are ready", timeout)

    def wait_gone(self, count: int = 0, timeout: float = PATIENCE) -> None:
        """Wait until no more than so many records are left."""
        wait_for(lambda: self.nodes() <= count, f"{count} records are left", timeout)


@contextmanager
def stage(product: Product, clouds: Clouds, *, start: bool = True) -> Iterator[Stage]:
    """A stage whose launcher, clouds and ZooKeeper are gone when the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        tls = None
        if product is Product.THEIRS:
            from tests.support import tls as authority

            tls = authority.make(folder / "tls")
        server = stack.enter_context(private_server(tls.server if tls else None))
        place = stack.enter_context(site(folder, ZooKeeperSettings(hosts=(server.address,))))
        place.start_clouds(clouds=_simulated(clouds))
        settings = _configuration(clouds, _connection_ports(place, clouds))
        place.configure(**settings)
        if tls is not None:
            servers = [{"host": "127.0.0.1", "port": server.secure_port}]
            files = {"ca": str(tls.ca), "cert": str(tls.cert), "key": str(tls.key)}
            _rewrite(place.config, lambda old: _kindly({**old, "zookeeper-servers": servers, "zookeeper-tls": files}))
            _rewrite(place.clouds_yaml, _without_floating_ips)
        made = Stage(product, place, server, clouds)
        made.open()
        stack.callback(made.close)
        made.launcher = made.another()
        if start:
            made.launcher.start()
        yield made
        if os.environ.get("PROFILE") and made.launcher.running:
            made.launcher.stop()


def ours_and_theirs(beside: bool) -> tuple[Product, ...]:
    return (Product.OURS, Product.THEIRS) if beside else (Product.OURS,)


def _launcher(product: Product, place: Site, tag: str) -> Daemon:
    arguments = ("-c", str(place.config), "-p", str(place.folder / f"launcher{tag}.pid"), "-f", "--no-webapp")
    daemon = place.daemon("nodepool-launcher", *arguments, tag=tag, start=False)
    if product is Product.THEIRS:
        from tests.support.peers import NODEPOOL, install

        missing = install(NODEPOOL)
        if missing is not None:
            raise SystemExit(missing)
        daemon.argv[0] = str(NODEPOOL.folder / "bin" / "nodepool-launcher")
    elif os.environ.get("PROFILE"):
        from tests.bench import profiled

        daemon.argv[:1] = os.environ["PROFILE"].split() if " " in os.environ["PROFILE"] else profiled.command()
    return daemon


def _simulated(clouds: Clouds) -> dict[str, object]:
    """The times that the table of goals in the design is about."""
    region = {
        "boot": clouds.boot,
        "delete": 1.0,
        "quota": {"instances": clouds.quota},
        "latency": {
            "calls": {
                "server.create": 0.1,
                "server.delete": 0.05,
                "server.list": {"fixed": 0.02, "per_item": 0.0002},
            }
        },
        "images": [{"name": "base"}],
        "networks": [{"name": "public", "cidrs": ["10.0.0.0/12"], "external": True}],
        **({"ssh": True} if clouds.host_keys else {}),
        **clouds.extra,
    }
    return {"acme": {"defaults": region, "regions": {name: {} for name in clouds.names}}}


def _connection_ports(place: Site, clouds: Clouds) -> Mapping[str, int | None]:
    """Return where the servers of each region answer SSH."""
    return {name: place.sim.region("acme", name).state().ssh_port for name in clouds.names}


def _configuration(clouds: Clouds, ports: Mapping[str, int | None]) -> dict[str, object]:
    ready = {name: clouds.min_ready if name == "small" else 0 for name in clouds.label_names}
    labels = [{"name": name, "cloud-image": "base", "flavor-name": "small"} for name in clouds.label_names]
    limit = {} if clouds.slots == UNLIMITED else {"max-servers": clouds.slots}
    return {
        "labels": [{"name": name, "min-ready": count} for name, count in ready.items()],
        "providers": [
            {
                "name": name,
                "cloud": "acme",
                "region-name": name,
                "boot-timeout": 300,
                "launch-timeout": 600,
                "cloud-images": [{"name": "base", **({"connection-port": port} if port is not None else {})}],
                "pools": [{"name": "main", "host-key-checking": clouds.host_keys, "labels": labels, **limit}],
            }
            for name, port in ports.items()
        ],
    }


def _kindly(settings: dict[str, Any]) -> dict[str, object]:
    """Nodepool 11 limits itself to one call a second unless told otherwise."""
    return {**settings, "providers": [{**provider, "rate": 0.001} for provider in settings["providers"]]}


def _without_floating_ips(old: dict[str, Any]) -> dict[str, object]:
    return {"clouds": {name: {**cloud, "floating_ip_source": "None"} for name, cloud in old["clouds"].items()}}


def _rewrite(file: Path, change: Callable[[dict[str, Any]], dict[str, object]]) -> None:
    draft = file.with_suffix(".new")
    draft.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text())), sort_keys=False))
    draft.replace(file)


def rest(seconds: float) -> None:
    """Let a launcher be idle for a while, since what is measured is how it is then."""
    time.sleep(seconds)
