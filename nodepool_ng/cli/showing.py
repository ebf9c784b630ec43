"""How lists are shown: filtered, sorted, in a form of choice, again and again, and with colour on a terminal.

Without options the bytes are those that scripts cut since Nodepool 11; only a person's terminal gets more.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import click

from nodepool_ng.cli.notices import tell_notices
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.listing.table import Format, R, Table, render
from nodepool_ng.listing.terminal import draw
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.zk.codec import Damaged

REDRAW_EVERY = 1.0  # seconds; on a terminal ages go on
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*")

Command = TypeVar("Command", bound=Callable[..., Any])
Look: TypeAlias = Callable[[Connection], tuple[Table[R], tuple[Damaged, ...]]]
"""Reads what a list shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the options of a list say; None where one was not given."""

    format: Format | None = None
    label: str | None = None
    provider: str | None = None
    state: str | None = None
    older_than: Seconds | None = None
    sort: str | None = None
    watch: bool = False

    @property
    def wide(self) -> bool:
        return self.format is Format.WIDE


class Duration(click.ParamType[Seconds]):
    """A length of time: `90`, `30s`, `15min`, `2h`, `3d`; seconds without a unit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Seconds:
        if isinstance(value, int | float):
            return float(value)
        found = _DURATION.fullmatch(str(value))
        if found is None or found[2] not in _UNITS:
            self.fail(f"{value!r} is no length of time: say 90, 30s, 15min, 2h or 3d.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


DURATION = Duration()


def with_wishes(*filters: str, ages: bool = True, watch: bool = True) -> Callable[[Command], Command]:
    """Add the options of lists; `filters` are those of `label`, `provider` and `state` that its rows have. Without
    `ages` its rows have no time of their own, without `watch` what it shows does not change in ZooKeeper."""

    names = ("format", "sort", *(("older_than",) if ages else ()), *(("watch",) if watch else ()), *filters)

    def add(command: Command) -> Command:
        def gathered(*args: Any, **options: Any) -> Any:
            wishes = Wishes(**{name: options.pop(name) for name in names})
            return command(*args, **options, wishes=wishes)

        gathered.__name__, gathered.__doc__ = command.__name__, command.__doc__
        gathered.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        made: Any = gathered
        for option in reversed(_options(filters, ages, watch)):
            made = option(made)
        return made  # type: ignore[no-any-return]

    return add


def _options(filters: Iterable[str], ages: bool, watch: bool) -> list[Callable[[Any], Any]]:
    told = {"label": "with this label", "provider": "of this provider", "state": "in this state"}
    older = click.option(
        "--older-than", type=DURATION, help="Only those in their state for longer, as 90, 30s, 2h, 3d."
    )
    again = click.option("--watch", is_flag=True, help="Print again whenever something changes, until Ctrl-C.")
    return [
        click.option(
            "--format",
            type=click.Choice([format.value for format in Format]),
            callback=lambda ctx, param, value: None if value is None else Format(value),
            help="Print the table for scripts (pretty, as ever), with all columns (wide), or a form for programs.",
        ),
        *(click.option(f"--{name}", metavar="NAME", help=f"Only those {told[name]}.") for name in filters),
        *([older] if ages else []),
        click.option(
            "--sort", metavar="COLUMN", help="Sort by a column: its title, or its key in JSON; -COLUMN: backwards."
        ),
        *([again] if watch else []),
    ]


def show_list(session: Session, look: Look[R], wishes: Wishes, *roots: str, whole: bool = False) -> None:
    """Read and show a list; with `--watch` again after each change below `roots`; `whole` has all columns however
    narrow the terminal is."""
    with session.connected(*roots if wishes.watch else ()) as connection:
        while True:
            table, damaged = look(connection)
            text = rendered(chosen(table, wishes, session.now()), wishes.format, whole=whole)
            if wishes.watch and sys.stdout.isatty():
                text = CLEAR + text
            click.echo(text)
            session.report(damaged)
            tell_notices(connection.ask)
            if not wishes.watch:
                return
            sys.stdout.flush()
            connection.wait_for_change(REDRAW_EVERY if sys.stdout.isatty() else None)


def rendered(table: Table[R], format: Format | None, *, whole: bool = False) -> str:
    """Return the text of a table; without a format, a person's terminal gets colours, rounded ages, and unless it is to
    be `whole` no more columns than it has room for."""
    if format is None and sys.stdout.isatty():
        width = None if whole else shutil.get_terminal_size().columns
        return draw(table, colour="NO_COLOR" not in os.environ, width=width)
    return render(table, format or Format.PRETTY)


def chosen(table: Table[R], wishes: Wishes, now: Timestamp) -> Table[R]:
    """Return the rows that are wanted, in the order that is wanted. Raises `UsageError` for an unknown column."""
    keys = {column.key: column for column in table.columns}
    rows = table.rows
    for wanted, names in (
        (wishes.label, ("label", "node_types", "image")),
        (wishes.provider, ("provider",)),
        (wishes.state, ("state",)),
    ):
        if wanted is not None:
            # A request's provider is a column of the wide list only.
            column = next((keys[name] for name in names if name in keys), None)
            value = column.value if column else attrgetter(names[0])
            rows = tuple(row for row in rows if _has(value(row), wanted))
    if wishes.older_than is not None:
        rows = tuple(row for row in rows if now - _since(row) > wishes.older_than)
    if wishes.sort is not None:
        backwards, name = wishes.sort.startswith("-"), wishes.sort.lstrip("-").casefold()
        column = next((one for one in table.columns if name in (one.key.casefold(), one.title.casefold())), None)
        if column is None:
            there = ", ".join(one.title for one in table.columns)
            raise click.UsageError(f"There is no column {wishes.sort.lstrip('-')!r} to sort by, only: {there}.")
        by_age = column.title.endswith("Age")
        value = column.value
        rows = tuple(
            sorted(rows, key=lambda row: _order(now - _since(row) if by_age else value(row)), reverse=backwards)
        )
    return replace(table, rows=rows)


def _has(value: object, wanted: str) -> bool:
    return wanted in value if isinstance(value, list | tuple) else str(value) == wanted


def _since(row: object) -> Timestamp:
    """Return since when a row's record has been in its state."""
    for name in ("node", "upload", "build", "request"):
        row = getattr(row, name, row) if not isinstance(getattr(row, name, None), str | None) else row
    found = getattr(row, "state_time", None) or getattr(row, "requested", None) or getattr(row, "time", None)
    return float(found) if found is not None else float("inf")


def _order(value: object) -> tuple[int, float, str]:
    """Return what sorts any values: numbers before texts, nothing first."""
    match value:
        case None:
            return 0, 0, ""
        case bool() | int() | float():
            return 1, float(value), ""
        case list() | tuple():
            return 2, 0, ",".join(map(str, value))
        case _:
            return 2, 0, str(value)
