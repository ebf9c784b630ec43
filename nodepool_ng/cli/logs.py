"""Where the messages of a command go: to stderr, or wherever the operator's own logging configuration says."""

import logging
import sys

from nodepool_ng.cli.outcome import Failed

QUIET = ("kazoo", "nodepool_ng.zk")
"""What they warn of is told by the command itself, once and as a sentence; `--debug` shows it."""

_DICTIONARIES = (".yml", ".yaml", ".json")
_REFUSALS = (ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError)
"""What `logging.config` raises for a file that it does not like."""


def configure(file: str | None, *, debug: bool) -> None:
    """Set up logging from a file (YAML or JSON: a dictionary; anything else: ini), or plainly to stderr.

    Raises:
        Failed: the file cannot be read, or logging refuses what it says.
    """
    if file is not None:
        _configure_from(file)
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s" if debug else "%(message)s")
    )
    if not debug:
        handler.addFilter(_worth_telling)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)


class LastWords(logging.Handler):
    """Keeps the last warning that it hears, to be told when the whole thing turns out to have failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.words = record.getMessage()


def _worth_telling(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or not record.name.startswith(QUIET)


def _configure_from(file: str) -> None:
    import configparser
    import io
    import logging.config

    import yaml

    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
        if file.endswith(_DICTIONARIES):
            logging.config.dictConfig(yaml.safe_load(text))
        else:
            logging.config.fileConfig(io.StringIO(text), disable_existing_loggers=False)
    except OSError as error:
        raise Failed(f"The logging configuration {file} cannot be read: {error.strerror or error}.") from None
    except (*_REFUSALS, configparser.Error, yaml.YAMLError) as error:
        raise Failed(f"The logging configuration {file} is not usable: {error}.") from None
