"""Where a demo keeps everything: a folder of its own, and a cache that outlives it.

The folder's lock file is locked while its demo lives, so what a killed demo left is told from one that runs.
"""

import fcntl
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodepool_ng

PREFIX = "demo-"
LOCK = "lock"
CHECKOUT = Path(nodepool_ng.__file__).resolve().parents[1]
ELEMENTS = CHECKOUT / "elements"


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths of one demo. All are plain words, as diskimage-builder needs them, wherever the checkout is."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def scratch(self) -> Path:
        return self.path / "tmp"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    @property
    def elements(self) -> Path:
        return self.path / "elements"

    @property
    def config(self) -> Path:
        return self.path / "nodepool.yaml"

    @property
    def clouds(self) -> Path:
        return self.path / "clouds.yaml"

    def pid_file(self, daemon: str) -> Path:
        return self.path / f"{daemon}.pid"


@contextmanager
def private(keep: bool = False) -> Iterator[Folder]:
    """Make a folder, and remove it at the end unless it is to be kept; remove what dead demos left, too."""
    state = _state()
    _sweep(state)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=state))
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder = Folder(path)
        for each in (folder.logs, folder.images, folder.scratch):
            each.mkdir()
        cache = CHECKOUT / ".state" / "cache" if os.access(CHECKOUT, os.W_OK) else state / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        folder.cache.symlink_to(cache)
        folder.elements.symlink_to(ELEMENTS)
        yield folder
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _state() -> Path:
    """Return where demos have their folders: in the checkout, or where temporary files go if its path has blanks."""
    state = CHECKOUT / ".state"
    if shlex.quote(str(state)) == str(state) and os.access(CHECKOUT, os.W_OK):
        state.mkdir(exist_ok=True)
        return state
    state = Path(tempfile.gettempdir()) / f"nodepool_ng-{os.geteuid()}"
    state.mkdir(mode=0o700, exist_ok=True)
    if state.stat().st_uid != os.geteuid():
        return Path(tempfile.gettempdir())
    return state


def _sweep(state: Path) -> None:
    for left in state.glob(f"{PREFIX}*/{LOCK}"):
        try:
            descriptor = os.open(left, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # its demo runs
        else:
            shutil.rmtree(left.parent, ignore_errors=True)
        finally:
            os.close(descriptor)
