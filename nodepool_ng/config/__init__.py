"""The configuration files: from YAML to `model.settings`, with complaints that tell file, line, column and remedy.

`load` is for the daemons and takes whatever Nodepool 11 takes, `validate` is strict; `watch` tells when to load again.
The way of a file is `source` (text, environment put in), `document` (values with places), `judge` (against `schema`,
`providers` and their `kinds`), `reading` (all of that for all files), `cross` (one key against another), `build`
(settings). This package knows no cloud and no clouds.yaml: see `with_formats`.
"""

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
]
