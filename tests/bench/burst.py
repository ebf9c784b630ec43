"""Cold: many requests at once and nothing ready. The limit is one create, the boot and one list of all servers."""

from collections.abc import Sequence
from typing import Any

from tests.bench.figures import Row, report, slowness
from tests.bench.stage import Clouds, Product, Stage, ours_and_theirs, rest, stage

CREATE = 0.1  # seconds
LIST = 0.02  # seconds
LIST_EACH = 0.0002  # seconds for each server
COUNT = 500
QUICK = 60
PAUSE = 3.0  # seconds, so that the launcher has seen its clouds


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    count = QUICK if quick else COUNT
    for boot in (5.0,) if quick else (5.0, 60.0):
        for product in ours_and_theirs(beside):
            if boot < 60 or product is Product.OURS:
                figures[f"{product} {boot:g}"] = measure("burst", product, Clouds(boot=boot), count)
    return figures


def limit(clouds: Clouds, count: int) -> float:
    """Return the seconds that no launcher can go below."""
    return CREATE + clouds.boot + LIST + LIST_EACH * count / clouds.count


def measure(scenario: str, product: Product, clouds: Clouds, count: int) -> dict[str, Any]:
    """Ask for all at once and wait for the last."""
    return told(scenario, product, clouds, count, cold(product, clouds, count))


def cold(product: Product, clouds: Clouds, count: int) -> dict[str, Any]:
    """Return the figures of so many requests that come at once."""
    with stage(product, clouds) as it:
        known(it)
        before, slow = it.counts(), slowness()
        lives = it.jobs.ask(["small"], 600.0, count=count)
        it.jobs.wait_answered(lives, 900)
        slow = (slow + slowness()) / 2
        after = it.counts()
    began = min(life.written for life in lives)
    took = max(life.answered for life in lives) - began
    cpu = (after.launcher.cpu - before.launcher.cpu) / count * 1000
    return {
        "seconds": took,
        "ratio": took / limit(clouds, count),
        "operations": (after.operations - before.operations) / count,
        "api_calls": (after.other_calls() - before.other_calls()) / count,
        "lists": after.lists() - before.lists(),
        "cpu_per_1000": cpu,
        "cpu_per_1000_idle": cpu / slow,
        "threads": after.launcher.threads,
        "memory": after.launcher.peak,
    }


def told(
    scenario: str, product: Product, clouds: Clouds, count: int, figures: dict[str, Any], more: Sequence[Row] = ()
) -> dict[str, Any]:
    """Report figures, and return them."""
    easy = clouds.boot >= 60
    slow = figures["cpu_per_1000"] / figures["cpu_per_1000_idle"]
    rows: list[Row] = [
        ("seconds until the last is fulfilled", figures["seconds"], ""),
        ("÷ limit", figures["ratio"], 1.05 if easy else 1.4 if scenario == "burst" else 1.5),
        *more,
        ("ZooKeeper operations per node", figures["operations"], 12),
        ("API calls per node", figures["api_calls"], 1),
        ("lists", figures["lists"], ""),
        ("launcher CPU s per 1,000 nodes", figures["cpu_per_1000"], ""),
        (f"the same on an idle machine (÷ {slow:.1f})", figures["cpu_per_1000_idle"], 5),
        ("threads / MiB at most", f"{figures['threads']} / {figures['memory']:.0f}", "75 / 130"),
    ]
    title = f"{scenario}, {count} cold at once, {clouds.count} providers, boot {clouds.boot:g} s: {product}"
    report(scenario, title, rows, {"product": product, "count": count, "boot": clouds.boot, **figures})
    return figures


def known(it: Stage) -> None:
    """Wait until the launcher is registered and has had the time to look at its clouds."""
    it.wait_registered()
    (life,) = it.jobs.ask(["small"], 0.0)
    it.jobs.wait([life], 120)
    it.wait_gone()
    rest(PAUSE)
