"""Disk images with what they inherit: the configuration of a parent, applied before their own.

Inheritance is of configuration only; rebuilding a parent does nothing to its children.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from nodepool_ng.config import schema
from nodepool_ng.model import settings
from nodepool_ng.model.ids import ImageName

Value = TypeVar("Value")


def ancestry(name: str, images: Mapping[str, schema.DiskImage]) -> list[schema.DiskImage]:
    """Return an image and its ancestors, the root first. The chain ends where a parent is missing or repeats."""
    chain: list[schema.DiskImage] = []
    seen: set[str] = set()
    at: str | None = name
    while at and at in images and at not in seen:
        seen.add(at)
        chain.append(images[at])
        at = images[at].parent
    return chain[::-1]


def circles(images: Mapping[str, schema.DiskImage]) -> Iterator[tuple[str, ...]]:
    """Yield each circle of parents once, as the names on it."""
    told: set[str] = set()
    for start in images:
        path: list[str] = []
        at: str | None = start
        while at and at in images and at not in path and at not in told:
            path.append(at)
            at = images[at].parent
        if at in path:
            yield tuple(path[path.index(at) :])
        told.update(path)


def merged(name: str, images: Mapping[str, schema.DiskImage], secret: dict[str, str]) -> settings.DiskImage:
    """Return an image as it is built. `secret` are environment variables of the secure file; they win."""
    chain = ancestry(name, images)
    environment: dict[str, str] = {}
    for image in chain:
        environment |= image.env_vars
    default = settings.DiskImage(name=ImageName(name))
    deletes = [image.delete_after_upload for image in chain if image.delete_after_upload is not None]
    return settings.DiskImage(
        name=ImageName(name),
        elements=tuple(element for image in chain for element in image.elements),
        env_vars=environment | secret,
        formats=frozenset(_last((image.formats for image in chain), [])),
        keep_formats=frozenset(_last((image.keep_formats for image in chain), [])),
        delete_after_upload=deletes[-1] if deletes else default.delete_after_upload,
        release=_last((image.release for image in chain), default.release),
        rebuild_age=_last((image.rebuild_age for image in chain), default.rebuild_age),
        build_timeout=_last((image.build_timeout for image in chain), default.build_timeout),
        build_memory=_last((image.build_memory for image in chain), default.build_memory),
        build_processes=_last((image.build_processes for image in chain), default.build_processes),
        dib_cmd=_last((image.dib_cmd for image in chain), default.dib_cmd),
        pause=any(image.pause for image in chain),
        username=_last((image.username for image in chain), default.username),
        python_path=_last((image.python_path for image in chain), default.python_path),
        shell_type=_last((image.shell_type for image in chain), default.shell_type),
        metadata=images[name].metadata,
        gate=next((image.gate for image in reversed(chain) if image.gate is not None), default.gate),
        check=_last((image.check for image in chain), default.check),
    )


def _last(said: Iterable[Value | None], default: Value) -> Value:
    """Return what was said last, where empty and zero say nothing."""
    return next((value for value in reversed(list(said)) if value), default)
