"""A table for a person's terminal: the same box, with colours for states, ages in words, and no wider than it is."""

import re
from collections.abc import Iterable

from nodepool_ng.listing.table import Column, R, Table, columns_of

_AGE = re.compile(r"(\d{2,}):(\d\d):(\d\d):(\d\d)")
GREEN, YELLOW, RED, BLUE, DIM, BOLD = "32", "33", "31", "34", "2", "1"
FEWEST = 3
"""So many columns are shown however narrow the terminal is."""
COLOURS = {
    "ready": GREEN,
    "fulfilled": GREEN,
    "in-use": BLUE,
    "pending": BLUE,
    "building": YELLOW,
    "uploading": YELLOW,
    "requested": YELLOW,
    "paused": YELLOW,
    "hold": YELLOW,
    "failed": RED,
    "aborted": RED,
    "deleting": DIM,
    "deleted": DIM,
    "used": DIM,
}


def draw(table: Table[R], *, colour: bool, width: int | None = None) -> str:
    """Return the table as text without a newline at its end. With a width, columns that have no room are left out,
    the longest first, and named below."""
    if width is not None:
        return _fitted(table, colour, width)
    titles = [column.title for column in table.columns]
    texts = [[_rounded(column, column.cell(row)) for column in table.columns] for row in table.rows]
    widths = [max(map(columns_of, column)) for column in zip(titles, *texts, strict=True)]
    rule = "+" + "+".join("-" * (each + 2) for each in widths) + "+"
    states = [column.key == "state" for column in table.columns]
    lines = [rule, _line([_painted(t, BOLD, w, colour) for t, w in zip(titles, widths, strict=True)]), rule]
    for row in texts:
        paints = [COLOURS.get(text, "") if state else "" for text, state in zip(row, states, strict=True)]
        lines.append(_line([_painted(t, p, w, colour) for t, p, w in zip(row, paints, widths, strict=True)]))
    return "\n".join([*lines, rule])


def _fitted(table: Table[R], colour: bool, width: int) -> str:
    """Draw what fits: without columns in which nothing is, then without the longest but for the first and the state."""
    kept = list(table.columns)
    wide = {column.key: _width(column, table.rows) for column in kept}

    def too_wide() -> bool:
        return sum(wide[column.key] + 3 for column in kept) + 1 > width

    if too_wide():
        kept = [column for column in kept if column is kept[0] or any(map(column.cell, table.rows))]
    left_out = []
    while too_wide() and len(kept) > FEWEST:
        longest = max((column for column in kept[1:] if column.key != "state"), key=lambda column: wide[column.key])
        kept.remove(longest)
        left_out.append(longest.title)
    drawn = draw(Table(tuple(kept), table.rows), colour=colour)
    if not left_out:
        return drawn
    titles = ", ".join(column.title for column in table.columns if column.title in left_out)
    return f"{drawn}\nNo room for: {titles}; --format pretty shows them."


def _width(column: Column[R], rows: Iterable[R]) -> int:
    return max([len(column.title), *(columns_of(_rounded(column, column.cell(row))) for row in rows)])


def age_in_words(age: str) -> str:
    """Return `DD:HH:MM:SS` rounded to what matters; anything else as it is."""
    found = _AGE.fullmatch(age)
    if found is None:
        return age
    days, hours, minutes, seconds = map(int, found.groups())
    if days:
        return f"{days} d {hours} h" if days < 10 else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if hours < 10 else f"{hours} h"
    if minutes:
        return f"{minutes} min {seconds} s" if minutes < 10 else f"{minutes} min"
    return f"{seconds} s"


def _rounded(column: Column[R], cell: str) -> str:
    return age_in_words(cell) if column.title.endswith("Age") else cell


def _line(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell} " for cell in cells) + "|"


def _painted(text: str, paint: str, wide: int, colour: bool) -> str:
    filled = text + " " * (wide - columns_of(text))
    return f"\x1b[{paint}m{filled}\x1b[0m" if colour and paint else filled
