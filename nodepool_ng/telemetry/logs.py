"""Where log lines go."""

import json
import logging
import logging.config
import logging.handlers
import sys
from pathlib import Path

import yaml

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = {"nodepool": "INFO", "requests": "WARNING", "openstack": "WARNING", "kazoo": "WARNING", "asyncssh": "ERROR"}
"""Loggers of others say what went wrong, ours also what was done."""


class BadLoggingConfig(Exception):
    """The file given with `-l` cannot be used; the text says why."""


def from_file(path: str) -> None:
    """Configure logging as a file says: `.yaml`, `.yml` and `.json` hold a dictConfig, anything else is ini."""
    suffix = Path(path).suffix
    try:
        if suffix in (".yaml", ".yml"):
            logging.config.dictConfig(yaml.safe_load(Path(path).read_text()))
        elif suffix == ".json":
            logging.config.dictConfig(json.loads(Path(path).read_text()))
        else:
            logging.config.fileConfig(path)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, yaml.YAMLError) as error:
        raise BadLoggingConfig(f"{path}: this is no logging configuration: {error}") from None


def plain(*, debug: bool, file: str | None = None) -> None:
    """Log to standard output, or to a file that is opened anew after it was rotated."""
    handler: logging.Handler
    handler = logging.StreamHandler(sys.stdout) if file is None else _rotated(file)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel("DEBUG" if debug and name == "nodepool" else level)


def _rotated(file: str) -> logging.Handler:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    return logging.handlers.WatchedFileHandler(file)
