"""The installation that is soaked: its configuration, its daemons, and who of them leads."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from nodepool_ng.launcher.world import OWNER_KEY
from nodepool_ng.model.component import LAUNCHER
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.shell import contender
from nodepool_ng.sim.zookeeper import Ensemble, Server
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Children, Commit, Create, Got, Names
from tests.support.builders import IMAGE, Yard
from tests.support.daemons import Daemon, Site, free_port, site, wait_for
from tests.support.line import Line
from tests.support.proxy import Proxy

SESSION = 5.0  # seconds
WARM = 10
MOST = 40
"""max-servers of each pool."""
REGIONS = ("north", "south")
CHROOT = "/soak"
NAMES = ("a", "b")
"""Of launchers, and of builders."""
SMALL_DISK = "small-disk"
"""Where launchers have their logs, pid files and sessions."""
BUILDS = 2
"""How many builds of an image are kept."""

STAND_IN = """#!/bin/bash
while [ $# -gt 0 ]; do
    case $1 in
        -o) out=$2; shift ;;
        -t) formats=${2//,/ }; shift ;;
    esac
    shift
done
set -e
work=$(mktemp -d)
if [ "$(id -u)" = 0 ]; then
    mount -t tmpfs -o size=1m none "$work" || echo "nothing can be mounted here"
fi
sleep 0.3
head -c 100000 /dev/urandom > "$work/root"
sleep 0.4
for format in $formats; do
    printf 'QFI\\373' > "$out.$format" # Glance looks whether it is qcow2
    head -c 300000 /dev/urandom >> "$out.$format"
    sleep 0.3
    md5sum "$out.$format" > "$out.$format.md5"
    sha256sum "$out.$format" > "$out.$format.sha256"
done
umount "$work" 2> /dev/null || true
rm -rf "$work"
"""
"""In the place of disk-image-create: it takes a second, in phases, and holds a mount and a folder meanwhile."""


def clouds() -> dict[str, object]:
    """Return two regions that boot in about a second and are refused nothing."""
    region = {"boot": {"uniform": [0.6, 1.5]}, "delete": 0.4, "images": [{"name": "base"}]}
    return {"acme": {"defaults": region, "regions": {name: {} for name in REGIONS}}}


def configuration(folder: Path, images: Path) -> dict[str, object]:
    """Return all of nodepool.yaml but where ZooKeeper is."""
    labels = [
        {"name": "small", "cloud-image": "base", "flavor-name": "small"},
        {"name": "built", "diskimage": IMAGE, "flavor-name": "small"},
    ]
    disk = {
        "name": IMAGE,
        "elements": ["one"],
        "dib-cmd": f"'{folder / 'dib stand-in'}'",
        "env-vars": {"TMPDIR": str(folder / "scratch")},
        "rebuild-age": 100_000,
    }
    providers = [
        {
            "name": name,
            "cloud": "acme",
            "region-name": name,
            "boot-timeout": 30,
            "launch-timeout": 60,
            "cloud-images": [{"name": "base"}],
            "diskimages": [{"name": IMAGE}],
            "pools": [{"name": "main", "max-servers": MOST, "host-key-checking": False, "labels": labels}],
        }
        for name in REGIONS
    ]
    return {
        "images-dir": str(images),
        "build-log-dir": str(folder / "build-logs"),
        "labels": [{"name": "small", "min-ready": WARM}, {"name": "built", "min-ready": 4}],
        "diskimages": [disk],
        "providers": providers,
    }


@dataclass
class Crew:
    """Two launchers, each behind proxies of its own; two builders, each with images of its own."""

    place: Site
    servers: tuple[Server, ...]
    yard: Yard
    launchers: dict[str, Daemon] = field(default_factory=dict)
    builders: dict[str, Daemon] = field(default_factory=dict)
    proxies: dict[str, list[Proxy]] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    """Where there can be such, what is between a launcher and everything else."""
    owners: dict[str, str] = field(default_factory=dict)
    """Of each launcher, how its contenders are signed."""
    _lives: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def images(self, name: str) -> Path:
        return self.place.folder / f"images-{name}"

    @property
    def scratch(self) -> Path:
        return self.place.folder / "scratch"

    def open(self) -> None:
        """Start the clouds and everybody else, one after the other."""
        self.scratch.mkdir()
        (self.place.folder / SMALL_DISK).mkdir(exist_ok=True)
        script = self.place.folder / "dib stand-in"
        script.write_text(STAND_IN)
        script.chmod(0o755)
        self.place.start_clouds(clouds=clouds())
        for name in NAMES:
            self.proxies[name] = [Proxy(("127.0.0.1", server.port)) for server in self.servers]
            self.images(name).mkdir(exist_ok=True)
            self._write(f"builder-{name}", self.images(name), self.place.zookeeper.hosts)
            self._write(f"launcher-{name}", self.images(name), self._doors(name))
            self.start_builder(name)
            self.start_launcher(name)

    def start_launcher(self, name: str) -> None:
        """Start it and wait until it is registered, and so known by its signature."""
        before = set(self._owners())
        log = f"{SMALL_DISK}/launcher-{name}-{next(self._lives)}"
        pid = str(self.place.folder / SMALL_DISK / f"{name}.pid")
        command = self._command("nodepool-launcher", f"launcher-{name}", pid)
        if name in self.lines:
            command = ["ip", "netns", "exec", self.lines[name].near, *command]
        self.launchers[name] = self.place.run(command, log)
        before |= {own for other, own in self.owners.items() if other != name}
        # the other one, whose session may have been lost by the failure before, may register anew just now
        wait_for(lambda: bool(set(self._owners()) - before), f"launcher {name} is registered")
        (self.owners[name],) = set(self._owners()) - before

    def start_builder(self, name: str) -> None:
        log, pid = f"builder-{name}-{next(self._lives)}", str(self.place.folder / f"builder-{name}.pid")
        self.builders[name] = self.place.run(self._command("nodepool-builder", f"builder-{name}", pid), log)

    def leader(self, provider: str = "south") -> str:
        """Return the launcher that minds a provider; wait until there is one that is known."""
        found: list[str] = []

        def known() -> bool:
            queue = [path.rpartition("/")[2] for path in self.place.children(paths.lease(ProviderName(provider)))]
            first = contender.holder(queue)
            found[:] = [name for name, own in self.owners.items() if first and contender.is_contender_of(own, first)]
            return bool(found)

        wait_for(known, f"somebody minds {provider}")
        return found[0]

    def stop(self) -> None:
        for proxies in self.proxies.values():
            for proxy in proxies:
                proxy.close()

    def _doors(self, name: str) -> tuple[str, ...]:
        """Return where this launcher finds ZooKeeper; the clouds are where they are for everybody else."""
        line = self.lines.get(name)
        if line is None:
            return tuple(proxy.address for proxy in self.proxies[name])
        line.as_at_home(int((self.place.folder / "port").read_text()))
        return tuple(line.let_out(proxy.port) for proxy in self.proxies[name])

    def _command(self, program: str, config: str, pid: str) -> list[str]:
        script = self.place.daemon(program, start=False).argv[0]
        return [script, "-c", str(self.place.folder / f"{config}.yaml"), "-f", "-p", pid]

    def _write(self, name: str, images: Path, hosts: tuple[str, ...]) -> None:
        self.place.configure(**configuration(self.place.folder, images))
        whole = yaml.safe_load(self.place.config.read_text())
        places = [host.rpartition(":") for host in hosts]
        whole["zookeeper-servers"] = [{"host": host, "port": int(port), "chroot": CHROOT} for host, _, port in places]
        (self.place.folder / f"{name}.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))

    def _owners(self) -> Iterator[str]:
        for path in self.place.children(paths.components(LAUNCHER)):
            got = self.place.read(path)
            if isinstance(got, Got) and OWNER_KEY in (record := json.loads(got.data)):
                yield record[OWNER_KEY]


@contextmanager
def zookeepers(folder: Path, count: int) -> Iterator[tuple[Server, ...]]:
    """Run so many servers, 1 or 3, for as long as the block lasts."""
    servers: tuple[Server, ...]
    if count == 1:
        servers = (Server(folder, free_port()),)
        servers[0].start()
    else:
        ensemble = Ensemble(folder, count)
        ensemble.start()
        servers = ensemble.servers
    try:
        yield servers
    finally:
        for each in servers:
            each.kill()


def make_chroot(addresses: tuple[str, ...], chroot: str) -> None:
    store = KazooStore(ZooKeeperSettings(hosts=addresses))
    store.start()
    assert wait_connected(store, 30)
    call(store, [Commit((Create(chroot),))])
    (names,) = call(store, [Children(chroot)])
    store.stop()
    assert isinstance(names, Names)


@contextmanager
def crew(folder: Path, count: int, lines: Sequence[Line] = ()) -> Iterator[Crew]:
    """A whole installation on so many ZooKeeper servers; its launchers are at the near ends of these lines."""
    with zookeepers(folder / "zookeeper", count) as servers:
        addresses = tuple(server.address for server in servers)
        make_chroot(addresses, CHROOT)
        settings = ZooKeeperSettings(hosts=addresses, chroot=CHROOT, session_timeout=SESSION)
        store = KazooStore(settings)
        store.start()
        assert wait_connected(store, 30)
        with site(folder, settings) as place:
            made = Crew(place, servers, Yard(place, store), lines=dict(zip(NAMES, lines, strict=False)))
            try:
                made.open()
                yield made
            finally:
                made.stop()
                store.stop()
