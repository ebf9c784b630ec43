"""Whose the files of a build are: a note beside them that names the installation whose tree had the build's record.

A file without a record is only removed when its note names the present installation. So a builder that is started on
an empty ZooKeeper, or on another installation's, finds nothing to remove; neither do files that somebody put there.
"""

import contextlib
import os
import re
from pathlib import Path

from nodepool_ng.model.ids import BuildId, ImageName, InstallationId
from nodepool_ng.model.image_action import BuildKey

FOLDER = ".known"
_NAME = re.compile(r"(?P<image>.+)-(?P<id>[0-9a-f]{32}|[0-9]{10})", re.ASCII)


def read(images_dir: Path) -> dict[BuildKey, InstallationId]:
    """Return all notes. Raises OSError."""
    found: dict[BuildKey, InstallationId] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(images_dir / FOLDER):
            if match := _NAME.fullmatch(name):
                key = BuildKey(ImageName(match["image"]), BuildId(match["id"]))
                with contextlib.suppress(FileNotFoundError):
                    text = (images_dir / FOLDER / name).read_text(encoding="ascii", errors="replace")
                    found[key] = InstallationId(text.strip())
    return found


def write(images_dir: Path, build: BuildKey, installation: InstallationId) -> None:
    """Note whose a build is. Raises OSError."""
    folder = images_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{build}.part"
    part.write_text(f"{installation}\n", encoding="ascii")
    part.replace(folder / str(build))


def drop(images_dir: Path, build: BuildKey) -> None:
    """Forget about a build whose files are gone."""
    with contextlib.suppress(OSError):
        (images_dir / FOLDER / str(build)).unlink()
