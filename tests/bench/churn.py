"""Steady state: as many jobs as there are slots, each of random length, each followed by the next one.

What a node's life costs in launcher CPU, API calls and ZooKeeper operations; how long jobs wait; and for which share of
the time jobs run, of what the quota allows: all the time where there is a server to spare for each that is being made,
otherwise no more than a server's own life leaves.
"""

import random
import statistics
import time

from tests.bench.burst import CREATE
from tests.bench.figures import Row, report, slowness
from tests.bench.jobs import Life
from tests.bench.stage import BOOT, Clouds, Product, Stage, ours_and_theirs, stage

JOB = (10.0, 50.0)  # seconds
SHORT = (2.0, 6.0)  # seconds, for the quick form
DELETE = 1.05  # seconds


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    shapes = (
        ((60, 2.2, False),) if quick else ((180, 1.3, False), (180, 1.0, False), (800, 1.25, False), (180, 1.3, True))
    )
    return {
        f"{product} {slots} {share} {host_keys}": measure(product, slots, share, quick=quick, host_keys=host_keys)
        for slots, share, host_keys in shapes
        for product in ours_and_theirs(beside)
    }


def measure(product: Product, slots: int, share: float, *, quick: bool, host_keys: bool) -> dict[str, object]:
    """Let `slots` jobs run all the time, with a quota of `share` times as many servers; with `host_keys` three of
    them are read from each server."""
    count = 4 if slots > 500 else 1
    quota = round(slots * share / count)
    spare = quota * count - slots
    span = SHORT if quick else JOB
    warm_up, seconds = (8.0, 20.0) if quick else (60.0, 90.0)
    clouds = Clouds(count=count, boot=2.0 if quick else BOOT, quota=quota, min_ready=spare, host_keys=host_keys)
    with stage(product, clouds) as it:
        if spare:
            it.wait_ready(spare)
        load = Load(it, slots, span)
        time.sleep(warm_up)
        slow = slowness()
        before, lives_before = it.counts(), len(load.done)
        began = time.monotonic()
        time.sleep(seconds / 2)
        slow = (slow + slowness()) / 2
        time.sleep(seconds / 2)
        after, lives_after = it.counts(), len(load.done)
        ended = time.monotonic()
        load.stop()
        took = ended - began
        ran = sum(running(life, began, ended) for life in it.jobs.lives)
        waits = [life.took for life in load.done if life.written >= began and life.answered]
        lives = lives_after - lives_before
    mean = sum(span) / 2
    allowed = 1.0 if spare else mean / (mean + CREATE + clouds.boot + DELETE)
    share_of_ideal = ran / (slots * took) / allowed
    cpu = (after.launcher.cpu - before.launcher.cpu) / lives * 1000
    figures: dict[str, object] = {
        "jobs_per_second": lives / took,
        "median_wait": statistics.median(waits),
        "share_of_ideal": share_of_ideal,
        "operations": (after.operations - before.operations) / lives,
        "api_calls": (after.other_calls() - before.other_calls()) / lives,
        "lists": (after.lists() - before.lists()) / lives,
        "cpu_per_1000": cpu,
        "cpu_per_1000_idle": cpu / slow,
        "slowness": slow,
        "threads": after.launcher.threads,
        "memory": after.launcher.peak,
    }
    rows: list[Row] = [
        ("jobs per second", lives / took, ""),
        ("share of what the quota allows", share_of_ideal, 0.97 if share > 1 else 0.95),
        ("median wait in s", statistics.median(waits), clouds.boot + (1 if share > 1 else 3)),
        ("ZooKeeper operations per life", figures["operations"], 22),
        ("API calls per life", figures["api_calls"], 2),
        ("lists per life", figures["lists"], ""),
        ("launcher CPU s per 1,000 lives", cpu, ""),
        (f"the same on an idle machine (÷ {slow:.1f})", cpu / slow, 12 if host_keys else 8),
        ("threads / MiB at most", f"{after.launcher.threads} / {after.launcher.peak:.0f}", "75 / 130"),
    ]
    keys = ", three host keys each" if host_keys else ""
    title = f"churn, {slots} jobs of {span[0]:g}–{span[1]:g} s, quota {quota * count}{keys}: {product}"
    about = {"product": product, "slots": slots, "quota": quota * count, "host_keys": host_keys}
    report("churn", title, rows, {**about, **figures})
    return figures


def running(life: Life, began: float, ended: float) -> float:
    """Return for how many seconds of a stretch of time a job had its node, its client's own rounds included."""
    if not life.answered or life.failed:
        return 0.0
    return max(min(life.ended or ended, ended) - max(life.answered, began), 0.0)


class Load:
    """Keeps so many jobs going: each that ends is followed by another."""

    def __init__(self, it: Stage, slots: int, span: tuple[float, float]) -> None:
        self._jobs = it.jobs
        self._span = span
        self._random = random.Random(1)
        self._stopped = False
        self.done: list[Life] = []
        for _ in range(slots):
            self._next(None)

    def stop(self) -> None:
        self._stopped = True

    def _next(self, ended: Life | None) -> None:
        if ended is not None:
            self.done.append(ended)
        if not self._stopped:
            self._jobs.ask(["small"], self._random.uniform(*self._span), self._next)
