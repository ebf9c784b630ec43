"""The floor of a burst for a launcher that knows all there is: the script of `floor`, with a mirror of the whole tree.

It decides nothing, keeps no books, writes no log and would lose everything if it was killed.
"""

from tests.bench.bare_burst import SEEING
from tests.bench.burst import COUNT, QUICK
from tests.bench.figures import Row, report
from tests.bench.floor import serve
from tests.bench.stage import Clouds


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {**serve(Clouds(boot=5.0), QUICK if quick else COUNT, SEEING)}
    rows: list[Row] = [
        ("seconds until the last is fulfilled", figures["seconds"], ""),
        ("÷ limit", figures["ratio"], ""),
        ("CPU s per 1,000 nodes", figures["cpu_per_1000"], ""),
    ]
    report("seeing", f"a script that sees all, {figures['count']} cold at once", rows, figures)
    return figures
