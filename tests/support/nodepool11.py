"""Nodepool 11 in an environment of its own: its launcher, its commands, and its model's view of a tree."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.daemons import Daemon, Site
from tests.support.peers import Peer

SCRIPT = Path(__file__).parents[1] / "peers" / "nodepool_side.py"
NOT_OURS = {"PYTHONPATH": ""}
COMMAND_TIMEOUT = 60.0  # seconds
_AGE = re.compile(r"\d{2,}:\d\d:\d\d:\d\d")


class Nodepool11:
    """The same configuration and clouds as a site's own daemons."""

    def __init__(self, peer: Peer, place: Site) -> None:
        self._peer = peer
        self._place = place

    def launcher(self, config: Path | None = None, tag: str = "", *, web: bool = False) -> Daemon:
        """Start its launcher, with everything in its log; with its web application only if that is asked for."""
        argv = [
            str(self._peer.folder / "bin" / "nodepool-launcher"),
            *("-c", str(config or self._place.config)),
            *(("-d",) if web else ("-d", "--no-webapp")),
        ]
        return self._place.run(argv, f"peer-launcher{tag}", NOT_OURS)

    def builder(self) -> Daemon:
        argv = [str(self._peer.folder / "bin" / "nodepool-builder"), "-c", str(self._place.config), "-d"]
        return self._place.run(argv, "peer-builder", NOT_OURS)

    def command(self, *arguments: str) -> str:
        """Run one of its commands and return what it prints."""
        return self._run([str(self._peer.folder / "bin" / "nodepool"), "-c", str(self._place.config), *arguments])

    def sees(self) -> Any:
        """Return what its model makes of the tree."""
        return json.loads(self._run([str(self._peer.python), str(SCRIPT), str(self._place.config)]))

    def _run(self, argv: list[str]) -> str:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            env=self._place.surroundings(NOT_OURS),
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def comparable(printed: str) -> list[str]:
    """Return the lines of a printed table, without ages, in an order that does not depend on the tree's."""
    return sorted(_AGE.sub("(age)", line) for line in printed.splitlines())
