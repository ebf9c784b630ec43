"""Tables: what columns a kind of record has, and the text that comes of it.

A column gives a value to programs (JSON, YAML) and a cell to people; both come from the same record. The pretty form
is byte for byte what Nodepool 11 prints, since scripts cut it at its bars. Text in records was written by others
and goes to terminals, so whatever is not printable is escaped in every form.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from nodepool_ng.model.ids import Timestamp

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """`value` is what programs get under `key`; `shown`, where people get something else than that under `title`."""

    title: str
    key: str
    value: Callable[[R], object]
    shown: Callable[[R], object] | None = None

    def cell(self, row: R) -> str:
        return cell((self.shown or self.value)(row))


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    columns: tuple[Column[R], ...]
    rows: tuple[R, ...]


class Format(StrEnum):
    PRETTY = "pretty"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    WIDE = "wide"
    """The pretty form, of which a list may have more columns."""

    @property
    def for_people(self) -> bool:
        return self in (Format.PRETTY, Format.WIDE)


def printable(text: str) -> str:
    """Return `text` with everything that a terminal would not just print written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cell(value: object) -> str:
    """Return what people see of a value: nothing for None, lists with commas, objects as Python writes them."""
    match value:
        case None:
            return ""
        case str():
            return printable(value)
        case list() | tuple():
            return ",".join(map(cell, value))
        case _:
            return printable(str(value))


def age(since: Timestamp, now: Timestamp) -> str:
    """Return how long ago `since` was, as `DD:HH:MM:SS`; the days may have more digits."""
    minutes, seconds = divmod(max(0, int(now - since)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days:02}:{hours:02}:{minutes:02}:{seconds:02}"


def render(table: Table[R], format: Format = Format.PRETTY) -> str:
    """Return the table as text without a newline at its end."""
    return _RENDERERS[format](table.columns, table.rows)


def _pretty(columns: tuple[Column[R], ...], rows: Iterable[R]) -> str:
    """Draw the table as PrettyTable does, which takes five times as long."""
    texts = [[column.title for column in columns], *([column.cell(row) for column in columns] for row in rows)]
    widths = [max(map(columns_of, column)) for column in zip(*texts, strict=True)]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    header, *lines = ("|" + "|".join(map(_padded, cells, widths)) + "|" for cells in texts)
    return "\n".join([rule, header, rule, *lines, rule])


def _padded(text: str, width: int) -> str:
    return f" {text.ljust(width - columns_of(text) + len(text))} "


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes that is all printable."""
    return len(text) if text.isascii() else sum(map(_width_of_character, text))


def _width_of_character(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def written(value: object, format: Format) -> str:
    """Return plain values as JSON or YAML, without a newline at the end."""
    if format is Format.JSON:
        import json

        return json.dumps(value, indent=2)
    assert format is Format.YAML
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False)).rstrip("\n")


def _json(columns: tuple[Column[R], ...], rows: Iterable[R]) -> str:
    return written(_values(columns, rows), Format.JSON)


def _yaml(columns: tuple[Column[R], ...], rows: Iterable[R]) -> str:
    return written(_values(columns, rows), Format.YAML)


def _csv(columns: tuple[Column[R], ...], rows: Iterable[R]) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    writer.writerows([column.cell(row) for column in columns] for row in rows)
    return out.getvalue().rstrip("\n")


def values(table: Table[R]) -> list[dict[str, object]]:
    """Return what programs get: plain values under the columns' keys."""
    return _values(table.columns, table.rows)


def _values(columns: tuple[Column[R], ...], rows: Iterable[R]) -> list[dict[str, object]]:
    return [{column.key: _plain(column.value(row)) for column in columns} for row in rows]


def _plain(value: object) -> object:
    """Return the value without our own types, which YAML's writer does not know."""
    match value:
        case StrEnum():
            return value.value
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


_RENDERERS: Mapping[Format, Callable[[tuple[Column[R], ...], Iterable[R]], str]] = MappingProxyType(
    {Format.PRETTY: _pretty, Format.JSON: _json, Format.YAML: _yaml, Format.CSV: _csv, Format.WIDE: _pretty}
)
