"""The board on which every thread of a builder notes how far its work has come, and who reads it.

Builds and uploads write themselves up and off; once every two seconds somebody looks: that reads what the builds'
logs have got since the last look, and makes plain values of it all. Nothing is decided here.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diskimage_builder import paths as dib_paths

from nodepool_ng.builder import files, leftovers
from nodepool_ng.builder.dib import BuildOrder, BuildResult, scratch
from nodepool_ng.builder.progress import LogStory, Rate, element_of
from nodepool_ng.builder.sheet import Origin, Sheet, finished, under_way
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.image_action import BuildKey, Destination

MOST_READ = 4 << 20
"""Bytes of a log that are read in one look; of what is more, the end."""
WEIGH_EVERY: Seconds = 20.0
"""How often it is seen what a build takes on the disk: that walks through all of its files."""

_log = logging.getLogger("nodepool.builder")


@dataclass(slots=True)
class _Build:
    order: BuildOrder
    origin: Origin
    story: LogStory = field(default_factory=LogStory)
    read: int = 0
    size: int = 0
    weighed: float = float("-inf")


@dataclass(slots=True)
class _Upload:
    total: int
    began: Timestamp
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look showed: a document of what is under way, and the sheets of builds of which there is news."""

    work: Mapping[str, Any]
    sheets: tuple[Sheet, ...]


class Board:
    """May be written and read from any thread."""

    def __init__(self, clock: Clock, hostname: str) -> None:
        self._clock = clock
        self._hostname = hostname
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._builds: dict[BuildKey, _Build] = {}
        self._uploads: dict[Destination, _Upload] = {}
        self._ended: list[Sheet] = []

    @contextlib.contextmanager
    def building(self, order: BuildOrder) -> Iterator[Callable[[BuildResult], None]]:
        """Write a build up for as long as the block lasts; what the block gets is to be told the result."""
        key = BuildKey(order.image, order.id)
        mine = _Build(order, Origin(self._hostname, self._clock.now(), _secret(order.images_dir)))
        results: list[BuildResult] = []
        with self._lock:
            self._builds[key] = mine
        try:
            yield results.append
        finally:
            with self._looking:
                _catch_up(mine)
                with self._lock:
                    self._builds.pop(key, None)
                    if results:
                        sheet = finished(order, mine.origin, self._clock.now(), mine.story, results[0])
                        self._ended.append(sheet)

    def uploading(self, to: Destination, total: int) -> Callable[[int], None]:
        """Write an upload up, until `uploaded` is called; return what is to be told the bytes sent so far."""
        mine = _Upload(total, self._clock.now())
        with self._lock:
            self._uploads[to] = mine

        def sent(count: int) -> None:
            mine.sent = count

        return sent

    def uploaded(self, to: Destination) -> None:
        with self._lock:
            self._uploads.pop(to, None)

    def look(self) -> Look:
        """Read what is new in the logs, and tell how everything stands. Does I/O; not for the reconciler's thread."""
        now = self._clock.now()
        with self._looking:
            with self._lock:
                builds, uploads = dict(self._builds), dict(self._uploads)
                ended, self._ended = tuple(self._ended), []
            news = []
            for build in builds.values():
                if _catch_up(build):
                    news.append(under_way(build.order, build.origin, build.story))
                self._weigh(build)
            work = {
                "builds": [_told_of_build(key, build, now) for key, build in sorted(builds.items(), key=_by_name)],
                "uploads": [_told_of_upload(to, one, now) for to, one in sorted(uploads.items(), key=_by_name)],
            }
        return Look(work, (*ended, *news))

    def _weigh(self, build: _Build) -> None:
        if self._clock.monotonic() - build.weighed < WEIGH_EVERY:
            return
        env = {**os.environ, **build.order.env_vars}
        places = [
            leftovers.directory_of(build.order.id, scratch(env)),
            *files.names_of(build.order.images_dir, build.order.image, build.order.id),
        ]
        build.size = leftovers.weight(places) or build.size
        build.weighed = self._clock.monotonic()


def _secret(images_dir: Path) -> bytes:
    """Return the builder's key; without one, what is told of variables can be compared with nothing."""
    try:
        return files.secret(images_dir)
    except OSError as error:
        _log.warning("The builder's own key cannot be had: %s", error)
        return os.urandom(32)


def _by_name(item: tuple[object, object]) -> str:
    return str(item[0])


def _catch_up(build: _Build) -> bool:
    """Read what the log has got since the last time; tell whether that was anything."""
    try:
        with open(build.order.log, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            start = max(build.read, end - MOST_READ)
            log.seek(start)
            text = log.read(MOST_READ)
    except OSError as error:
        _log.debug("The log of build %s-%s cannot be read: %s", build.order.image, build.order.id, error)
        return False
    build.read = start + len(text)
    build.story.hear(text.decode("utf-8", "replace"))
    return bool(text)


def _told_of_build(key: BuildKey, build: _Build, now: Timestamp) -> dict[str, Any]:
    story = build.story
    folders = [*filter(None, (build.order.elements_dir or "").split(":")), str(dib_paths.get_path("elements"))]
    element = element_of(
        story.phase, story.hook, story.elements, lambda path: any((Path(folder) / path).exists() for folder in folders)
    )
    return {
        "image": str(key.image),
        "build": str(key.build),
        "began": build.origin.began,
        "phase": story.phase or None,
        "hook": story.hook or None,
        "element": element,
        "hooks": story.hooks_run,
        "size": build.size or None,
        "log": str(build.order.log),
        "timeout": build.order.timeout,
        "seconds": round(now - build.origin.began),
    }


def _told_of_upload(to: Destination, one: _Upload, now: Timestamp) -> dict[str, Any]:
    rate = Rate(one.sent, one.total, now - one.began)
    return {
        "image": str(to.image),
        "build": str(to.build),
        "provider": str(to.provider),
        "began": one.began,
        "sent": rate.done,
        "size": rate.total or None,
        "rate": round(rate.per_second),
        "left": None if rate.left is None else round(rate.left),
    }
