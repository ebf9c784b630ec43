"""Fill: 800 cold requests over four providers, and what the launcher is then, at rest: threads and memory.

The machine is not always equally fast. Therefore a burst is asked for several times, of the launcher and, in turns with
it, of scripts that decide nothing.
"""

from statistics import median
from typing import Any

from tests.bench import burst
from tests.bench.bare_burst import SEEING
from tests.bench.figures import Row, report
from tests.bench.scripted import serve
from tests.bench.stage import Clouds, Product, ours_and_theirs, rest, stage

COUNT = 800
QUICK = 80
AT_REST = 25.0  # seconds, after which threads without work have ended


ROUNDS = 3


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    count = QUICK if quick else COUNT
    cold, slow = Clouds(count=4, boot=5.0), Clouds(count=4, boot=60.0)
    figures: dict[str, object] = {"in turns": in_turns(cold, count, 1 if quick else ROUNDS)}
    if beside:
        figures["beside"] = burst.measure("fill", Product.THEIRS, cold, count)
    if not quick:
        figures["slow"] = burst.measure("fill", Product.OURS, slow, count)
    for product in ours_and_theirs(beside):
        figures[f"{product} at rest"] = at_rest(product, count)
    return figures


def in_turns(clouds: Clouds, count: int, rounds: int) -> dict[str, Any]:
    """Return the figures of the launcher's middle burst, and the middle ratio of the scripts: of one that knows nothing
    but what it is in the middle of, and of one with a mirror of the tree."""
    ours, blind, seeing = [], [], []
    for _ in range(rounds):
        ours.append(burst.cold(Product.OURS, clouds, count))
        blind.append(serve(clouds, count)["ratio"])
        seeing.append(serve(clouds, count, SEEING)["ratio"])
    ours.sort(key=lambda one: one["ratio"])
    spread = {"ratios": [one["ratio"] for one in ours], "blind": median(blind), "seeing": median(seeing)}
    rows: list[Row] = [
        ("the same for a script", spread["blind"], ""),
        ("the same for one with a mirror", spread["seeing"], ""),
    ]
    return burst.told("fill", Product.OURS, clouds, count, {**ours[rounds // 2], **spread}, rows)


def at_rest(product: Product, count: int) -> dict[str, object]:
    """Fill the warm pool, and look at a launcher that has nothing to do."""
    with stage(product, Clouds(count=4, boot=2.0, min_ready=count)) as it:
        it.wait_ready(count)
        full = it.counts().launcher
        rest(AT_REST)
        before = it.counts()
        rest(10.0)
        after = it.counts()
    share = (after.launcher.cpu - before.launcher.cpu) / 10.0
    figures = {
        "threads": after.launcher.threads,
        "threads_full": full.threads,
        "memory": after.launcher.memory,
        "peak": after.launcher.peak,
        "cpu_share": share,
        "operations_per_second": (after.operations - before.operations) / 10.0,
    }
    rows: list[Row] = [
        ("threads when the pool was just full", full.threads, 75),
        ("threads at rest", after.launcher.threads, 35),
        ("MiB at rest / at most", f"{after.launcher.memory:.0f} / {after.launcher.peak:.0f}", 130),
        ("share of a core at rest", share, ""),
        ("ZooKeeper operations a second at rest", figures["operations_per_second"], ""),
    ]
    report("rest", f"at rest, {count} ready over 4 providers: {product}", rows, {"product": product, **figures})
    return figures
