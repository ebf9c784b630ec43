"""When to load again: files are looked at from the daemons' tick, no signal and no thread is needed.

A file counts as changed when its time, inode or size differ. A change is taken up once two looks in a row saw the same,
so that a file which is being written is not read halfway: half a configuration is valid YAML too, and a builder would
delete the images that are missing from it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nodepool_ng.config.complaint import ConfigError
from nodepool_ng.config.loading import Loaded

GONE_LOOKS = 3
"""Looks for which a file that existed may be missing: some editors delete and write."""

_FOLDERS = ("/etc/xdg/openstack", "/etc/openstack")
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Stamp:
    mtime_ns: int
    inode: int
    size: int


Look: TypeAlias = Callable[[str], Stamp | None]
"""Tells the stamp of a file, None where there is none."""


def stamp(path: str) -> Stamp | None:
    """Return what a file looks like from outside; None where it cannot be seen."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return Stamp(seen.st_mtime_ns, seen.st_ino, seen.st_size)


class Watched:
    """Files, and how they looked when they were last taken note of."""

    def __init__(self, paths: Iterable[str], look: Look = stamp) -> None:
        self._look = look
        self._known = {path: look(path) for path in paths}
        self._before = dict(self._known)
        self._missing = 0

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(self._known)

    def changed(self) -> frozenset[str]:
        """Take a look; return the files that differ from those noted and hold still since the last look, and note
        them."""
        now = {path: self._look(path) for path in self._known}
        still, self._before = now == self._before, now
        differ = frozenset(path for path, seen in now.items() if seen != self._known[path])
        self._missing = self._missing + 1 if any(now[path] is None for path in differ) else 0
        if not still or 0 < self._missing < GONE_LOOKS:
            return frozenset()
        self._known = now
        self._missing = 0
        return differ


class Reloader:
    """Decides at each tick whether there is a new configuration.

    A broken one is told once and leaves the old one in force; it is tried again when a file changes.
    """

    def __init__(self, watched: Watched, load: Callable[[], Loaded]) -> None:
        self._watched = watched
        self._load = load
        self.changed: frozenset[str] = frozenset()
        """The files of the last change that was taken up. With a clouds.yaml among them, providers need new
        connections although their settings may be equal."""

    def reload(self) -> Loaded | ConfigError:
        """Load again although no file may have changed: an operator says so."""
        self.changed = self._watched.paths
        try:
            return self._load()
        except ConfigError as error:
            return error

    def poll(self) -> Loaded | ConfigError | None:
        """Return the new configuration, or why there is none, or None where nothing changed."""
        changed = self._watched.changed()
        if not changed:
            return None
        self.changed = changed
        try:
            return self._load()
        except ConfigError as error:
            return error


def clouds_files(env: Mapping[str, str], cwd: str, home: str) -> tuple[str, ...]:
    """Return the files that openstacksdk may read its clouds from, whether they exist or not."""
    own = env.get("XDG_CONFIG_HOME") or str(Path(home, ".config"))
    folders = dict.fromkeys([cwd, str(Path(own, "openstack")), str(Path(home, ".config", "openstack")), *_FOLDERS])
    named = [env[name] for name in ("OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE") if env.get(name)]
    found = [
        str(Path(folder, f"{kind}{suffix}"))
        for folder in folders
        for kind in ("clouds", "secure")
        for suffix in _SUFFIXES
    ]
    return (*named, *found)
