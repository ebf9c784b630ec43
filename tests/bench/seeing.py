"""The floor for a launcher that knows all there is: the script of `floor`, with a mirror of the whole tree.

It decides nothing, keeps no books, writes no log and would lose everything if it was killed. Beside bursts, what a
node's life takes of it at the pace of `churn`, where each node is made when it is asked for; and of a blind one, which
knows nothing but what it is in the middle of.
"""

import time

from tests.bench.bare_burst import SEEING
from tests.bench.burst import QUICK
from tests.bench.churn import JOB, SHORT, Load
from tests.bench.figures import Row, report
from tests.bench.floor import BURSTS
from tests.bench.scripted import serve, start_script
from tests.bench.stage import BOOT, Clouds, Product, stage

LIVES_PER_SECOND = 6.0


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    rows: list[Row] = []
    for name, clouds, count in BURSTS[:1] if quick else BURSTS:
        seen = figures[name] = serve(clouds, QUICK if quick else count, SEEING)
        what = f"{seen['count']:.0f} cold at once, {clouds.count} providers, boot {clouds.boot:g} s: seconds"
        rows += [
            (what, seen["seconds"], ""),
            ("÷ limit", seen["ratio"], ""),
            ("CPU s per 1,000 nodes", seen["cpu_per_1000"], ""),
        ]
    for name, options in (("steady", (SEEING,)), ("steady_blind", ())):
        steady = figures[name] = lives(*options, quick=quick)
        rows += [
            (f"steady state, {'with' if options else 'without'} a mirror: lives a second", steady["per_second"], ""),
            ("CPU s per 1,000 lives", steady["cpu_per_1000"], ""),
            ("lists per life", steady["lists"], ""),
        ]
    report("seeing", "a script that sees all", rows, figures)
    return figures


def lives(*options: str, quick: bool) -> dict[str, float]:
    """Let a script make and delete a node for each of many jobs, about as many a second as `churn` has."""
    span, boot = (SHORT, 2.0) if quick else (JOB, BOOT)
    warm_up, seconds = (8.0, 20.0) if quick else (60.0, 90.0)
    slots = round(LIVES_PER_SECOND * (sum(span) / 2 + boot + 1.0))
    with stage(Product.OURS, Clouds(boot=boot), start=False) as it:
        start_script(it, *options)
        load = Load(it, slots, span)
        time.sleep(warm_up)
        before, lives_before, began = it.counts(), len(load.done), time.monotonic()
        time.sleep(seconds)
        after, count, ended = it.counts(), len(load.done) - lives_before, time.monotonic()
        load.stop()
        failed = [life.failed for life in load.done if life.failed]
    assert not failed, failed[0]
    return {
        "per_second": count / (ended - began),
        "cpu_per_1000": (after.launcher.cpu - before.launcher.cpu) / count * 1000,
        "lists": (after.lists() - before.lists()) / count,
    }
