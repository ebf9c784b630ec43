"""The floor of a burst for a launcher that knows all there is: the script of `floor`, with a mirror of the whole tree.

It decides nothing, keeps no books, writes no log and would lose everything if it was killed.
"""

from tests.bench.bare_burst import SEEING
from tests.bench.burst import QUICK
from tests.bench.figures import Row, report
from tests.bench.floor import BURSTS, serve


def run(*, quick: bool, beside: bool) -> dict[str, object]:
    figures: dict[str, object] = {}
    rows: list[Row] = []
    for name, clouds, count in BURSTS[:1] if quick else BURSTS:
        if clouds.boot < 60:
            seen = figures[name] = serve(clouds, QUICK if quick else count, SEEING)
            rows += [
                (f"{seen['count']:.0f} cold at once, {clouds.count} providers: seconds", seen["seconds"], ""),
                ("÷ limit", seen["ratio"], ""),
                ("CPU s per 1,000 nodes", seen["cpu_per_1000"], ""),
            ]
    report("seeing", "a script that sees all", rows, figures)
    return figures
