"""Hand-out latency and the price of a node's life, on a real ZooKeeper and simulated clouds.

Prints, for 100 ready nodes: how long a request takes from being written to being fulfilled, beside a bare script that
makes the same dependent ZooKeeper rounds; and per node life API calls, ZooKeeper operations and launcher CPU, with
the launcher's threads and memory.

    python -m tests.bench.handout [--ready 100] [--requests 200] [--lives 100]
"""

import argparse
import json
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nodepool_ng.demo.scheduler import Scheduler
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import Server, private_server
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Changed, Children, Commit, Create, Delete, Get, Got, Kind, News, Set
from tests.support.daemons import Daemon, Site, site, wait_for

REGIONS = ("north", "south")
BOOT = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: CPU in seconds, memory in MiB."""

    cpu: float
    threads: int
    memory: float


def usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    ticks = os.sysconf("SC_CLK_TCK")
    return Usage(
        cpu=(int(fields[11]) + int(fields[12])) / ticks,
        threads=int(fields[17]),
        memory=int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024,
    )


def operations(server: Server, client_of: Callable[[int], bool]) -> int:
    """Return how many packets ZooKeeper has had from the connections of which `client_of(session)` holds."""
    total = 0
    for line in server.ask("cons").splitlines():
        session = re.search(r"sid=0x([0-9a-f]+)", line)
        received = re.search(r"recved=(\d+)", line)
        if session and received and client_of(int(session.group(1), 16)):
            total += int(received.group(1))
    return total


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def show(title: str, seconds: list[float]) -> dict[str, float]:
    figures = {
        "p50": statistics.median(seconds) * 1000,
        "p95": percentile(seconds, 0.95) * 1000,
        "p99": percentile(seconds, 0.99) * 1000,
    }
    print(f"{title:<34}" + "".join(f"{name} {value:7.1f} ms   " for name, value in figures.items()))
    return figures


def launcher_latencies(place: Site, zuul: Scheduler, count: int) -> list[float]:
    """Ask for one node at a time; give each back unused, and wait until it is nobody's again."""
    took = []
    for _ in range(count):
        answered = zuul.wait(zuul.ask(["small"]), 30)
        took.append(answered.timing.took)
        for lent in zuul.take(answered):
            zuul.release(lent)
            wait_for(lambda id=lent.node.id: place.node(id).free, "the node is free again")  # type: ignore[misc]
    return took


