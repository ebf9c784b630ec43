"""The sheet of a build: what went into it and how it went, kept beside its record for whoever asks later.

Packages are what the image's own manifests say (`<image>.d/dib-manifests`, written where an element depends on
`manifests`); elements are those that diskimage-builder worked with, dependencies included.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nodepool_ng.builder import files
from nodepool_ng.builder.dib import BuildOrder, BuildResult
from nodepool_ng.builder.progress import LogStory
from nodepool_ng.model.ids import BuildId, ImageName, Timestamp

KEEP = 10
"""Sheets of one image."""
_log = logging.getLogger("nodepool.builder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """`document` holds plain values that JSON knows. `over`: the build has ended, nothing will be added."""

    image: ImageName
    build: BuildId
    document: Mapping[str, Any]
    over: bool = False

    def without_packages(self) -> "Sheet":
        """Return the sheet without what may be too large."""
        return replace(self, document={**self.document, "packages": None, "log-tail": ""})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a build began; `key` is the builder's own secret."""

    hostname: str
    began: Timestamp
    key: bytes


def under_way(order: BuildOrder, origin: Origin, story: LogStory) -> Sheet:
    """Return the sheet of a build that is going on."""
    return Sheet(image=order.image, build=order.id, document=_document(order, origin, story))


def finished(order: BuildOrder, origin: Origin, ended: Timestamp, story: LogStory, result: BuildResult) -> Sheet:
    """Return the sheet of a build that is over. Reads the image's manifests."""
    found = {
        **_document(order, origin, story),
        "ended": ended,
        "exit-code": result.returncode,
        "succeeded": result.succeeded,
        "why": result.why or None,
        "sizes": {file.format: file.size for file in result.files},
        "checksums": {file.format: file.sha256 for file in result.files if file.sha256},
        "packages": packages_of(order.images_dir / f"{order.image}-{order.id}.{files.MANIFESTS}"),
    }
    return Sheet(image=order.image, build=order.id, document=found, over=True)


def _document(order: BuildOrder, origin: Origin, story: LogStory) -> dict[str, Any]:
    return {
        "image": str(order.image),
        "build": str(order.id),
        "builder": origin.hostname,
        "began": origin.began,
        "ended": None,
        "elements": sorted(story.elements or order.elements),
        "formats": sorted(order.formats),
        "release": order.release,
        # values may be secrets: who compares two sheets of one builder sees whether one has changed, and no more
        "env-vars": {name: _fingerprint(origin.key, value) for name, value in sorted(order.env_vars.items())},
        "log": str(order.log),
        "log-length": story.length,
        "log-tail": story.tail,
    }


def _fingerprint(key: bytes, value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=8, key=key).hexdigest()


def packages_of(manifests: Path) -> dict[str, str] | None:
    """Return versions by package name, as the manifests of a build tell; None where they tell nothing.

    Git repositories count as packages named `git:<name>`, their commits as versions.
    """
    found: dict[str, str] = {}
    for path in sorted((manifests / "dib-manifests").glob("dib-manifest-*")):
        kind = path.name.removeprefix("dib-manifest-").partition("-")[0]
        read = _READERS.get(kind)
        if read is not None:
            try:
                found.update(read(path.read_text(encoding="utf-8", errors="replace")))
            except (OSError, ValueError) as error:
                _log.warning("The manifest %s cannot be read: %s", path, error)
    return dict(sorted(found.items())) or None


def _dpkg(text: str) -> Iterator[tuple[str, str]]:
    """Read what the stock element `dpkg` writes."""
    rows = json.loads(text)
    for row in rows.get("packages", ()) if isinstance(rows, dict) else ():
        if isinstance(row, dict) and str(row.get("status", "ii")).startswith("ii"):
            yield str(row.get("package")), str(row.get("version"))


def _git(text: str) -> Iterator[tuple[str, str]]:
    """Read what the stock element `source-repositories` writes: name, kind, destination, location, commit."""
    for words in map(str.split, text.splitlines()):
        if len(words) >= 5:
            yield f"git:{words[0]}", words[4]


def _plain(text: str) -> Iterator[tuple[str, str]]:
    """Read lines of a name and a version, as our elements write them."""
    for words in map(str.split, text.splitlines()):
        if len(words) == 2:
            yield words[0], words[1]


_READERS: Mapping[str, Callable[[str], Iterable[tuple[str, str]]]] = MappingProxyType(
    {"dpkg": _dpkg, "git": _git, "packages": _plain}
)
"""By what follows `dib-manifest-` in a file's name."""
