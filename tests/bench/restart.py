"""Restart: kill -9 in the middle of a burst, and another launcher on the same host goes on."""

import time

from tests.bench.figures import Row, report
from tests.bench.stage import BOOT, Clouds, Product, ours_and_theirs, stage

COUNT = 300
QUICK = 40


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    return {product: measure(product, QUICK if quick else COUNT) for product in ours_and_theirs(beside)}


def measure(product: Product, count: int) -> dict[str, object]:
    """Ask for all at once, kill the launcher while servers boot, start it again at once."""
    with stage(product, Clouds(count=2)) as it:
        it.wait_registered()
        it.jobs.wait(it.jobs.ask(["small"], 0.0), 120)
        it.wait_gone()
        lives = it.jobs.ask(["small"], 0.0, use=False, count=count)
        time.sleep(BOOT / 2)
        it.launcher.kill()
        killed = time.monotonic()
        it.launcher.start()
        it.jobs.wait_answered(lives, 900)
        last = max(life.answered for life in lives) - killed
        made = it.counts().calls["server.create"]
    figures = {"seconds": last, "beyond_boot": last - BOOT, "servers_per_node": (made - 1) / count}
    rows: list[Row] = [
        ("seconds from the kill to the last request", last, BOOT + 5),
        ("servers asked for per node", figures["servers_per_node"], 1),
    ]
    report("restart", f"restart, killed in a burst of {count}: {product}", rows, {"product": product, **figures})
    return figures
