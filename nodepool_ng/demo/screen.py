"""How rows come to be seen: as a live table on a terminal, or line by line everywhere else."""

import time
from collections.abc import Iterable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nodepool_ng.demo.rows import Phase, Row

WORDS = {Phase.WAITING: "wait", Phase.GOING: "begin", Phase.DONE: "done", Phase.FAILED: "FAILED"}
MARKS = {Phase.WAITING: Text("·", "dim"), Phase.DONE: Text("✓", "green"), Phase.FAILED: Text("✗", "red bold")}
BAR = 24  # columns


class Screen(Protocol):
    """Shows rows by their keys, in the order in which they first came, and lines that stay."""

    def show(self, rows: Iterable[Row]) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None:
        """Leave everything as it is shown last, and begin afresh with the next rows."""
        ...


class _Times:
    """When each row began to go on, and for how long it did."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def note(self, row: Row, now: float) -> None:
        if row.phase is not Phase.WAITING:
            self._begun.setdefault(row.key, now)
        if row.phase in (Phase.DONE, Phase.FAILED):
            self._took.setdefault(row.key, now - self._begun[row.key])
        else:
            self._took.pop(row.key, None)

    def of(self, row: Row, now: float) -> str:
        if row.key in self._took:
            return f"{self._took[row.key]:.1f} s"
        return f"{now - self._begun[row.key]:.1f} s" if row.key in self._begun else ""


class Lines:
    """For logs and pipes: a line whenever a row enters another phase."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._times = _Times()
        self._phases: dict[str, Phase] = {}
        self._start = time.monotonic()

    def show(self, rows: Iterable[Row]) -> None:
        now = time.monotonic()
        for row in rows:
            self._times.note(row, now)
            if self._phases.get(row.key) is row.phase or row.phase is Phase.WAITING:
                continue
            self._phases[row.key] = row.phase
            line = f"{now - self._start:6.1f} s  {WORDS[row.phase]:6} {row.text}"
            if row.phase is not Phase.GOING:
                line += f" ({self._times.of(row, now)})" + (f": {row.detail}" if row.detail else "")
            self._print(line)

    def say(self, text: str) -> None:
        self._print(text)

    def close(self) -> None:
        self._phases.clear()
        self._times = _Times()

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Terminal:
    """For people: what goes on has a spinner and a clock, what has parts has a bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self._times = _Times()
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def show(self, rows: Iterable[Row]) -> None:
        now = time.monotonic()
        for row in rows:
            self._times.note(row, now)
            self._rows[row.key] = row
        if self._live is None:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=12)
            self._live.start()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = None
        self._rows.clear()
        self._times = _Times()

    def _table(self) -> RenderableType:
        now = time.monotonic()
        rows = tuple(self._rows.values())
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, width=max((len(row.text) for row in rows), default=1))
        grid.add_column(no_wrap=True, justify="right", width=7)
        grid.add_column(overflow="ellipsis", no_wrap=True, ratio=1)
        for row in rows:
            mark = self._spinner if row.phase is Phase.GOING else MARKS[row.phase]
            style = "dim" if row.phase is Phase.WAITING else ""
            grid.add_row(mark, Text(row.text, style), Text(self._times.of(row, now), "cyan"), self._detail(row))
        return grid

    def _detail(self, row: Row) -> RenderableType:
        text = Text(row.detail, "red" if row.phase is Phase.FAILED else "dim", overflow="ellipsis", no_wrap=True)
        if row.total and row.phase is Phase.GOING:
            return Group(ProgressBar(total=row.total, completed=row.done, width=BAR), text)
        return text


def on(console: Console) -> Screen:
    """Return the way of showing that fits the console."""
    return Terminal(console) if console.is_terminal else Lines(console)
