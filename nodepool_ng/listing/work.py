"""What builders are doing, as they tell it themselves: rows made of their documents.

The documents were written by other processes, maybe of another version: what is not as expected is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeGuard

from nodepool_ng.listing.table import Column
from nodepool_ng.model.ids import Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRow:
    """A build or an upload that is under way, or one that waits. Sizes are bytes, `left` and `seconds` are seconds."""

    image: str
    build: str | None = None
    provider: str | None = None
    builder: str = ""
    doing: str
    step: str | None = None
    seconds: float | None = None
    done: int | None = None
    size: int | None = None
    rate: int | None = None
    left: float | None = None
    again: Timestamp | None = None
    """When it is tried next."""
    why: str | None = None
    now: Timestamp = 0.0


def amount(count: float | None) -> str | None:
    """Return a number of bytes for people."""
    if count is None:
        return None
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float | None) -> str | None:
    """Return a duration as `M:SS`, or `H:MM:SS`."""
    if seconds is None:
        return None
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rate(row: WorkRow) -> str | None:
    return None if row.rate is None else f"{amount(row.rate)}/s"


def _again(row: WorkRow) -> str | None:
    return None if row.again is None else f"in {duration(row.again - row.now)}"


WORK: tuple[Column[WorkRow], ...] = (
    Column("Image", "image", lambda row: row.image),
    Column("Build ID", "build", lambda row: row.build),
    Column("Provider", "provider", lambda row: row.provider),
    Column("Builder", "builder", lambda row: row.builder),
    Column("Doing", "doing", lambda row: row.doing),
    Column("Step", "step", lambda row: row.step),
    Column("Since", "seconds", lambda row: row.seconds, lambda row: duration(row.seconds)),
    Column("Bytes", "done", lambda row: row.done, lambda row: amount(row.done)),
    Column("Of", "size", lambda row: row.size, lambda row: amount(row.size)),
    Column("Rate", "rate", lambda row: row.rate, _rate),
    Column("Left", "left", lambda row: row.left, lambda row: duration(row.left)),
    Column("Next Try", "next_try", lambda row: row.again, _again),
    Column("Why", "why", lambda row: row.why),
)


def work_rows(document: Mapping[str, Any], now: Timestamp) -> Iterator[WorkRow]:
    """Yield a row for everything that a builder tells of."""
    builder = str(document.get("hostname", ""))
    for one in _objects(document, "builds"):
        step = one.get("phase")
        if step and one.get("element"):
            step = f"{step}: {one['element']}"
        if step and one.get("hook"):
            step = f"{step} ({one['hook']})"
        yield WorkRow(
            image=str(one.get("image")),
            build=_text(one.get("build")),
            builder=builder,
            doing="building",
            step=_text(step),
            seconds=_since(one, now),
            done=_number(one.get("size")),
            now=now,
        )
    for one in _objects(document, "uploads"):
        yield WorkRow(
            image=str(one.get("image")),
            build=_text(one.get("build")),
            provider=_text(one.get("provider")),
            builder=builder,
            doing="uploading",
            seconds=_since(one, now),
            done=_number(one.get("sent")),
            size=_number(one.get("size")),
            rate=_number(one.get("rate")),
            left=_number(one.get("left")),
            now=now,
        )
    for one in _objects(document, "waiting"):
        yield WorkRow(
            image=str(one.get("image")),
            build=_text(one.get("build")),
            provider=_text(one.get("provider")),
            builder=builder,
            doing="waiting",
            again=_number(one.get("until")),
            why=_text(one.get("sentence")),
            now=now,
        )


def _objects(document: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    found = document.get(key)
    yield from (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _number(value: object) -> int | None:
    return int(value) if _is_number(value) else None


def _since(one: Mapping[str, Any], now: Timestamp) -> float | None:
    began = one.get("began")
    return max(0.0, now - began) if _is_number(began) else None
