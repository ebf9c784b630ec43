"""Soaks whole daemons in failures, and tells how long each kind of failure was felt.

    python -m tests.soak [--minutes 10] [--seed N] [--keep]

A real ZooKeeper (first one server, then an ensemble of three), simulated OpenStack over HTTP, two launchers with the
same providers, two builders, and a CI scheduler that asks five times a second. One failure after the other strikes
them, in an order that the seed decides. Whether the promises of docs/promises.rst hold is judged from outside, by
ZooKeeper's records and the cloud's own history. Ends with 1 when one was broken, or when something did not come back.
"""

import argparse
import random
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from tests.soak.disasters import disasters
from tests.soak.play import Length, soak
from tests.soak.report import Report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long failures go on; default: 10")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="decides the order of failures")
    parser.add_argument("--folder", type=Path, help="where logs go; default: a new temporary folder")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(mkdtemp(prefix="soak-"))
    print(f"seed {chosen.seed}, logs in {folder}", flush=True)
    report = Report()
    for servers in (1, 3):
        (folder / f"zookeeper-{servers}").mkdir(parents=True)
        rng = random.Random(chosen.seed + servers)
        soak(folder / f"zookeeper-{servers}", servers, Length(seconds=chosen.minutes * 30), rng, report)
    (folder / "disasters").mkdir()
    disasters(folder / "disasters", report)
    print(report.text())
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
