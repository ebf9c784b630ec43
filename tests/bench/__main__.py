"""Measures nodepool_ng on a real ZooKeeper and simulated clouds, and Nodepool 11.0.0 beside it.

    python -m tests.bench [SCENARIO…] [--quick] [--beside]

Each scenario prints a table and a JSON line. `--beside` measures Nodepool 11.0.0 in the same run, in the same way.
PROFILE=1 in the environment profiles the launcher, and PROFILE_TO=FILE says where to.
"""

import argparse
from importlib import import_module

SCENARIOS = ("warm", "burst", "fill", "churn", "floor", "storm", "restart", "growth", "cli", "builder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument("--beside", action="store_true", help="Nodepool 11.0.0, too")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    for name in chosen.scenarios or SCENARIOS:
        import_module(f"tests.bench.{name}").run(quick=chosen.quick, beside=chosen.beside)


if __name__ == "__main__":
    main()
