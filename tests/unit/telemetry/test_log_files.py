"""Log files: moved away by logrotate, and on a disk that is full."""

import errno
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nodepool_ng.telemetry import logs


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[Path, logging.Logger]]:
    """A file that `plain` logs to, and a logger; the loggers are as before when it is over."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs.LEVELS}
    logs.plain(debug=False, file=str(tmp_path / "logs" / "nodepool.log"))
    yield tmp_path / "logs" / "nodepool.log", logging.getLogger("nodepool.test")
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_file_that_was_moved_away_is_opened_anew(log):
    path, logger = log
    logger.info("before")
    path.rename(path.with_suffix(".1"))
    logger.info("after")
    assert "before" in path.with_suffix(".1").read_text()
    assert "after" in path.read_text()


def test_a_folder_that_is_gone_ends_nobody_and_what_was_lost_is_counted(log, capfd):
    path, logger = log
    logger.info("first")
    path.unlink()
    path.parent.rmdir()
    logger.info("lost")
    logger.info("lost, too")
    path.parent.mkdir()
    logger.info("found")
    assert path.read_text().endswith("found (before this, 2 lines could not be written)\n")
    assert capfd.readouterr() == ("", "")


def test_lines_that_are_gathered_are_written_together(log):
    path, logger = log
    with logs.gathered():
        logger.info("one")
        logger.info("two")
        assert path.read_text() == ""
    logger.info("three")
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["one", "two", "three"]


def test_whoever_gathers_while_another_does_loses_nothing(log):
    path, logger = log
    with logs.gathered():
        logger.info("one")
        with logs.gathered():
            logger.info("two")
        logger.info("three")
    logger.info("four")
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["one", "two", "three", "four"]


def test_lines_that_are_gathered_are_one_write_where_nothing_is_buffered(log):
    class Unbuffered(io.RawIOBase):
        def __init__(self) -> None:
            self.writes: list[bytes] = []

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.writes.append(bytes(data))
            return len(data)

    _, logger = log
    logging.getLogger().handlers[0].close()
    raw = Unbuffered()
    logging.getLogger().handlers[:] = [logs.ToStdout(io.TextIOWrapper(raw, write_through=True))]
    with logs.gathered():
        logger.info("one")
        logger.info("two")
    logger.info("three")
    assert raw.writes == [b"one\ntwo\n", b"three\n"]


def test_a_file_that_could_not_be_opened_is_opened_for_gathered_lines(log):
    path, logger = log
    path.unlink()
    path.parent.rmdir()
    logger.info("lost")
    path.parent.mkdir()
    with logs.gathered():
        logger.info("one")
        logger.info("two")
    first, second = path.read_text().splitlines()
    assert first.endswith("one (before this, 1 lines could not be written)")
    assert second.endswith("two")


def test_a_file_is_opened_anew_for_gathered_lines_too(log):
    path, logger = log
    logger.info("before")
    path.rename(path.with_suffix(".1"))
    with logs.gathered():
        logger.info("one")
        logger.info("two")
    assert "before" in path.with_suffix(".1").read_text()
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["one", "two"]


def test_gathered_lines_that_cannot_be_written_are_counted(log):
    class Full(io.StringIO):
        full = True

        def flush(self) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "no space left")

    _, logger = log
    logging.getLogger().handlers[0].close()
    handler = logs.ToStdout(disk := Full())
    logging.getLogger().handlers[:] = [handler]
    logger.info("alone")
    with logs.gathered():
        logger.info("one")
        logger.info("two")
    disk.full = False
    logger.info("three")
    assert disk.getvalue().endswith("three (before this, 3 lines could not be written)\n")


def test_what_others_wrote_cannot_forge_a_line_or_steer_a_terminal(log):
    path, logger = log
    logger.warning("the cloud says: %s", "no\x1b[2J\r\n2026-01-01 00:00:00,000 INFO nodepool: all is well")
    (first, second) = path.read_text().splitlines()
    assert first.endswith("the cloud says: no\\x1b[2J\\r")
    assert second.startswith("    2026-01-01")


def test_json_has_a_key_for_all_that_a_line_is_about(tmp_path, log):
    _, logger = log
    path = tmp_path / "json.log"
    logging.getLogger().handlers[0].close()
    logs.plain(debug=False, file=str(path), form=logs.JSON)
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("[e: ab] [node_request: 200-0000000001] [node: 0000000002] Ready\n%s", "twice")
    (line,) = path.read_text().splitlines()
    told = json.loads(line)
    assert (told["event"], told["node_request"], told["node"]) == ("ab", "200-0000000001", "0000000002")
    assert (told["level"], told["logger"], told["message"]) == ("ERROR", "nodepool.test", "Ready\ntwice")
    assert told["exception"].endswith("ValueError: why")
    assert datetime.fromisoformat(told["time"]).tzinfo is not None
