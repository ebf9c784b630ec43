"""The life of nodes, requests and images, kept for days in a small database of the launcher's own.

Others hand events in and go on; a thread of this store writes them, many at a time. Its size is bounded: when the file
grows beyond the limit the oldest events go, and so do those that are older than the limit in days. Where there is no
file, events are kept in memory, and few of them. What cannot be written is told in the log once, and changes nothing
else.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodepool_ng.model.ids import Seconds, Timestamp

GATHER: Seconds = 1.0
"""How long events wait for others, so that they are written together."""
TIDY_EVERY = 500
"""Events between two looks at the size."""
ROWS_AT_ONCE = 100
"""In one statement."""
MOST_ROWS = 2000
MOST_WAITING = 100_000
"""Events that wait to be written; should the disk stand still, later ones are lost."""
OLDEST_SHARE = 10
"""One part in so many goes when the limit is reached."""
MEMORY_LIMIT = 8
"""Megabytes, where nothing is kept on a disk: there is no place for it, or it cannot be used."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    time REAL NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_name ON events (name, time);
CREATE INDEX IF NOT EXISTS events_by_time ON events (time);
CREATE TABLE IF NOT EXISTS spans (
    time REAL NOT NULL, stage TEXT NOT NULL, provider TEXT NOT NULL, pool TEXT NOT NULL, label TEXT NOT NULL,
    image TEXT NOT NULL, az TEXT NOT NULL, seconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS spans_by_time ON spans (stage, time);
CREATE TABLE IF NOT EXISTS samples (
    time REAL NOT NULL, provider TEXT NOT NULL, pool TEXT NOT NULL, nodes REAL NOT NULL, busy REAL NOT NULL,
    most REAL);
CREATE INDEX IF NOT EXISTS samples_by_time ON samples (time);
CREATE TABLE IF NOT EXISTS demand (
    time REAL NOT NULL, request TEXT NOT NULL, labels TEXT NOT NULL, seconds REAL);
CREATE INDEX IF NOT EXISTS demand_by_time ON demand (time);
CREATE INDEX IF NOT EXISTS demand_by_request ON demand (request);
"""
_TABLES = ("events", "spans", "samples", "demand")

_log = logging.getLogger("nodepool.history")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a node, request or image. `name` is its id; an image's is `<image>`."""

    time: Timestamp
    kind: str
    name: str
    event: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How long a stage took, in seconds: `boot`, `life`, `delete`, `wait`, `build`, `upload`."""

    time: Timestamp
    stage: str
    seconds: Seconds
    provider: str = ""
    pool: str = ""
    label: str = ""
    image: str = ""
    az: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSample:
    """How full a pool was at an instant: nodes, how many of them clients had, how many there may be."""

    time: Timestamp
    provider: str
    pool: str
    nodes: float
    busy: float
    most: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A request for labels, or (with seconds) how long its nodes were used."""

    time: Timestamp
    request: str
    labels: tuple[str, ...] = ()
    seconds: Seconds | None = None


Entry = Event | Span | PoolSample | Demand


class History:
    """The store. `tell` may be called from any thread and never blocks; questions may be asked from any thread."""

    def __init__(self, path: Path | None, days: float, megabytes: float) -> None:
        self._path = path
        self._days = days
        self._most = megabytes * 1e6
        self._queue: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._told_of = threading.Event()
        self._stopping = threading.Event()
        self._taking = threading.Lock()
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._complained = False
        self._since_tidy = 0

    def start(self) -> None:
        """Open the database; where that cannot be had, what happens is only remembered."""
        try:
            self._database = _opened(self._path)
        except (sqlite3.Error, OSError) as error:
            _log.warning("%s cannot be used, so history ends with this process: %s", self._path, error)
            self._path = None
            self._database = _opened(None)
        if self._path is None:
            self._most = min(self._most, MEMORY_LIMIT * 1e6)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and close."""
        self._stopping.set()
        self._told_of.set()
        self._thread.join()
        self._flush()
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def tell(self, entry: Entry) -> None:
        if self._queue.qsize() < MOST_WAITING:
            self._queue.put(entry)
            if not self._told_of.is_set():
                self._told_of.set()

    def of(self, name: str) -> list[Event]:
        """Return what happened to something, the oldest first; of very much the newest."""
        rows = self._ask(
            "SELECT time, kind, name, event, detail FROM events WHERE name = ? ORDER BY time DESC LIMIT ?",
            (name, MOST_ROWS),
        )
        return [Event(time=t, kind=k, name=n, event=e, detail=d) for t, k, n, e, d in reversed(rows)]

    def spans(self, since: Timestamp, by: str) -> dict[str, dict[str, list[float]]]:
        """Return how long stages took since then, sorted, by stage and by `provider`, `image`, `az` or `label`."""
        column = {"provider": "provider", "image": "image", "az": "az", "label": "label"}[by]
        rows = self._ask(
            f"SELECT stage, {column}, seconds FROM spans WHERE time >= ? ORDER BY seconds LIMIT 200000", (since,)
        )
        found: dict[str, dict[str, list[float]]] = {}
        for stage, group, seconds in rows:
            if group:
                found.setdefault(stage, {}).setdefault(group, []).append(seconds)
        return found

    def fill(self, since: Timestamp) -> list[tuple[str, str, float, float, float | None]]:
        """Return, for each provider and pool: mean number of nodes, of busy ones, and the limit seen last."""
        return self._ask(
            "SELECT provider, pool, AVG(nodes), AVG(busy), MAX(most) FROM samples WHERE time >= ? "
            "GROUP BY provider, pool ORDER BY provider, pool",
            (since,),
        )

    def demand(self, since: Timestamp) -> list[tuple[float, list[str], float | None]]:
        """Return when which labels were asked for, and for how long they were used."""
        rows = self._ask(
            "SELECT MIN(time), MAX(labels), MAX(seconds) FROM demand WHERE time >= ? GROUP BY request "
            "HAVING MAX(labels) != '' ORDER BY 1 LIMIT 100000",
            (since,),
        )
        return [(time, labels.split("\n"), seconds) for time, labels, seconds in rows]

    def _ask(self, question: str, values: Sequence[object]) -> list[Any]:
        self._flush()
        with self._lock:
            return [] if self._database is None else self._database.execute(question, values).fetchall()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._told_of.wait()
            self._told_of.clear()
            self._stopping.wait(GATHER)
            self._flush()

    def _flush(self) -> None:
        """Write everything that waits. Only one thread at a time takes from the queue, so that what was taken is
        written when the next one asks."""
        with self._taking:
            batch = []
            while True:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            self._write(batch)

    def _write(self, batch: Sequence[Entry]) -> None:
        for at in range(0, len(batch), TIDY_EVERY):
            self._write_some(batch[at : at + TIDY_EVERY])

    def _write_some(self, batch: Sequence[Entry]) -> None:
        with self._lock:
            if self._database is None:
                return
            try:
                for statement, values in _insertions(batch):
                    self._database.execute(statement, values)
                self._database.commit()
                self._since_tidy += len(batch)
                if self._since_tidy >= TIDY_EVERY:
                    self._since_tidy = 0
                    self._tidy(self._database, batch[-1].time)
                self._complained = False
            except sqlite3.Error as error:
                self._database.rollback()
                if not self._complained:
                    _log.error("History cannot be written at the moment: %s", error)
                    self._complained = True

    def _tidy(self, database: sqlite3.Connection, now: Timestamp) -> None:
        for table in _TABLES:
            database.execute(f"DELETE FROM {table} WHERE time < ?", (now - self._days * 86400,))
        while size(database) > self._most:
            (least, most) = database.execute("SELECT MIN(time), MAX(time) FROM events").fetchone()
            if least is None or least == most:
                break
            # Times are not spread evenly, so a share of the rows is meant, not of the time.
            (edge,) = database.execute(
                "SELECT time FROM events ORDER BY time LIMIT 1 OFFSET (SELECT COUNT(*) / ? FROM events)",
                (OLDEST_SHARE,),
            ).fetchone()
            for table in _TABLES:
                database.execute(f"DELETE FROM {table} WHERE time <= ?", (edge,))
            database.commit()
            database.execute("PRAGMA incremental_vacuum").fetchall()
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def size(database: sqlite3.Connection) -> float:
    """Return how large the database is, in bytes, free pages left out."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    (page,) = database.execute("PRAGMA page_size").fetchone()
    return float((pages - free) * page)


def _opened(path: Path | None) -> sqlite3.Connection:
    """Open the database, and begin anew where the file is none; what it held is only history."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=5.0)
    try:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA journal_size_limit = 1000000")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
    except sqlite3.DatabaseError as error:
        database.close()
        if path is None or error.sqlite_errorname != "SQLITE_NOTADB":
            raise
        _log.warning("%s is no history: it is put aside, and a new one begun", path)
        path.replace(path.with_name(path.name + ".unusable"))
        return _opened(path)
    return database


def _insertions(batch: Iterable[Entry]) -> Iterator[tuple[str, list[object]]]:
    """Yield statements that write everything, each many rows of one table: each gives the interpreter away once."""
    tables: dict[str, list[Sequence[object]]] = {}
    for entry in batch:
        table, row = _row(entry)
        tables.setdefault(table, []).append(row)
    for table, rows in tables.items():
        for at in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[at : at + ROWS_AT_ONCE]
            places = ", ".join(["(" + ", ".join("?" * len(some[0])) + ")"] * len(some))
            yield f"INSERT INTO {table} VALUES {places}", [value for row in some for value in row]


def _row(entry: Entry) -> tuple[str, Sequence[object]]:
    match entry:
        case Event(time=t, kind=kind, name=name, event=event, detail=detail):
            return "events", (t, kind, name, event, detail)
        case Span(time=t, stage=stage, provider=provider, pool=pool, label=label, image=image, az=az, seconds=seconds):
            return "spans", (t, stage, provider, pool, label, image, az, seconds)
        case PoolSample(time=t, provider=provider, pool=pool, nodes=nodes, busy=busy, most=most):
            return "samples", (t, provider, pool, nodes, busy, most)
        case Demand(time=t, request=request, labels=labels, seconds=seconds):
            return "demand", (t, request, "\n".join(labels), seconds)
