"""Fill: 800 cold requests over four providers, and what the launcher is then, at rest: threads and memory."""

from tests.bench import burst
from tests.bench.figures import Row, report
from tests.bench.stage import Clouds, Product, ours_and_theirs, rest, stage

COUNT = 800
QUICK = 80
AT_REST = 25.0  # seconds, after which threads without work have ended


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    count = QUICK if quick else COUNT
    for boot in (5.0,) if quick else (5.0, 60.0):
        for product in ours_and_theirs(beside):
            if boot < 60 or product is Product.OURS:
                figures[f"{product} {boot:g}"] = burst.measure("fill", product, Clouds(count=4, boot=boot), count)
    for product in ours_and_theirs(beside):
        figures[f"{product} at rest"] = at_rest(product, count)
    return figures


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
