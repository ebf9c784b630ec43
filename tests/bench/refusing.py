"""Refusing: clouds that allow so many calls a second, fail some creates and break some servers. Many cold requests at
once; how much longer than the pace allows does it take, and does any request fail?"""

from tests.bench.burst import CREATE, LIST, known
from tests.bench.figures import Row, report
from tests.bench.stage import Clouds, Product, ours_and_theirs, stage

COUNT = 400
QUICK = 60
RATE = 40  # calls a second
REFUSED = 0.05  # share of creates
BROKEN = 0.02  # share of servers
TOO_OFTEN = 429


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    return {product: measure(product, QUICK if quick else COUNT) for product in ours_and_theirs(beside)}


def allowed(clouds: Clouds, count: int) -> float:
    """Return the seconds that the pace allows: all creates, those too that fail, then the boots of the last server: one
    that goes to ERROR does so when it has booted, and its place is booted again."""
    return count * (1 + REFUSED + BROKEN) / RATE + 2 * (CREATE + clouds.boot + LIST)


def measure(product: Product, count: int) -> dict[str, object]:
    """Ask for all at once and wait for the last."""
    faults = [
        {"call": "server.create", "fate": "refused", "probability": REFUSED},
        {"call": "server.create", "fate": "error", "probability": BROKEN},
    ]
    clouds = Clouds(extra={"rate_limit": {"calls": RATE}, "faults": faults})
    with stage(product, clouds) as it:
        known(it)
        before = it.counts()
        lives = it.jobs.ask(["small"], 600.0, count=count)
        it.jobs.wait_answered(lives, 900)
        after = it.counts()
        counters = it.place.sim.region("acme", clouds.names[0]).counters()
    took = max(life.answered for life in lives) - min(life.written for life in lives)
    failed = sum(bool(life.failed) for life in lives)
    calls = (sum(after.calls.values()) - sum(before.calls.values())) / count
    refusals = sum(number for which, number in counters.refusals.items() if which.endswith(f" {TOO_OFTEN}"))
    ratio = took / allowed(clouds, count)
    figures = {"seconds": took, "ratio": ratio, "failed": failed, "calls": calls, "too_often": refusals}
    rows: list[Row] = [
        ("seconds until the last is answered", took, ""),
        ("÷ what the pace allows", ratio, 1.2),
        ("requests that failed", failed, 0),
        ("calls per node, lists and refused ones too", calls, ""),
        (f"answers {TOO_OFTEN}", refusals, ""),
    ]
    title = f"refusing, {count} cold at once, {RATE} calls/s, {REFUSED:.0%} refused, {BROKEN:.0%} broken: {product}"
    report("refusing", title, rows, {"product": product, "count": count, **figures})
    return figures
