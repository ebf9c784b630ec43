"""Restart: kill -9 in the middle of a burst, and another launcher goes on.

It is started on the same host at once; or it stands by, on any host, and waits for the end of the killed one's session.
"""

import time

from tests.bench.figures import Row, report
from tests.bench.stage import BOOT, Clouds, Product, ours_and_theirs, stage

COUNT = 300
QUICK = 40


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    """Nodepool 11.0.0 never takes over what another launcher began, so nothing of it is measured there."""
    count = QUICK if quick else COUNT
    figures: dict[str, object] = {product: measure(product, count) for product in ours_and_theirs(beside)}
    return figures | {"standby": measure(Product.OURS, count, stands_by=True)}


def measure(product: Product, count: int, *, stands_by: bool = False) -> dict[str, object]:
    """Ask for all at once and kill the launcher while servers boot. The next is started then, or has been there."""
    with stage(product, Clouds(count=2)) as it:
        it.wait_registered()
        if stands_by:
            it.another("-standby").start()
            it.wait_registered(2)
        it.jobs.wait(it.jobs.ask(["small"], 0.0), 120)
        it.wait_gone()
        before = it.calls()["server.create"]
        lives = it.jobs.ask(["small"], 0.0, use=False, count=count)
        time.sleep(BOOT / 2)
        it.launcher.kill()
        killed = time.monotonic()
        if not stands_by:
            it.launcher.start()
        it.jobs.wait_answered(lives, 900)
        last = max(life.answered for life in lives) - killed
        made = it.calls()["server.create"] - before
        timeout = it.place.zookeeper.session_timeout if stands_by else 0.0
    figures = {"seconds": last, "beyond_boot": last - BOOT, "servers_per_node": made / count}
    rows: list[Row] = [
        ("seconds from the kill to the last request", last, timeout + BOOT + 5),
        ("servers asked for per node", figures["servers_per_node"], 1),
    ]
    then = f"another of {timeout:g} s of session stands by" if stands_by else "started again"
    report(
        "restart",
        f"restart, killed in a burst of {count}, {then}: {product}",
        rows,
        {"product": product, "stands_by": stands_by, **figures},
    )
    return figures
