"""The dashboards as files."""

import json

from nodepool_ng.telemetry.boards.all import BOARDS
from nodepool_ng.telemetry.boards.board import Source, grafana


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {
        f"{source}-{board.name}.json": json.dumps(grafana(board, source), indent=1) + "\n"
        for board in BOARDS
        for source in Source
    }
