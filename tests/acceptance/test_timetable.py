"""A timetable of ready nodes: as many as its last entry says, in the time zone of whoever wrote it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from nodepool_ng.config import ConfigError, load
from nodepool_ng.launcher.timetable import in_force
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.settings import Shift
from tests.acceptance.shop import Shop, provider, settings

BERLIN = ZoneInfo("Europe/Berlin")
WORK = (
    Shift(cron="0 8 * * mon-fri", min_ready=20),
    Shift(cron="0 18 * * mon-fri", min_ready=5),
    Shift(cron="0 0 * * sat", min_ready=1),
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("now", "count", "until"),
    [
        ("2026-11-20T07:59:59", 5, "2026-11-20T08:00:00"),
        ("2026-11-20T08:00:00", 20, "2026-11-20T18:00:00"),
        ("2026-11-20T17:59:00", 20, "2026-11-20T18:00:00"),
        ("2026-11-20T23:00:00", 5, "2026-11-21T00:00:00"),
        ("2026-11-22T12:00:00", 1, "2026-11-23T08:00:00"),
        ("2026-11-23T12:00:00", 20, "2026-11-23T18:00:00"),
        # The clock was put back in the night before.
        ("2026-10-26T08:00:01", 20, "2026-10-26T18:00:00"),
    ],
)
def test_the_last_entry_whose_time_has_come_is_in_force(now: str, count: int, until: str) -> None:
    assert in_force(WORK, at(now), BERLIN) == (count, at(until))


def test_rare_entries_are_found_and_impossible_ones_are_none() -> None:
    yearly = (Shift(cron="0 0 1 1 *", min_ready=7),)
    assert in_force(yearly, at("2026-12-31T12:00:00"), BERLIN)[0] == 7
    never = (Shift(cron="0 0 30 2 *", min_ready=7),)
    assert in_force(never, at("2026-12-31T12:00:00"), BERLIN) == (0, None)


def test_a_pool_follows_its_timetable() -> None:
    # Virtual time begins at 08:00 UTC on a Friday, whatever zone this machine is in.
    every = (Shift(cron="*/20 * * * *", min_ready=1), Shift(cron="10-59/20 * * * *", min_ready=3))
    shop = Shop(settings(provider("north"), labels={"small": {"timetable": every}}))
    assert len(shop.nodes(NodeState.READY)) == 1
    shop.run(620)
    assert len(shop.nodes(NodeState.READY)) == 3


def written(tmp_path: Path, min_ready: str) -> Path:
    path = tmp_path / "nodepool.yaml"
    path.write_text(f"labels:\n  - name: small\n    min-ready: {min_ready}\n")
    return path


def test_a_timetable_is_read_and_a_plain_number_stays_one(tmp_path: Path) -> None:
    entries = '[{cron: "0 8 * * mon-fri", min-ready: 20}, {cron: "0 18 * * *", min-ready: 2}]'
    (label,) = load(str(written(tmp_path, entries))).settings.labels.values()
    assert label.timetable == (
        Shift(cron="0 8 * * mon-fri", min_ready=20),
        Shift(cron="0 18 * * *", min_ready=2),
    )
    (label,) = load(str(written(tmp_path, "4"))).settings.labels.values()
    assert (label.min_ready, label.timetable) == (4, ())


@pytest.mark.parametrize(
    "entries",
    [
        '[{cron: "never", min-ready: 1}]',
        '[{cron: "61 * * * *", min-ready: 1}]',
        "[{cron: 5, min-ready: 1}]",
        '[{cron: "0 8 * * *"}]',
        '[{cron: "0 8 * * *", min-ready: -1}]',
        '[{cron: "0 8 * * *", min-ready: 1, else: 2}]',
        "[5]",
    ],
)
def test_a_timetable_that_cannot_be_understood_is_refused_with_its_place(tmp_path: Path, entries: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(str(written(tmp_path, entries)))
    assert "nodepool.yaml:3:" in str(refused.value)
