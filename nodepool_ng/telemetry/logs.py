"""Where log lines go."""

import io
import json
import logging
import logging.config
import logging.handlers
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = {"nodepool": "INFO", "requests": "WARNING", "openstack": "WARNING", "kazoo": "WARNING", "asyncssh": "ERROR"}
"""Loggers of others say what went wrong, ours also what was done."""


class BadLoggingConfig(Exception):
    """The file given with `-l` cannot be used; the text says why."""


def from_file(path: str) -> None:
    """Configure logging as a file says: `.yaml`, `.yml` and `.json` hold a dictConfig, anything else is ini.

    Our loggers are there before the file is read. Python would disable all that it does not name; that is never meant.
    """
    suffix = Path(path).suffix
    try:
        if suffix in (".yaml", ".yml"):
            logging.config.dictConfig({**yaml.safe_load(Path(path).read_text()), "disable_existing_loggers": False})
        elif suffix == ".json":
            logging.config.dictConfig({**json.loads(Path(path).read_text()), "disable_existing_loggers": False})
        else:
            logging.config.fileConfig(path, disable_existing_loggers=False)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, yaml.YAMLError) as error:
        raise BadLoggingConfig(f"{path}: this is no logging configuration: {error}") from None


def neutral(text: str) -> str:
    """Return text of others so that it can neither steer a terminal nor pass for a line of its own: control
    characters are escaped, and what follows a line feed is indented."""
    lines = text.split("\n")
    shown = [line if line.isprintable() else "".join(map(_shown, line)) for line in lines]
    return "\n    ".join(shown)


def _shown(character: str) -> str:
    return character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()


class Lines(logging.Formatter):
    """A line for each message. Messages quote clouds, schedulers and configurations, so they are made neutral."""

    def __init__(self) -> None:
        super().__init__(FORMAT)
        self._second = (0, "")
        """The one of the line before, and how it is shown: mostly it is the same."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        second = int(record.created)
        if self._second[0] != second:
            self._second = (second, time.strftime(self.default_time_format, time.localtime(second)))
        return f"{self._second[1]},{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = neutral(record.message)
        return super().formatMessage(record)


class JsonLines(logging.Formatter):
    """A JSON object for each message, on one line: `time` (UTC), `level`, `logger`, `message`, and where there is one,
    `exception`; beside them what a message is about, as `event`, `node_request` and `node`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": when, "level": record.levelname, "logger": record.name, "message": message}
        begin = 0
        while found := _ABOUT.match(message, begin):
            told[_KEYS[found[1]]] = found[2]
            begin = found.end()
        told["message"] = message[begin:]
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


_ABOUT = re.compile(r"\[(e|node_request|node): ([^]]*)\] ")
_KEYS = {"e": "event", "node_request": "node_request", "node": "node"}


def plain(*, debug: bool, file: str | None = None, form: str = TEXT) -> None:
    """Log to standard output, or to a file that is opened anew after it was rotated; `form` is one of `FORMATS`."""
    handler: logging.Handler
    handler = ToStdout(sys.stdout) if file is None else _rotated(file)
    handler.setFormatter(JsonLines() if form == JSON else Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel("DEBUG" if debug and name == "nodepool" else level)
    # Nothing of this is in our lines, and to find it takes a quarter of the time of each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


class _Patient(logging.StreamHandler[Any]):
    """What cannot be written, to a full disk or a terminal that is gone, is lost, and how much was lost is told by the
    first line that can be written again. The daemon goes on; Python would put a traceback where no room is either."""

    _lost = 0
    _told = 0
    _held: int | None = None
    """How many lines are lost if those that wait to be written together cannot be; None: each is written as it
    comes."""
    _real: Any = None
    """The stream, while lines wait."""

    def hold(self) -> None:
        """Keep what is logged from now on until `let_go`. Streams do so only where nobody has set PYTHONUNBUFFERED, as
        containers like to."""
        with self._alone():
            if self._held is None:
                self._held, self._real, self.stream = 0, self.stream, io.StringIO()

    def let_go(self) -> None:
        """Write what was kept; nothing happens when nothing is."""
        with self._alone():
            if self._held is None:
                return
            held, kept = self._held, self.stream.getvalue()
            self._held, self.stream, self._real = None, self._real, None
            try:
                if kept:
                    self.write(kept)
            except (OSError, ValueError):
                self._lost += held

    def write(self, text: str) -> None:
        """Write lines; raise `OSError`, or `ValueError` where the stream is closed."""
        self.stream.write(text)
        self.flush()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def flush(self) -> None:
        if self._held is None:
            super().flush()
        else:
            self._held += self._told + 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        self._lost += self._told + 1
        self._told = 0

    def format(self, record: logging.LogRecord) -> str:
        self._told, self._lost = self._lost, 0
        if self._told:
            record.msg, record.args = (
                f"{record.getMessage()} (before this, {self._told} lines could not be written)",
                (),
            )
        return super().format(record)


class ToStdout(_Patient):
    """Standard output."""


class ToFile(_Patient, logging.handlers.WatchedFileHandler):
    """A file that is opened anew after it was moved away, by logrotate or by hand."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the folder is gone, or not ours any more
            self.handleError(record)

    def write(self, text: str) -> None:
        self.reopenIfNeeded()
        if self.stream is None:  # it could not be opened the last time
            self.stream = self._open()
        super().write(text)

    def reopenIfNeeded(self) -> None:  # noqa: N802 - logging's name
        if self._held is None:
            super().reopenIfNeeded()


@contextmanager
def gathered() -> Iterator[None]:
    """Write what is logged meanwhile in one go.

    Whoever writes lets other threads go first. With dozens of them calling clouds a line takes milliseconds then, and
    its thread has better things to do.
    """
    patient = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Patient)]
    for handler in patient:
        handler.hold()
    try:
        yield
    finally:
        for handler in patient:
            handler.let_go()


def _rotated(file: str) -> logging.Handler:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    return ToFile(file)
