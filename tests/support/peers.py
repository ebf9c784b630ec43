"""Software that was not written here, in environments of its own, made once and kept in `.state` of the checkout.

Zuul and Nodepool 11 need other releases of our libraries than we do, so they never share an environment with us.
`python -m tests.support.peers` makes both; tests that need one that is not there make it themselves.
"""

import fcntl
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

STATE = Path(__file__).parents[2] / ".state"
INSTALL_TIMEOUT = 900.0  # seconds


class NotInstalled(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What is installed, and the folder it is kept in."""

    name: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return STATE / f"venv-{self.name}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def key(self) -> str:
        """What an environment was made of: one with another key is made anew."""
        return "\n".join((sys.version, *self.requirements)) + "\n"


ZUUL = Peer("zuul", ("zuul>=14,<15",))
NODEPOOL = Peer("nodepool", ("nodepool==11.0.0", "cachetools", "setuptools<80"))
"""Its own list of requirements lacks the last two."""


def install_all(peers: Iterable[Peer]) -> list[str]:
    """Make the environments that are not there, at the same time; return why some cannot be had."""
    with ThreadPoolExecutor() as threads:
        return [missing for missing in threads.map(install, peers) if missing is not None]


@functools.cache
def install(peer: Peer) -> str | None:
    """Make the environment of a peer unless it is there; return why it cannot be had, None when it can."""
    try:
        _install(peer)
    except NotInstalled as error:
        return str(error)
    return None


def _install(peer: Peer) -> None:
    STATE.mkdir(exist_ok=True)
    with (STATE / f"venv-{peer.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = peer.folder / "made-of"
        if done.exists() and done.read_text() == peer.key:
            return
        begun = time.monotonic()
        _say(f"installing {' '.join(peer.requirements)} into {peer.folder}; that is done once and takes minutes")
        shutil.rmtree(peer.folder, ignore_errors=True)
        _run(peer, [sys.executable, "-m", "venv", str(peer.folder)])
        _run(peer, [str(peer.python), "-m", "pip", "install", "--quiet", *peer.requirements])
        done.write_text(peer.key)
        _say(f"{peer.name} is installed, in {time.monotonic() - begun:.0f} s")


def _say(what: str) -> None:
    print(f"peers: {what}", file=sys.stderr, flush=True)


def _run(peer: Peer, command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{peer.name} was not installed within {INSTALL_TIMEOUT:.0f} s") from None
    if ended.returncode:
        errors = [line for line in ended.stderr.splitlines() if not line.startswith("WARNING")]
        raise NotInstalled(f"{' '.join(peer.requirements)} cannot be installed: {' / '.join(errors[-3:])}")


def need(peer: Peer) -> Peer:
    """Return the peer, installed. Without it the test is skipped, but in continuous integration it fails."""
    missing = install(peer)
    if missing is not None:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return peer


def main() -> int:
    """Make both environments. What cannot be had is an error in continuous integration only: tests skip it."""
    missing = install_all((ZUUL, NODEPOOL))
    for why in missing:
        _say(why)
    if not missing:
        _say(f"{ZUUL.name} and {NODEPOOL.name} are there, in {STATE}")
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
