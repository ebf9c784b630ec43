"""What changed from one build of an image to another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from nodepool_ng.cli import told
from nodepool_ng.cli.options import with_format, znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import rendered
from nodepool_ng.listing.table import Column, Format, Table
from nodepool_ng.listing.work import amount
from nodepool_ng.model.ids import BuildId, ImageName


@dataclass(frozen=True, slots=True)
class Change:
    """What one thing was, and is; None where it was or is not there."""

    kind: str
    name: str
    before: str | None
    after: str | None


CHANGES: tuple[Column[Change], ...] = (
    Column("What", "what", lambda row: row.kind),
    Column("Name", "name", lambda row: row.name),
    Column("Before", "before", lambda row: row.before),
    Column("After", "after", lambda row: row.after),
)


@click.command("image-diff")
@click.argument("before", metavar="IMAGE-BUILD", callback=znode_name)
@click.argument("after", metavar="IMAGE-BUILD", callback=znode_name)
@with_format
@click.pass_obj
def diff(session: Session, before: str, after: str, format: Format | None) -> None:
    """Show what differs between two builds: elements, packages, settings, sizes."""
    with session.connected() as connection:
        old, new = (_sheet(connection, session, build) for build in (before, after))
    click.echo(rendered(Table(CHANGES, tuple(changes(old, new))), format))
    for name, sheet in ((before, old), (after, new)):
        if sheet.get("packages") is None:
            click.echo(f"{name} recorded no packages: its elements write no manifest.", err=True)


def _sheet(connection: Connection, session: Session, build: str) -> dict[str, Any]:
    image, dash, id = build.rpartition("-")
    if not (image and dash and id):
        raise Failed(f"{build} is not the id of a build: it is the image's name, a dash and the build's id.")
    found = told.sheet(connection, ImageName(image), BuildId(id))
    if found is None:
        raise session.declined(f"Nothing was recorded about a build {build}.")
    return found


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yield what differs between two sheets."""
    for key in ("elements", "formats"):
        before, after = ({str(name): "" for name in sheet.get(key) or ()} for sheet in (old, new))
        yield from _mappings(key.removesuffix("s"), before, after, present="yes")
    for key in ("release", "builder"):
        if old.get(key) != new.get(key):
            yield Change("setting", key, str(old.get(key) or ""), str(new.get(key) or ""))
    yield from _variables(_texts(old.get("env-vars")), _texts(new.get("env-vars")))
    yield from _mappings("package", _texts(old.get("packages")), _texts(new.get("packages")))
    yield from _mappings("size", _sizes(old), _sizes(new))


def _mappings(
    kind: str, before: Mapping[str, str], after: Mapping[str, str], present: str | None = None
) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        was, is_ = before.get(name), after.get(name)
        if was != is_:
            yield Change(kind, name, was if was is None else present or was, is_ if is_ is None else present or is_)


def _variables(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Only prints of the values were recorded."""
    for name in sorted({*before, *after}):
        was, is_ = before.get(name), after.get(name)
        if was != is_:
            changed = was is not None and is_ is not None
            yield Change("variable", name, was and "set", is_ and ("set to something else" if changed else "set"))


def _sizes(sheet: Mapping[str, Any]) -> dict[str, str]:
    return {name: amount(size) or "" for name, size in _numbers(sheet.get("sizes"))}


def _texts(found: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _numbers(found: object) -> Iterator[tuple[str, float]]:
    if isinstance(found, dict):
        yield from ((str(key), value) for key, value in found.items() if isinstance(value, int | float))
