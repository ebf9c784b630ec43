"""The configuration files: from YAML to `model.settings`, with complaints that tell file, line, column and remedy.

`load` is for the daemons and takes whatever Nodepool 11 takes, `validate` is strict; `watch` tells when to load again.
The way of a file is `source` (text, environment put in), `document` (values with places), `judge` (against `schema`,
`providers` and their `kinds`), `reading` (all of that for all files), `cross` (one key against another), `build`
(settings). `address` reads where ZooKeeper is and nothing
else. This package knows no cloud and no clouds.yaml: see `with_formats`.
"""

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodepool_ng.config.address import zookeeper_of
    from nodepool_ng.config.build import with_formats
    from nodepool_ng.config.complaint import Complaint, ConfigError, Gravity, Place, refused, render
    from nodepool_ng.config.loading import Loaded, load, validate
    from nodepool_ng.config.reading import Skipped
    from nodepool_ng.config.watch import Reloader, Watched, clouds_files

__all__ = [
    "Complaint",
    "ConfigError",
    "Gravity",
    "Loaded",
    "Place",
    "Reloader",
    "Skipped",
    "Watched",
    "clouds_files",
    "load",
    "refused",
    "render",
    "validate",
    "with_formats",
    "zookeeper_of",
]

_HOMES = MappingProxyType(
    {
        "Complaint": "complaint",
        "ConfigError": "complaint",
        "Gravity": "complaint",
        "Loaded": "loading",
        "Place": "complaint",
        "Reloader": "watch",
        "Skipped": "reading",
        "Watched": "watch",
        "clouds_files": "watch",
        "load": "loading",
        "refused": "complaint",
        "render": "complaint",
        "validate": "loading",
        "with_formats": "build",
        "zookeeper_of": "address",
    }
)


def __getattr__(name: str) -> Any:
    """Import what is asked for, with what it needs: the models of whole files take a third of a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
