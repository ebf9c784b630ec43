"""Commands about what happened: the life of one thing, and how long things took."""

from dataclasses import dataclass
from typing import Any

import click

from nodepool_ng.cli.audit import notes_about
from nodepool_ng.cli.launchers import ask_all
from nodepool_ng.cli.options import whole_id, znode_name
from nodepool_ng.cli.session import Session
from nodepool_ng.cli.showing import DURATION, Wishes, chosen, rendered, with_wishes
from nodepool_ng.explain.scene import span
from nodepool_ng.listing.operators import instant
from nodepool_ng.listing.table import Column, Format, Table, values, written
from nodepool_ng.model.ids import Seconds

SAME_EVENT: Seconds = 2.0
"""Launchers see a change at slightly different instants."""


@dataclass(frozen=True, slots=True)
class Past:
    time: float
    event: str
    detail: str


@dataclass(frozen=True, slots=True)
class Took:
    stage: str
    group: str
    count: int
    mean: float
    half: float
    most_of: float
    most: float


@dataclass(frozen=True, slots=True)
class Fill:
    provider: str
    pool: str
    nodes: float
    busy: float
    most: float | None


PAST: tuple[Column[Past], ...] = (
    Column("Time (UTC)", "time", lambda row: row.time, lambda row: instant(row.time)),
    Column("Event", "event", lambda row: row.event),
    Column("Detail", "detail", lambda row: row.detail),
)
TOOK: tuple[Column[Took], ...] = (
    Column("Stage", "stage", lambda row: row.stage),
    Column("Of", "group", lambda row: row.group),
    Column("Count", "count", lambda row: row.count),
    Column("Mean", "mean", lambda row: round(row.mean, 3), lambda row: span(row.mean)),
    Column("Median", "p50", lambda row: round(row.half, 3), lambda row: span(row.half)),
    Column("90 % Within", "p90", lambda row: round(row.most_of, 3), lambda row: span(row.most_of)),
    Column("Most", "most", lambda row: round(row.most, 3), lambda row: span(row.most)),
)
FILL: tuple[Column[Fill], ...] = (
    Column("Provider", "provider", lambda row: row.provider),
    Column("Pool", "pool", lambda row: row.pool),
    Column("Nodes", "nodes", lambda row: round(row.nodes, 2)),
    Column("Busy", "busy", lambda row: round(row.busy, 2)),
    Column("Max Servers", "most", lambda row: row.most),
    Column("Utilisation", "utilisation", lambda row: _share(row), lambda row: _percent(row)),
)


@click.command()
@click.argument("what", metavar="NODE|REQUEST|IMAGE", callback=znode_name)
@with_wishes(watch=False)
@click.pass_obj
def history(session: Session, what: str, wishes: Wishes) -> None:
    """Show the life of a node, request or image, also of one that is gone: what happened when, and why."""
    name = whole_id(what)
    with session.connected() as connection:
        answers = ask_all(connection, "history", name=name)
        orders = [
            Past(note.time, f"nodepool {note.command}", f"by {note.user}@{note.host} {note.reason}".strip())
            for note in notes_about(connection, name)
        ]
    rows = sorted([*merged(answers), *orders], key=lambda row: row.time)
    if not rows:
        raise session.declined(f"Nothing is remembered of {what}.")
    click.echo(rendered(chosen(Table(PAST, tuple(rows)), wishes, session.now()), wishes.format))


@click.command()
@click.option("--since", type=DURATION, default="1d", show_default=True, help="How far to look back.")
@click.option("--by", type=click.Choice(("provider", "label", "image", "az")), default="provider", show_default=True)
@with_wishes(ages=False, watch=False)
@click.pass_obj
def stats(session: Session, since: Seconds, by: str, wishes: Wishes) -> None:
    """Show how full pools were, how long requests waited, and how long boots, jobs, deletions, builds, uploads took.

    JSON and YAML have both tables under `pools` and `spans`, CSV has the times only.
    """
    with session.connected() as connection:
        answers = ask_all(connection, "stats", seconds=since, by=by)
    # All launchers see all nodes: of several answers the one that has seen most is taken.
    best = max(answers.values(), key=lambda answer: sum(one["count"] for one in answer["spans"]))
    took = [
        Took(one["stage"], one["group"], one["count"], one["mean"], one["p50"], one["p90"], one["most"])
        for one in best["spans"]
    ]
    fills = [
        Fill(one["provider"], one["pool"], one["nodes"], one["busy"], one["most"])
        for answer in answers.values()
        for one in answer["pools"]
    ]
    fill = {(one.provider, one.pool): one for one in sorted(fills, key=lambda one: one.nodes)}
    fullness = Table(FILL, tuple(fill[key] for key in sorted(fill)))
    times = chosen(Table(TOOK, tuple(took)), wishes, session.now())
    if wishes.format in (Format.JSON, Format.YAML):
        click.echo(written({"pools": values(fullness), "spans": values(times)}, wishes.format))
        return
    if wishes.format is not Format.CSV:
        click.echo(rendered(fullness, wishes.format))
    click.echo(rendered(times, wishes.format))


def merged(answers: Any) -> list[Past]:
    """Return what launchers remember; what several saw is there once."""
    rows: list[Past] = []
    for answer in answers.values():
        for one in answer:
            row = Past(one["time"], one["event"], one["detail"])
            same = (row.event, row.detail)
            if not any((old.event, old.detail) == same and abs(old.time - row.time) < SAME_EVENT for old in rows):
                rows.append(row)
    return rows


def _share(row: Fill) -> float | None:
    return round(row.busy / row.most, 4) if row.most else None


def _percent(row: Fill) -> str:
    share = _share(row)
    return "" if share is None else f"{share:.0%}"
