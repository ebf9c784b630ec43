"""Measures nodepool_ng on a real ZooKeeper and simulated clouds, and Nodepool 11.0.0 beside it.

    python -m tests.bench [SCENARIO…] [--quick] [--beside] [--keep FILE]

Each scenario prints a table and a JSON line. `--beside` measures Nodepool 11.0.0 in the same run, in the same way.
`--keep` puts the lines into a file, in place of those that an earlier run of the same scenario left there.
PROFILE=1 in the environment profiles the launcher and shows what was found; PROFILE_TO=FILE puts it there instead.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.bench.figures import REPORTED

SCENARIOS = (
    "warm",
    "burst",
    "fill",
    "churn",
    "floor",
    "seeing",
    "storm",
    "refusing",
    "restart",
    "growth",
    "crowd",
    "cli",
    "builder",
)
ON_REAL_SERVICES = ("glance",)
"""Only run when they are named: they start the services of devstack/."""


@contextmanager
def profiles_shown() -> Iterator[None]:
    """Show what the launchers find that are profiled meanwhile: what they write themselves goes to their log."""
    if not os.environ.get("PROFILE") or os.environ.get("PROFILE_TO"):
        yield
        return
    with NamedTemporaryFile("r") as found:
        os.environ["PROFILE_TO"] = found.name
        try:
            yield
        finally:
            del os.environ["PROFILE_TO"]
            print(found.read(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"of {', '.join(SCENARIOS)} (all of them unless told), and {', '.join(ON_REAL_SERVICES)}",
    )
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument("--beside", action="store_true", help="Nodepool 11.0.0, too")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where to put the JSON lines")
    chosen = parser.parse_args()
    known = (*SCENARIOS, *ON_REAL_SERVICES)
    unknown = [name for name in chosen.scenarios if name not in known]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(known)}")
    options = [f"--{name}" for name in ("quick", "beside") if getattr(chosen, name)]
    for name in chosen.scenarios or SCENARIOS:
        REPORTED.clear()
        with profiles_shown():
            import_module(f"tests.bench.{name}").run(quick=chosen.quick, beside=chosen.beside)
        if chosen.keep is not None:
            keep(chosen.keep, {"command": " ".join((name, *options)), "load": os.getloadavg()[1]})


def keep(file: Path, about: Mapping[str, object]) -> None:
    """Put what was reported into a file, in place of what the same command left there."""
    old = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    lines = [line for line in old if line["command"] != about["command"]]
    lines += [{**line, **about} for line in REPORTED]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
