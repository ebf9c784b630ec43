"""A table for a person's terminal: the same box, with colours for states and ages in words."""

import re

from nodepool_ng.listing.table import Column, R, Table, columns_of

_AGE = re.compile(r"(\d{2,}):(\d\d):(\d\d):(\d\d)")
GREEN, YELLOW, RED, BLUE, DIM, BOLD = "32", "33", "31", "34", "2", "1"
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


def draw(table: Table[R], *, colour: bool) -> str:
    """Return the table as text without a newline at its end."""
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
