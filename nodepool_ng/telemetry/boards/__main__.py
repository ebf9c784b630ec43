"""Writes the dashboards into a folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

from nodepool_ng.telemetry.boards.files import files


def main(folder: Path) -> Iterator[Path]:
    for name, text in files().items():
        path = folder / name
        path.write_text(text)
        yield path


if __name__ == "__main__":
    print(*main(Path(sys.argv[1])), sep="\n")
