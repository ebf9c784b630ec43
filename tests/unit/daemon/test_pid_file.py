"""What a daemon leaves on disk for its next life, and what it does where nothing can be written."""

import logging
import os
import stat
from pathlib import Path

import pytest

from nodepool_ng.daemon.process import AlreadyRunning, PidFile, watchdog_every

SESSION = (7, b"\x01\x02")


def test_the_next_life_finds_the_session_that_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    first = PidFile(str(path))
    with first:
        first.keep_session(SESSION)
        assert path.read_text() == f"{os.getpid()}\n"
        assert stat.S_IMODE((tmp_path / "pid.session").stat().st_mode) == 0o600
        assert PidFile(str(path)).previous_session() == SESSION
        with pytest.raises(AlreadyRunning):
            PidFile(str(path)).__enter__()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_nobody_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "fdopen", full)
    file = PidFile(str(tmp_path / "pid"))
    with file, caplog.at_level(logging.WARNING):
        file.keep_session(SESSION)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["No space left on device"] * 2
    assert file.previous_session() is None


@pytest.mark.parametrize(
    ("said", "every"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
    ],
)
def test_the_watchdog_is_told_three_times_in_each_period(said: dict[str, str], every: float | None) -> None:
    assert watchdog_every(said) == every
    assert watchdog_every({**said, "WATCHDOG_PID": str(os.getpid())}) == every
    assert watchdog_every({**said, "WATCHDOG_PID": "1"}) is None
