"""What a node's life costs at least: a script makes its calls and its ZooKeeper operations, and does nothing else.

One server is created and deleted through the driver, one call after the other, in one thread; and a record goes through
the operations that the protocol asks for, through the client. What this takes is the SDK's and kazoo's own.
"""

import os
import time
from collections.abc import Callable

from nodepool_ng.config.loading import load
from nodepool_ng.drivers import Marks, ServerOrder
from nodepool_ng.drivers.registry import make
from nodepool_ng.model.ids import AttemptId, InstallationId, NodeId, ServerId
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Children, Commit, Committed, Create, Delete, Get, Set, Verb
from tests.bench.bare import CONTENDER
from tests.bench.figures import report, slowness
from tests.bench.stage import Clouds, Product, Stage, stage

RECORD = b"x" * 900  # bytes; what a node's record has


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    lives = 100 if quick else 500
    with stage(Product.OURS, Clouds(boot=0.5), start=False) as it:
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(it.place.clouds_yaml)
        slow = slowness()
        calls = _cost(_calls(it), lives)
        operations = _cost(_operations(it), lives)
    figures: dict[str, object] = {"calls": calls, "operations": operations, "both": calls + operations}
    rows = [
        ("two API calls, CPU ms", calls * 1000, ""),
        ("18 ZooKeeper operations in 8 rounds, CPU ms", operations * 1000, ""),
        (f"both on an idle machine (÷ {slow:.1f})", (calls + operations) / slow * 1000, ""),
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
        marks = Marks(
            provider=provider.name,
            installation=InstallationId("floor"),
            node=NodeId(f"{number:010d}"),
            pool=pool.name,
            attempt=AttemptId(f"{number}"),
        )
        order = ServerOrder(
            name=f"np{number:010d}", marks=marks, pool=pool, label=label, image=None, config_drive=None, zone=None
        )
        driver.delete_server(ServerId(driver.create_server(order)))

    return live


def _operations(it: Stage) -> Callable[[int], None]:
    store = KazooStore(it.place.zookeeper)
    store.start()
    wait_connected(store, 30.0)
    call(store, [Commit((Create(paths.ROOT),)), Commit((Create(paths.NODES),)), Commit((Create(paths.REQUESTS),))])

    def ask(*verbs: Verb) -> Committed:
        answer = call(store, verbs)[0]
        assert isinstance(answer, Committed), answer
        return answer

    def live(number: int) -> None:
        node = str(ask(Commit((Create(paths.NEW_NODE, RECORD, sequence=True),))).results[0])
        lock = Create(f"{node}/lock/{CONTENDER}", ephemeral=True, sequence=True)
        held = str(ask(Commit((Create(f"{node}/lock"), lock)), Children(f"{node}/lock"), Get(node)).results[1])
        ask(Commit((Set(node, RECORD),)), Get(node))
        ask(Commit((Set(node, RECORD),)), Get(node))
        ask(Commit((Set(node, RECORD), Delete(held))), Get(node), Children(f"{node}/lock"))
        held = str(ask(Commit((lock,)), Children(f"{node}/lock"), Get(node)).results[0])
        ask(Commit((Set(node, RECORD),)), Get(node))
        ask(Commit((Delete(held), Delete(f"{node}/lock"), Delete(node))), Children(paths.REQUESTS))

    return live
