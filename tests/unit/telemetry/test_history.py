"""The store of what happened: it answers at once, survives restarts, and stays within its bounds."""

import sqlite3

import pytest

from nodepool_ng.telemetry.history import Demand, Event, History, PoolSample, Span

NODE = "0000000001"


@pytest.fixture
def history(tmp_path):
    made = History(tmp_path / "deep" / "history.sqlite", days=2, megabytes=1)
    made.start()
    yield made
    made.stop()


def event(time, name=NODE, **more):
    return Event(**{"time": time, "kind": "node", "name": name, "event": "ready", **more})


def test_what_was_told_is_answered_at_once_in_order(history):
    for time in (3.0, 1.0, 2.0):
        history.tell(event(time, event=f"e{time:.0f}"))
    history.tell(event(1.5, name="another"))
    assert [one.event for one in history.of(NODE)] == ["e1", "e2", "e3"]


def test_history_outlives_its_process(tmp_path):
    for number in (1, 2):
        history = History(tmp_path / "h", days=2, megabytes=1)
        history.start()
        history.tell(event(float(number)))
        history.stop()
    again = History(tmp_path / "h", days=2, megabytes=1)
    again.start()
    assert len(again.of(NODE)) == 2
    again.stop()


def test_what_is_older_than_its_days_goes(history):
    history.tell(event(0.0))
    for number in range(600):
        history.tell(event(86400.0 * 3 + number, name="young"))
    assert history.of(NODE) == []
    assert len(history.of("young")) == 600


def test_the_file_never_grows_beyond_its_bound(history, tmp_path):
    for number in range(20_000):
        history.tell(event(float(number), name=f"{number:010}", detail="x" * 200))
        if number % 1000 == 0:
            history.of("nobody")
    assert history.of("0000019999")
    assert not history.of("0000000001")
    files = sum(file.stat().st_size for file in (tmp_path / "deep").iterdir())
    assert files < 1e6 * 1.3 + 1e6  # the log of what is being written is bounded by itself


def test_spans_are_sorted_by_stage_and_group(history):
    for seconds in (3.0, 1.0, 2.0):
        history.tell(Span(time=10, stage="boot", seconds=seconds, provider="north", image="img", az="north a"))
    history.tell(Span(time=1, stage="boot", seconds=99, provider="north"))
    assert history.spans(5, "provider") == {"boot": {"north": [1.0, 2.0, 3.0]}}
    assert history.spans(0, "image") == {"boot": {"img": [1.0, 2.0, 3.0]}}
    assert history.spans(0, "az") == {"boot": {"north a": [1.0, 2.0, 3.0]}}


def test_utilisation_is_a_mean_over_time(history):
    for time, busy in ((1, 0), (2, 10)):
        history.tell(PoolSample(time=time, provider="north", pool="main", nodes=10, busy=busy, most=20))
    assert history.fill(0) == [("north", "main", 10.0, 5.0, 20.0)]


def test_demand_joins_what_was_asked_for_and_for_how_long(history):
    history.tell(Demand(time=1, request="200-1", labels=("a", "b")))
    history.tell(Demand(time=9, request="200-1", seconds=7.0))
    history.tell(Demand(time=9, request="200-0", seconds=7.0))
    assert history.demand(0) == [(1.0, ["a", "b"], 7.0)]


def test_a_file_that_is_no_database_is_put_aside(tmp_path, caplog):
    file = tmp_path / "h"
    file.write_text("something else entirely " * 100)
    history = History(file, days=1, megabytes=1)
    history.start()
    history.tell(event(1.0))
    assert len(history.of(NODE)) == 1
    history.stop()
    assert (tmp_path / "h.unusable").read_text().startswith("something else")
    assert "put aside" in caplog.text


def test_where_nothing_can_be_written_history_is_only_remembered(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file" / "h", days=1, megabytes=1)
    history.start()
    history.tell(event(1.0))
    assert len(history.of(NODE)) == 1
    history.stop()
    assert "ends with this process" in caplog.text


@pytest.mark.parametrize("there_is_a_place", [False, True])
def test_in_memory_it_stays_small_whatever_a_file_may_have(tmp_path, there_is_a_place):
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file" / "h" if there_is_a_place else None, days=10, megabytes=256)
    history.start()
    for number in range(20_000):
        history.tell(event(float(number), name=f"{number:010}", detail="x" * 1000))
        if number % 1000 == 0:
            history.of("nobody")
    newest, oldest = history.of("0000019999"), history.of("0000000001")
    history.stop()
    assert newest
    assert not oldest


def test_a_full_disk_is_told_once_and_stops_nothing(history, caplog, monkeypatch):
    history.of(NODE)
    history._database.execute("PRAGMA max_page_count = 1")
    for number in range(300):
        history.tell(event(float(number), detail="x" * 1000))
        history.of("nobody")
    assert sum("cannot be written" in record.message for record in caplog.records) >= 1
    history._database.execute("PRAGMA max_page_count = 100000")
    history.tell(event(1.0, name="later"))
    assert len(history.of("later")) == 1


def test_the_store_is_a_plain_database(history, tmp_path):
    history.tell(event(1.0))
    history.of(NODE)
    with sqlite3.connect(tmp_path / "deep" / "history.sqlite") as other:
        assert other.execute("SELECT COUNT(*) FROM events").fetchone() == (1,)
    other.close()
