"""Runs the launcher with a profiler in each of its threads and, when it stops, adds where the time went to a file.

Used by `PROFILE=1 python -m tests.bench …`; times are wall times of calls, so waiting shows as waiting.
"""

import cProfile
import io
import os
import pstats
import sys
import threading
from pathlib import Path

LINES = 45


def command() -> list[str]:
    return [sys.executable, "-m", "tests.bench.profiled"]


def main() -> None:
    profiles: dict[str, list[cProfile.Profile]] = {}
    plain = threading.Thread.run

    def run(self: threading.Thread) -> None:
        profile = cProfile.Profile()
        profiles.setdefault(self.name.split("-")[0].rstrip("0123456789"), []).append(profile)
        profile.runcall(plain, self)

    threading.Thread.run = run  # type: ignore[method-assign]
    from nodepool_ng.launcher.main import main as launch

    try:
        launch(standalone_mode=False)
    finally:
        with Path(os.environ["PROFILE_TO"]).open("a") as out:
            for name, found in profiles.items():
                text = io.StringIO()
                stats = pstats.Stats(found[0], stream=text)
                for other in found[1:]:
                    stats.add(other)
                stats.sort_stats("tottime").print_stats(LINES)
                out.write(f"\n=== threads {name} ({len(found)})\n{text.getvalue()}")


if __name__ == "__main__":
    main()
