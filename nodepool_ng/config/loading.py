"""The two questions one asks a configuration: what does it say, and what is wrong with it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.config import build, cross, reading
from nodepool_ng.config.complaint import Complaint, ConfigError, fatal
from nodepool_ng.config.reading import Reading, Skipped
from nodepool_ng.model.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration in force. `warnings` holds everything that strict validation has to say about it."""

    settings: Settings
    warnings: tuple[Complaint, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def load(path: str, secure: str | None = None, env: Mapping[str, str] = os.environ) -> Loaded:
    """Return the settings that the files at `path` and `secure` say.

    Raises:
        ConfigError: they say nothing usable; its complaints are all that was found.
    """
    read = reading.read(path, secure, env)
    complaints = _judged(read)
    if fatal(complaints):
        raise ConfigError(complaints)
    configured, skipped = build.build(read)
    return Loaded(settings=configured, warnings=complaints, skipped=skipped)


def validate(path: str, secure: str | None = None, env: Mapping[str, str] = os.environ) -> tuple[Complaint, ...]:
    """Return all complaints about the files, by place; `refused` tells whether they are good enough.

    No cloud is asked, clouds.yaml is not read.
    """
    try:
        return _judged(reading.read(path, secure, env))
    except ConfigError as error:
        return error.complaints


def _judged(read: Reading) -> tuple[Complaint, ...]:
    complaints = [*read.complaints, *cross.check(read)]
    order = {read.document.source.file: 0}
    return tuple(sorted(complaints, key=lambda one: (order.get(one.place.file, 1), one.place.line, one.place.column)))
