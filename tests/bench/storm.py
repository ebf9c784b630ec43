"""Storm: thousands of open requests of 40 labels over ten providers that are full. What does one more event cost?"""

import time

from tests.bench.figures import Latencies, Row, report
from tests.bench.stage import Clouds, Product, ours_and_theirs, rest, stage

QUOTA = 5  # servers of each provider


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    return {product: measure(product, 400 if quick else 5000) for product in ours_and_theirs(beside)}


def measure(product: Product, open_requests: int) -> dict[str, object]:
    """Fill ten providers with long jobs, open the requests, and let jobs end one by one: how soon is the freed
    capacity used? Below that lies a delete, a boot and two lists."""
    clouds = Clouds(count=10, boot=1.0, quota=QUOTA, labels=40)
    slots = clouds.count * QUOTA
    with stage(product, clouds) as it:
        it.wait_registered()
        running = it.jobs.ask(["small"], 600.0, count=slots)
        it.jobs.wait_answered(running, 300)
        began = time.monotonic()
        waiting = []
        for number in range(open_requests):
            waiting += it.jobs.ask([clouds.label_names[number % 40]], 0.0)
        while not all(life.written for life in waiting):
            time.sleep(0.1)
        written = time.monotonic() - began
        before = it.counts()
        rest(10.0)
        after = it.counts()
        share = (after.launcher.cpu - before.launcher.cpu) / 10.0
        lists = (after.lists() - before.lists()) / 10.0
        memory = after.launcher.peak
        quick_ones = it.jobs.lives[:slots]
        answered = Latencies.of([life.took for life in quick_ones])
    figures = {"written": written, "cpu_share": share, "lists_per_second": lists, "memory": memory}
    rows: list[Row] = [
        (f"the first {slots} requests, p50 / p95 / p99", answered, ""),
        (f"seconds to write {open_requests} requests", written, ""),
        ("share of a core while they wait", share, 0.15),
        ("lists a second while they wait", lists, ""),
        ("MiB at most", memory, 400),
    ]
    report("storm", f"storm, {open_requests} open requests: {product}", rows, {"product": product, **figures})
    return figures
