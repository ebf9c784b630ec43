"""What a node's life costs at least: a script makes its calls and its ZooKeeper operations, and does nothing else.

One server is created and deleted through the driver, one call after the other, in one thread; and a record goes through
the operations that the protocol asks for, through the client; its three host keys are read through the scanner.
What this takes is the SDK's, kazoo's and asyncssh's own. And what a burst takes at least: calls and operations, for
many requests at once.
"""

import os
import queue
import time
from collections.abc import Callable

from nodepool_ng.config.loading import load
from nodepool_ng.drivers.keyscan import KEY_TYPES, KeyScanner, Outcome, Scanned
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.ids import ServerId
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Check, Commit, Committed, Create, Delete, Get, Set, Verb
from tests.bench import bare_burst, fill
from tests.bench.bare import CONTENDER
from tests.bench.burst import COUNT, QUICK
from tests.bench.figures import Row, report, slowness
from tests.bench.scripted import serve
from tests.bench.stage import Clouds, Product, Stage, stage

RECORD = b"x" * 900  # bytes; what a node's record has
BURSTS = (
    ("burst", Clouds(boot=5.0), COUNT),
    ("burst_slow", Clouds(boot=60.0), COUNT),
    ("fill_slow", Clouds(count=4, boot=60.0), fill.COUNT),
)


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    lives = 100 if quick else 500
    with stage(Product.OURS, Clouds(boot=0.5), start=False) as it:
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(it.place.clouds_yaml)
        slow = slowness()
        calls = _cost(_calls(it), lives)
        operations = _cost(_operations(it), lives)
    keys = _host_keys(lives // 5)
    figures: dict[str, object] = {
        "calls": calls,
        "operations": operations,
        "both": calls + operations,
        "with_host_keys": calls + operations + keys,
    }
    rows: list[Row] = [
        ("two API calls, CPU ms", calls * 1000, ""),
        ("10 ZooKeeper operations in 10 rounds, CPU ms", operations * 1000, ""),
        (f"both on an idle machine (÷ {slow:.1f})", (calls + operations) / slow * 1000, ""),
        ("three host keys, CPU ms", keys * 1000, ""),
    ]
    for name, clouds, count in BURSTS[:1] if quick else BURSTS:
        burst = figures[name] = serve(clouds, QUICK if quick else count)
        rows += [
            (
                f"{burst['count']} cold at once, {clouds.count} providers, boot {clouds.boot:g} s: seconds",
                burst["seconds"],
                "",
            ),
            ("÷ limit", burst["ratio"], ""),
            ("CPU s per 1,000 nodes", burst["cpu_per_1000"], ""),
        ]
    report("floor", f"the floor of a node's life, {lives} times", rows, figures)
    return figures


def _cost(live: Callable[[int], None], lives: int) -> float:
    """Return the CPU seconds that this process takes for one life."""
    for number in range(10):
        live(number)
    began = time.process_time()
    for number in range(10, 10 + lives):
        live(number)
    return (time.process_time() - began) / lives


def _calls(it: Stage) -> Callable[[int], None]:
    settings = load(str(it.place.config)).settings
    (provider,) = settings.providers.values()
    (pool,) = provider.pools.values()
    (label,) = pool.labels.values()
    driver = make(provider)
    driver.connect()

    def live(number: int) -> None:
        order = bare_burst.order_of(provider, pool, label, f"{number:010d}")
        driver.delete_server(ServerId(driver.create_server(order)))

    return live


def _host_keys(lives: int) -> float:
    """Return the CPU seconds that reading the keys of one server takes."""
    with stage(Product.OURS, Clouds(boot=0.5, min_ready=1, host_keys=True)) as it:
        it.wait_ready(1)
        (node,) = it.place.nodes().values()
        assert node.interface_ip is not None
        assert node.connection_port is not None
        address, port = node.interface_ip, node.connection_port
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        scanner = KeyScanner()
        scanner.start()

        def live(number: int) -> None:
            scanner.scan(address, port, time.monotonic() + 30.0, outcomes.put)
            seen = outcomes.get()
            assert isinstance(seen, Scanned), seen
            assert len(seen.keys) == len(KEY_TYPES)

        try:
            return _cost(live, lives)
        finally:
            scanner.stop()


def _operations(it: Stage) -> Callable[[int], None]:
    store = KazooStore(it.place.zookeeper)
    store.start()
    wait_connected(store, 30.0)
    above = (paths.ROOT, paths.NODES, paths.REQUESTS, paths.REQUEST_LOCKS)
    call(store, [Commit((Create(path),)) for path in above])

    def ask(*verbs: Verb) -> Committed:
        answer = call(store, verbs)[0]
        assert isinstance(answer, Committed), answer
        return answer

    def live(number: int) -> None:
        node = str(ask(Commit((Create(paths.NEW_NODE, RECORD, sequence=True),))).results[0])
        directory, request_lock = f"{node}/lock", f"{paths.REQUEST_LOCKS}/{number}"
        lock = Create(f"{directory}/{CONTENDER}", ephemeral=True, sequence=True)
        nobodys = (Delete(directory), Create(directory))
        held = str(ask(Commit((Create(directory), lock, Set(node, RECORD)))).results[1])
        ask(Commit((Check(held), Set(node, RECORD))))
        ask(Commit((Set(node, RECORD), Delete(held))))
        call(store, [Get(paths.REQUESTS)])
        served = (Set(paths.REQUESTS, RECORD), Create(request_lock), Delete(request_lock))
        ask(Commit((Set(node, RECORD), *nobodys, *served)))
        call(store, [Get(node)])
        call(store, [Get(node)])
        held = str(ask(Commit((*nobodys, lock, Set(node, RECORD)))).results[2])
        ask(Commit((Delete(held), Delete(directory), Delete(node))))

    return live
