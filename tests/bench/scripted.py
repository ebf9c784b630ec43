"""A stage with a script in the place of the launcher: see `bare_burst`."""

import sys

from tests.bench import bare_burst
from tests.bench.burst import PAUSE, limit
from tests.bench.stage import Clouds, Product, Stage, rest, stage
from tests.support.daemons import wait_for


def start_script(it: Stage, *options: str) -> None:
    """Start a script in the place of the launcher."""
    it.launcher.argv = [sys.executable, "-m", bare_burst.__name__, str(it.place.config), *options]
    it.launcher.start()
    wait_for(lambda: bare_burst.THERE in it.launcher.log.read_text().splitlines(), "the script is there")


def serve(clouds: Clouds, count: int, *options: str) -> dict[str, float]:
    """Let a script serve so many requests at once."""
    with stage(Product.OURS, clouds, start=False) as it:
        start_script(it, *options)
        (life,) = it.jobs.ask(["small"], 0.0)
        it.jobs.wait_answered([life], 120)
        rest(PAUSE)
        before = it.counts().launcher
        lives = it.jobs.ask(["small"], 600.0, count=count)
        it.jobs.wait_answered(lives, 900)
        after = it.counts().launcher
    seconds = max(life.answered for life in lives) - min(life.written for life in lives)
    return {
        "count": count,
        "seconds": seconds,
        "ratio": seconds / limit(clouds, count),
        "cpu_per_1000": (after.cpu - before.cpu) / count * 1000,
    }
