"""Warm hand-out: how long a request waits from being written to being fulfilled while nodes are ready.

At rest, 50 at once and while 20 lives a second go on; beside a script that makes the same dependent ZooKeeper rounds.
"""

import threading
import time

from tests.bench.bare import BareRounds
from tests.bench.figures import Latencies, Row, report
from tests.bench.jobs import Jobs
from tests.bench.stage import Clouds, Product, Stage, ours_and_theirs, stage
from tests.support.daemons import wait_for

BUSY_RATE = 20.0  # lives a second


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    sizes = (100,) if quick else (200, 800)
    for ready in sizes:
        for product in ours_and_theirs(beside):
            figures[f"{product} {ready}"] = measure(product, ready, quick=quick)
    return figures


def measure(product: Product, ready: int, *, quick: bool) -> dict[str, object]:
    count = 60 if quick else 200
    if product is Product.THEIRS:
        count //= 4
    with stage(product, Clouds(count=2, boot=2.0, min_ready=ready)) as it:
        it.wait_ready(ready)
        rounds(it.jobs, 3)
        rest = Latencies.of(rounds(it.jobs, count))
        together = it.jobs.ask(["small"], use=False, count=50)
        it.jobs.wait(together)
        it.wait_ready(ready)
        before, lives = it.counts(), len(it.jobs.lives)
        busy = Latencies.of(under_load(it, 5.0 if quick else 20.0))
        it.wait_ready(ready)
        after, lives = it.counts(), len(it.jobs.lives) - lives
        it.launcher.stop()
        bare = Latencies.of(bare_rounds(it, count))
    at_once = Latencies.of([life.took for life in together])
    cpu = (after.launcher.cpu - before.launcher.cpu) / lives * 1000
    operations = (after.operations - before.operations) / lives
    goal = "10 / 30 / 60 ms"
    rows: list[Row] = [
        ("one by one, at rest: p50 / p95 / p99", rest, goal),
        ("50 at once", at_once, "p99 150 ms"),
        (f"under {BUSY_RATE:.0f} lives/s", busy, goal),
        ("the same: launcher CPU s per 1,000 lives", cpu, 15),
        ("the same: ZooKeeper operations per life", operations, 25),
        ("the same rounds, bare", bare, ""),
        ("hand-out ÷ bare rounds, p50", rest.p50 / bare.p50, 2.0),
    ]
    figures = {
        "rest": rest,
        "at_once": at_once,
        "busy": busy,
        "cpu_per_1000": cpu,
        "operations": operations,
        "bare": bare,
        "ratio": rest.p50 / bare.p50,
    }
    report("warm", f"warm, {ready} ready: {product}", rows, {"product": product, "ready": ready, **figures})
    return figures


def rounds(jobs: Jobs, count: int) -> list[float]:
    """Ask for one node at a time and give it back unused."""
    took = []
    for _ in range(count):
        (life,) = jobs.ask(["small"], use=False)
        jobs.wait([life], 60)
        took.append(life.took)
        time.sleep(0.03)
    return took


def under_load(it: Stage, seconds: float) -> list[float]:
    """Use nodes up at a steady rate; return how long those requests waited."""
    lives = []
    began = time.monotonic()
    for number in range(int(seconds * BUSY_RATE)):
        threading.Event().wait(max(began + number / BUSY_RATE - time.monotonic(), 0))
        lives += it.jobs.ask(["small"], 0.0)
    it.jobs.wait(lives)
    return [life.took for life in lives]


def bare_rounds(it: Stage, count: int) -> list[float]:
    """The launcher is gone; a script answers instead."""
    bare = BareRounds(it.place.zookeeper)
    bare.start()
    try:
        wait_for(lambda: bare.ready, "the script has its node")
        return rounds(it.jobs, count)
    finally:
        bare.stop()