class BareRounds:
    """Answers requests with the least that the protocol allows: the event, a read, locks with a look, a hand-over."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self._store = KazooStore(settings)
        self._node = ""
        self._told = threading.Event()

    def start(self) -> None:
        self._store.watch((paths.REQUESTS,), self._hear)
        self._store.start()
        wait_for(lambda: self._store.connected, "the script is connected")
        (made,) = call(self._store, [Commit((Create(paths.NEW_NODE, b"{}", sequence=True),))])
        self._node = str(made.results[0])  # type: ignore[union-attr]
        call(self._store, [Commit((Create(f"{self._node}/lock"),))])

    def stop(self) -> None:
        call(self._store, [Commit((Delete(f"{self._node}/lock"), Delete(self._node)))])
        self._store.stop()

    def _hear(self, news: News) -> None:
        if isinstance(news, Changed) and news.kind is Kind.CREATED and news.path != paths.REQUESTS:
            self._store.submit([Get(news.path)], lambda answers: self._lock(news.path, answers[0]))

    def _lock(self, path: str, got: object) -> None:
        if not isinstance(got, Got):
            return
        lock = f"{paths.REQUEST_LOCKS}/{path.rpartition('/')[2]}"
        name = f"{'0' * 32}__lock__"
        taken = Commit(
            (
                Create(lock),
                Create(f"{lock}/{name}", ephemeral=True, sequence=True),
                Create(f"{self._node}/lock/{name}", ephemeral=True, sequence=True),
            )
        )
        looks = (Children(lock), Get(path), Children(f"{self._node}/lock"), Get(self._node))
        self._store.submit((taken, *looks), lambda answers: self._hand_over(path, got, answers[0]))

    def _hand_over(self, path: str, got: Got, made: object) -> None:
        _, mine, nodes = made.results  # type: ignore[attr-defined]
        record = {**json.loads(got.data), "state": "fulfilled", "nodes": [], "state_time": time.time()}
        ops = (Set(self._node, b"{}"), Delete(nodes), Set(path, json.dumps(record).encode()), Delete(mine))
        self._store.submit([Commit(ops)], lambda answers: None)


def bare_latencies(zuul: Scheduler, settings: ZooKeeperSettings, count: int) -> list[float]:
    bare = BareRounds(settings)
    bare.start()
    try:
        took = []
        for _ in range(count):
            answered = zuul.wait(zuul.ask(["small"]), 30)
            took.append(answered.timing.took)
            zuul.cancel(answered.request.id)
        return took
    finally:
        bare.stop()


def live(zuul: Scheduler, count: int, at_once: int) -> None:
    """Let so many nodes be used and given back, some at a time."""
    left = count
    while left > 0:
        requests = [zuul.ask(["small"]) for _ in range(min(at_once, left))]
        left -= len(requests)
        lent = [each for request in requests for each in zuul.take(zuul.wait(request, 60))]
        for each in lent:
            zuul.give_back(zuul.use(each))


@contextmanager
def pool(folder: Path, server: Server, settings: ZooKeeperSettings, ready: int) -> Iterator[tuple[Site, Daemon]]:
    """A launcher with so many ready nodes over two regions."""
    with site(folder, settings) as place:
        region = {"boot": BOOT, "quota": {"instances": -1, "cores": -1, "ram": -1}, "images": [{"name": "base"}]}
        place.start_clouds(clouds={"acme": {"defaults": region, "regions": {name: {} for name in REGIONS}}})
        label = {"name": "small", "cloud-image": "base", "flavor-name": "small"}
        place.configure(
            labels=[{"name": "small", "min-ready": ready}],
            providers=[
                {
                    "name": name,
                    "cloud": "acme",
                    "region-name": name,
                    "cloud-images": [{"name": "base"}],
                    "pools": [{"name": "main", "host-key-checking": False, "labels": [label]}],
                }
                for name in REGIONS
            ],
        )
        launcher = place.daemon("nodepool-launcher", "-c", str(place.config), "-f", "--no-webapp")
        wait_for(lambda: place.ready(ready), f"{ready} nodes are ready", 120)
        yield place, launcher


def api_calls(place: Site) -> dict[str, int]:
    totals: dict[str, int] = {}
    for name in REGIONS:
        for verb, count in place.sim.region("acme", name).counters().calls.items():
            totals[verb] = totals.get(verb, 0) + count
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready", type=int, default=100)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--lives", type=int, default=100)
    chosen = parser.parse_args()
    with private_server() as server, tempfile.TemporaryDirectory() as folder:
        settings = ZooKeeperSettings(hosts=(server.address,))
        with pool(Path(folder), server, settings, chosen.ready) as (place, launcher):
            assert launcher.process is not None
            zuul = place.scheduler()
            live(zuul, 4, 4)
            wait_for(lambda: place.ready(chosen.ready), "the pool is full")
            warm = show(f"hand-out, {chosen.ready} ready", launcher_latencies(place, zuul, chosen.requests))
            mine = sessions(server)
            others = mine - {launcher_session(server, launcher)}
            calls, before = api_calls(place), usage(launcher.process.pid)
            packets = operations(server, lambda session: session not in others)
            live(zuul, chosen.lives, 10)
            wait_for(lambda: place.ready(chosen.ready), "the pool is full", 120)
            after = usage(launcher.process.pid)
            packets = operations(server, lambda session: session not in others) - packets
            spent = {verb: count - calls.get(verb, 0) for verb, count in api_calls(place).items()}
            launcher.stop()
        with site(Path(folder), settings) as quiet:
            bare = show("the same ZooKeeper rounds, bare", bare_latencies(quiet.scheduler(), settings, chosen.requests))
    life = {
        "api_calls": (spent.get("server.create", 0) + spent.get("server.delete", 0)) / chosen.lives,
        "api_lists": spent.get("server.list", 0) / chosen.lives,
        "zookeeper_operations": packets / chosen.lives,
        "cpu_ms": (after.cpu - before.cpu) / chosen.lives * 1000,
    }
    print(
        f"per node life: {life['api_calls']:.2f} API calls and {life['api_lists']:.2f} lists, "
        f"{life['zookeeper_operations']:.1f} ZooKeeper operations, {life['cpu_ms']:.1f} ms of CPU"
    )
    print(f"launcher: {after.threads} threads, {after.memory:.0f} MiB")
    ratio = warm["p50"] / bare["p50"]
    print(f"hand-out / bare rounds, p50: {ratio:.2f}")
    print(json.dumps({"warm": warm, "bare": bare, "life": life, "threads": after.threads, "memory": after.memory}))


def sessions(server: Server) -> set[int]:
    return {int(found, 16) for found in re.findall(r"sid=0x([0-9a-f]+)", server.ask("cons"))}


def launcher_session(server: Server, launcher: Daemon) -> int:
    """Return the session that registered the launcher."""
    dump = server.ask("dump")
    session = 0
    for line in dump.splitlines():
        found = re.match(r"0x([0-9a-f]+):", line.strip())
        if found:
            session = int(found.group(1), 16)
        elif "/components/launcher/" in line:
            return session
    raise LookupError("no launcher is registered")


if __name__ == "__main__":
    main()
