"""What a builder keeps on its own disk: images with their checksums and manifests, build logs, its identity.

The names are an interface with older builders, whose directories we take over: `<image>-<build id>.<suffix>`. A
build id is 32 hex digits, or ten digits in old trees; nothing else is taken for ours, since what is taken for ours
may be deleted.
"""

import contextlib
import os
import re
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nodepool_ng.model.ids import BuildId, ImageName

_BUILD_ID = r"(?:[0-9a-f]{32}|[0-9]{10})"
_NAME = re.compile(rf"(?P<image>.+)-(?P<id>{_BUILD_ID})\.(?P<suffix>.+)", re.ASCII)
_LOG = re.compile(rf"(?P<image>.+)-{_BUILD_ID}\.log", re.ASCII)
_CHECKSUMS = {"md5": 32, "sha256": 64}  # hex digits
_SUFFIXES = {"squashfs": "squash"}  # of formats whose suffix is not their name
_FORMATS = {suffix: name for name, suffix in _SUFFIXES.items()}

MANIFESTS = "d"
IDENTITY = "builder_id.txt"
SECRET = ".sheet-key"
BLOCK = 512  # bytes; the unit of st_blocks, whatever the file system


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """One format of one build. `size` is what it takes on the disk, in bytes; less than its `length` if sparse."""

    format: str
    path: Path
    size: int
    length: int = 0
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBuild:
    """All there is on this disk of one build. `formats` are whole images; `litter` is everything else under its
    name except checksums and manifests, such as a half-converted image."""

    image: ImageName
    id: BuildId
    formats: frozenset[str] = frozenset()
    litter: tuple[str, ...] = ()
    manifests: bool = False


def file_name(image: ImageName, build: BuildId, image_format: str) -> str:
    """Return the name of the file that holds an image."""
    return f"{image}-{build}.{_SUFFIXES.get(image_format, image_format)}"


def local_builds(images_dir: Path, known_formats: Iterable[str]) -> dict[tuple[ImageName, BuildId], LocalBuild]:
    """Return what is there, by image and build id. An absent directory holds nothing."""
    known = frozenset(known_formats)
    suffixes: dict[tuple[ImageName, BuildId], list[str]] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(images_dir)):
            if match := _NAME.fullmatch(name):
                key = ImageName(match["image"]), BuildId(match["id"])
                suffixes.setdefault(key, []).append(match["suffix"])
    return {key: _sorted_out(*key, found, known) for key, found in suffixes.items()}


def _sorted_out(image: ImageName, build: BuildId, suffixes: list[str], known: frozenset[str]) -> LocalBuild:
    formats = {suffix: _FORMATS.get(suffix, suffix) for suffix in suffixes if _FORMATS.get(suffix, suffix) in known}
    sums = {f"{suffix}.{kind}" for suffix in formats for kind in _CHECKSUMS}
    litter = [suffix for suffix in suffixes if suffix not in formats and suffix not in sums and suffix != MANIFESTS]
    return LocalBuild(
        image=image,
        id=build,
        formats=frozenset(formats.values()),
        litter=tuple(litter),
        manifests=MANIFESTS in suffixes,
    )


def image_files(images_dir: Path, image: ImageName, build: BuildId, formats: Iterable[str]) -> tuple[ImageFile, ...]:
    """Return those of the formats that are there and not empty, sorted by name."""
    found = []
    for image_format in sorted(formats):
        path = images_dir / file_name(image, build, image_format)
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            if stat.st_size > 0:
                sums = {kind: checksum(path, kind) for kind in _CHECKSUMS}
                found.append(
                    ImageFile(format=image_format, path=path, size=stat.st_blocks * BLOCK, length=stat.st_size, **sums)
                )
    return tuple(found)


def checksum(path: Path, kind: str) -> str | None:
    """Return what the side file says (`md5` or `sha256`), None if it says nothing.

    coreutils write `<digits>  <path>`, with a backslash before the digits if the path needed quoting.
    """
    try:
        words = Path(f"{path}.{kind}").read_text(encoding="ascii", errors="replace").split(maxsplit=1)
    except FileNotFoundError:
        return None
    digits = words[0].lstrip("\\").lower() if words else ""
    return digits if re.fullmatch(rf"[0-9a-f]{{{_CHECKSUMS[kind]}}}", digits) else None


def names_of(images_dir: Path, image: ImageName, build: BuildId) -> list[Path]:
    """Return all that bears the name of one build: images, checksums, manifests, whatever was left half done."""
    prefix = f"{image}-{build}."
    with contextlib.suppress(FileNotFoundError):
        return sorted(images_dir / name for name in os.listdir(images_dir) if name.startswith(prefix))
    return []


def names_of_format(images_dir: Path, image: ImageName, build: BuildId, image_format: str) -> list[Path]:
    """Return one format's image and checksums."""
    name = file_name(image, build, image_format)
    wanted = (images_dir / name, *(images_dir / f"{name}.{kind}" for kind in _CHECKSUMS))
    return [path for path in wanted if path.exists()]


def largest_build(images_dir: Path, image: ImageName) -> int:
    """Return the bytes that the largest build of an image takes on the disk, all of its formats together."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(images_dir) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match and match["image"] == image and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    taken = entry.stat(follow_symlinks=False).st_blocks * BLOCK
                    sizes[match["id"]] = sizes.get(match["id"], 0) + taken
    return max(sizes.values(), default=0)


def log_name(image: ImageName, build: BuildId) -> str:
    """Return the name of a build's log."""
    return f"{image}-{build}.log"


def logs_to_prune(logs: Iterable[tuple[str, float]], image: ImageName, retention: int) -> list[str]:
    """Return the names of the oldest logs of the image, so that `retention` remain; logs are (name, modified).

    -1 keeps all; less than one is taken for one. Only whole names count: `x` has no part in the logs of `x-arm64`.
    """
    if retention == -1:
        return []
    own = [log for log in logs if (match := _LOG.fullmatch(log[0])) and match["image"] == image]
    own.sort(key=lambda log: (log[1], log[0]))
    return [name for name, _ in own[: -max(retention, 1)]]


def prune_logs(log_dir: Path, image: ImageName, retention: int) -> list[str]:
    """Delete the oldest logs of the image, so that `retention` remain; return their names."""
    with contextlib.suppress(FileNotFoundError), os.scandir(log_dir) as entries:
        doomed = logs_to_prune([(entry.name, entry.stat().st_mtime) for entry in entries], image, retention)
        for name in doomed:
            (log_dir / name).unlink(missing_ok=True)
        return doomed
    return []


def builder_id(images_dir: Path) -> str:
    """Return the identity of the builder whose disk this is; made at first use. Raises OSError."""
    path = images_dir / IDENTITY
    with contextlib.suppress(FileNotFoundError):
        if known := path.read_text(encoding="ascii").strip():
            return known
    made = str(uuid.uuid4())
    _keep(path, f"{made}\n")
    return made


def secret(images_dir: Path) -> bytes:
    """Return a key of this builder that leaves it nowhere; made at first use. Raises OSError."""
    path = images_dir / SECRET
    with contextlib.suppress(FileNotFoundError):
        if known := path.read_bytes().strip():
            return known[:64]
    made = secrets.token_hex(32)
    _keep(path, f"{made}\n")
    return made.encode("ascii")


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
