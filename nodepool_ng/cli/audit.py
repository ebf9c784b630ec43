"""The list of what operators did."""

import json
from collections.abc import Mapping

import click

from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import Wishes, show_list, with_wishes
from nodepool_ng.listing.operators import AUDIT, AuditRow
from nodepool_ng.listing.table import Table
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.store import Children, Get, Got, Names


@click.command()
@click.option("--user", metavar="NAME", help="Only what this user did.")
@click.option("--object", "what", metavar="NAME", help="Only what touched this: a node's id, a provider's name.")
@with_wishes()
@click.pass_obj
def audit(session: Session, user: str | None, what: str | None, wishes: Wishes) -> None:
    """List what operators did with this program: who, where, when, to what and why."""

    def look(connection: Connection) -> tuple[Table[AuditRow], tuple[Damaged, ...]]:
        rows, damaged = _notes(connection)
        wanted = [row for row in rows if user in (None, row.user) and (what is None or _touches(row, what))]
        return Table(AUDIT, tuple(wanted)), tuple(damaged)

    show_list(session, look, wishes, paths.AUDIT)


def notes_about(connection: Connection, what: str) -> list[AuditRow]:
    """Return the orders that touched something."""
    return [row for row in _notes(connection)[0] if _touches(row, what)]


def _notes(connection: Connection) -> tuple[list[AuditRow], list[Damaged]]:
    listed = connection.ask([Children(paths.AUDIT)])[0]
    names = sorted(listed.names) if isinstance(listed, Names) else []
    answers = connection.ask([Get(f"{paths.AUDIT}/{name}") for name in names]) if names else ()
    rows, damaged = [], []
    for name, got in zip(names, answers, strict=True):
        row = _read(got.data) if isinstance(got, Got) else None
        if row is not None:
            rows.append(row)
        elif isinstance(got, Got):
            damaged.append(Damaged(f"{paths.AUDIT}/{name}", "not a note about an order"))
    return rows, damaged


def _touches(row: AuditRow, what: str) -> bool:
    return any(what in each.split(" ") or what == each for each in row.objects)


def _read(data: bytes) -> AuditRow | None:
    try:
        told = json.loads(data)
    except ValueError:
        return None
    if not isinstance(told, Mapping):
        return None
    time, count, objects = told.get("time"), told.get("count"), told.get("objects")
    return AuditRow(
        time=time if isinstance(time, int | float) else 0.0,
        user=str(told.get("user", "")),
        host=str(told.get("host", "")),
        command=str(told.get("command", "")),
        objects=tuple(map(str, objects)) if isinstance(objects, list) else (),
        count=count if isinstance(count, int) else 0,
        reason=str(told.get("reason") or ""),
    )
