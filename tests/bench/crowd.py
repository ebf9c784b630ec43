"""A crowd: 10,000 nodes are in use and 2,000 requests wait. How soon does a launcher react to one more event?

The nodes are records, each locked by its client, whose servers nobody sees; so the launcher and ZooKeeper carry the
whole weight and the simulated clouds next to none. What is measured is real all the same: requests for ready nodes are
handed out, nodes that clients are done with are taken for deletion, and what waits gets their places.
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence

from nodepool_ng.demo.scheduler import NORMAL, request_record
from nodepool_ng.model.ids import Json, LabelName, NodeId, PoolName, ProviderName, RequestId, TenantName
from nodepool_ng.model.lifecycle import NodeEvent, NodeState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.quota import Resources
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.codec import decode_node, encode_node
from nodepool_ng.zk.store import (
    Changed,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Get,
    Got,
    Kind,
    Names,
    News,
    SessionNews,
    SessionState,
    Set,
    Verb,
)
from tests.bench.bare import CONTENDER
from tests.bench.figures import Latencies, Row, report
from tests.bench.stage import Clouds, Product, Stage, rest, stage
from tests.bench.warm import rounds
from tests.support.daemons import wait_for

FULL = 4
"""Providers that the crowd fills; one more has the ready nodes."""
READY = 40
AT_ONCE = 200
"""Records written in one round."""
RATE = 5.0  # nodes that clients are done with, a second
GOAL = "p99 250 ms"


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    nodes, waiting, count = (1000, 200, 40) if quick else (10_000, 2000, 200)
    clouds = Clouds(count=FULL + 1, boot=0.5, slots=nodes // FULL, min_ready=READY, labels=2)
    with stage(Product.OURS, clouds, start=False) as it:
        crowd = Crowd(it)
        crowd.gather(nodes)
        crowd.ask(waiting)
        it.launcher.start()
        wait_for(lambda: crowd.ready() >= READY, f"{READY} nodes are ready", 300)
        rest(5.0)
        before, began = it.counts(), time.monotonic()
        handed_out = Latencies.of(rounds(it.jobs, count))
        taken = Latencies.of(crowd.dismiss(count))
        after, took = it.counts(), time.monotonic() - began
        crowd.leave()
    cpu = (after.launcher.cpu - before.launcher.cpu) / took
    figures = {"nodes": nodes, "waiting": waiting, "handed_out": handed_out, "taken": taken}
    rows: list[Row] = [
        ("a request for a ready node → fulfilled: p50 / p95 / p99", handed_out, GOAL),
        ("a node that its client is done with → deleting", taken, GOAL),
        ("share of a core meanwhile", cpu, ""),
        ("MiB at most", after.launcher.peak, 400),
    ]
    title = f"crowd, {nodes} nodes in use, {waiting} requests wait"
    report("crowd", title, rows, {**figures, "cpu_share": cpu, "memory": after.launcher.peak})
    return figures


class Crowd:
    """All of the clients: their nodes' records, and their locks."""

    def __init__(self, it: Stage) -> None:
        self._clouds = it.clouds
        self._store = KazooStore(it.place.zookeeper)
        self._label = (LabelName(it.clouds.label_names[1]),)
        self._locks: dict[str, str] = {}
        self._nodes: dict[str, Node] = {}
        self._awaited: dict[str, float] = {}
        self._took: list[float] = []
        self._reacted = threading.Semaphore(0)
        self._connected = threading.Event()

    def gather(self, count: int) -> None:
        """Write the records of so many nodes, and lock them."""
        self._store.watch((paths.NODES,), self._hear)
        self._store.start()
        if not self._connected.wait(30.0):
            raise TimeoutError("no connection to ZooKeeper")
        call(self._store, [Commit((Create(path),)) for path in (paths.ROOT, paths.NODES, paths.REQUESTS)])
        for numbers in _parts(count):
            nodes = [self._in_use(number) for number in numbers]
            made = self._ask([Commit((Create(paths.NEW_NODE, encode_node(n), sequence=True),)) for n in nodes])
            records = [str(answer.results[0]) for answer in made]
            locks = [(Create(f"{path}/lock"), _contender(path)) for path in records]
            held = [str(answer.results[1]) for answer in self._ask([Commit(ops) for ops in locks])]
            self._nodes |= dict(zip(records, nodes, strict=True))
            self._locks |= dict(zip(records, held, strict=True))

    def ask(self, count: int) -> None:
        """Write so many requests, each for one of the providers that are full."""
        for numbers in _parts(count):
            records = [json.dumps(self._request(number)).encode() for number in numbers]
            self._ask([Commit((Create(paths.new_request(NORMAL), each, sequence=True),)) for each in records])

    def ready(self) -> int:
        """Return how many spare nodes the launcher has made."""
        (listed,) = call(self._store, [Children(paths.NODES)])
        names = listed.names if isinstance(listed, Names) else ()
        others = [name for name in names if f"{paths.NODES}/{name}" not in self._nodes]
        answers = call(self._store, [Get(f"{paths.NODES}/{name}") for name in others]) if others else ()
        read = [decode_node(NodeId(""), answer.data) for answer in answers if isinstance(answer, Got)]
        return sum(isinstance(node, Node) and node.free for node in read)

    def dismiss(self, count: int) -> list[float]:
        """Be done with nodes at a steady rate; return after how many seconds the launcher wrote each."""
        began = time.monotonic()
        for number, path in enumerate(list(self._nodes)[:count]):
            threading.Event().wait(max(began + number / RATE - time.monotonic(), 0))
            used = encode_node(moved(self._nodes.pop(path), NodeEvent.RETURNED, time.time()))
            self._awaited[path] = 0.0
            self._ask([Commit((Set(path, used), Delete(self._locks.pop(path))))])
        for _ in range(count):
            if not self._reacted.acquire(timeout=60):
                raise TimeoutError("the launcher did not take a node that its client was done with")
        return self._took

    def leave(self) -> None:
        self._store.stop()

    def _request(self, number: int) -> dict[str, Json]:
        name, tenant, provider = "bench", TenantName("bench"), ProviderName(self._clouds.names[number % FULL])
        return request_record(self._label, name=name, tenant=tenant, now=time.time(), provider=provider)

    def _in_use(self, number: int) -> Node:
        now = time.time()
        return Node(
            id=NodeId(""),
            state=NodeState.IN_USE,
            state_time=now,
            created_time=now,
            provider=ProviderName(self._clouds.names[number % FULL]),
            pool=PoolName("main"),
            labels=self._label,
            allocated_to=RequestId(f"100-{10**9 + number:010d}"),
            external_id=f"{number:032x}",
            resources=Resources({"instances": 1, "cores": 4, "ram": 8192}),
        )

    def _ask(self, verbs: Sequence[Verb]) -> list[Committed]:
        answers = call(self._store, verbs, timeout=60.0)
        for answer in answers:
            if not isinstance(answer, Committed):
                raise ValueError(f"what clients wrote was refused: {answer}")
        return [answer for answer in answers if isinstance(answer, Committed)]

    def _hear(self, news: News) -> None:
        """Take the time of the launcher's write; the first event on a path is the client's own."""
        match news:
            case SessionNews(SessionState.CONNECTED):
                self._connected.set()
            case Changed(path, Kind.CHANGED) if path in self._awaited:
                if self._awaited[path] == 0.0:
                    self._awaited[path] = time.monotonic()
                    return
                self._took.append(time.monotonic() - self._awaited.pop(path))
                self._reacted.release()


def _contender(path: str) -> Create:
    return Create(f"{path}/lock/{CONTENDER}", ephemeral=True, sequence=True)


def _parts(count: int) -> Iterator[range]:
    return (range(begin, min(begin + AT_ONCE, count)) for begin in range(0, count, AT_ONCE))
