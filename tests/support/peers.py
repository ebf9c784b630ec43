"""Software that was not written here, in environments of its own, made once and kept in `.state` of the checkout.

Zuul and Nodepool 11 need other releases of our libraries than we do, so they never share an environment with us.
"""

import fcntl
import functools
import os
import shutil
import subprocess
import sys
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
        print(f"\nInstalling {' '.join(peer.requirements)} into {peer.folder}; that is done once and takes minutes")
        shutil.rmtree(peer.folder, ignore_errors=True)
        _run(peer, [sys.executable, "-m", "venv", str(peer.folder)])
        _run(peer, [str(peer.python), "-m", "pip", "install", "--quiet", *peer.requirements])
        done.write_text(peer.key)


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
