"""`nodepool list` of ten nodes and of many: time and CPU of the whole command, and how much of it is Python's start."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.bench.figures import Row, report
from tests.bench.stage import Clouds, Product, Stage, ours_and_theirs, stage
from tests.support.daemons import SCRIPTS

ROUNDS = 7
BARE = [sys.executable, "-S", "-c", "pass"]


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    for product in ours_and_theirs(beside):
        with stage(product, Clouds(boot=1.0, min_ready=10)) as it:
            it.wait_ready(10)
            figures[product] = measure(it)
    ours = figures.get(Product.OURS)
    theirs = figures.get(Product.THEIRS)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        ratios: list[Row] = [(f"ours ÷ theirs, {what}", ours[what] / theirs[what], 0.5) for what in ours]
        report("cli", "cli, side by side", ratios, {name: value for name, value, _ in ratios})
    return figures


def measure(it: Stage) -> dict[str, float]:
    script = SCRIPTS / "nodepool"
    if it.product is Product.THEIRS:
        from tests.support.peers import NODEPOOL

        script = NODEPOOL.folder / "bin" / "nodepool"
    wall, cpu = timed([str(script), "-c", str(it.place.config), "list"], it)
    _, bare = timed(BARE, it)
    rows: list[Row] = [
        ("`nodepool list` of ten nodes: ms", wall * 1000, ""),
        ("ms of CPU", cpu * 1000, ""),
        ("of these Python's own", bare * 1000, ""),
    ]
    figures = {"wall": wall, "cpu": cpu}
    report("cli", f"cli: {it.product}", rows, {"product": it.product, **figures})
    return figures


def timed(argv: Sequence[str], it: Stage) -> tuple[float, float]:
    """Return the median wall and CPU seconds of a command."""
    walls, cpus = [], []
    # Compiled files are kept, as where it is installed.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env = {**kept, "HOME": str(it.place.folder), "OS_CLIENT_CONFIG_FILE": str(it.place.clouds_yaml)}
    for _ in range(ROUNDS):
        began, before = time.monotonic(), _children()
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, env=env)
        walls.append(time.monotonic() - began)
        cpus.append(_children() - before)
    return statistics.median(walls), statistics.median(cpus)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
