"""Commands about work on images that is under way: how far it is, what its log says, and its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from nodepool_ng.cli import seen, told
from nodepool_ng.cli.options import with_format, znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import rendered
from nodepool_ng.listing.table import Format, Table, printable
from nodepool_ng.listing.work import WORK, work_rows
from nodepool_ng.model.ids import BuildId, ImageName, ProviderName
from nodepool_ng.model.image_action import BuildKey, Destination
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.zk import paths

LOOK_EVERY = 10.0  # seconds; a change of the sheet is heard of at once


@click.command("image-progress")
@with_format
@click.pass_obj
def progress(session: Session, format: Format | None) -> None:
    """Show what builders are doing: builds and uploads under way, and what waits for what."""
    with session.connected() as connection:
        documents = told.builders(connection)
    now = session.now()
    rows = tuple(row for document in documents for row in work_rows(document, now))
    click.echo(rendered(Table(WORK, rows), format))


@click.command("image-cancel")
@click.argument("image", callback=znode_name)
@click.option("--provider", callback=lambda ctx, param, value: value and znode_name(ctx, param, value))
@click.pass_obj
def cancel(session: Session, image: str, provider: str | None) -> None:
    """End the build of an image that is under way; with --provider, its upload there.

    It counts as failed, and is not tried again within an hour unless somebody asks for it.
    """
    name = ImageName(image)
    with session.connected() as connection:
        found = seen.images(connection.ask)
        if provider is None:
            orders = [str(BuildKey(b.image, b.id)) for b in found.builds if b.image == name and _at_it(b.state)]
            what = f"no build of {name}"
        else:
            at = ProviderName(provider)
            orders = [
                str(Destination(u.image, u.build, u.provider))
                for u in found.uploads
                if u.image == name and u.provider == at and _at_it(u.state)
            ]
            what = f"no upload of {name} into {provider}"
        if not orders:
            raise session.declined(f"There is {what} under way.")
        for order in orders:
            connection.ensure(paths.cancel(order))


def _at_it(state: ImageState) -> bool:
    return state in (ImageState.BUILDING, ImageState.UPLOADING)


@click.command("image-log")
@click.argument("build", metavar="IMAGE[-BUILD]", callback=znode_name)
@click.option("-f", "--follow", is_flag=True, help="Go on until the build is over.")
@click.pass_obj
def show_log(session: Session, build: str, follow: bool) -> None:
    """Show the log of a build: of an image's newest one, or of the one that is named.

    On the builder's machine that is the whole log, elsewhere its end.
    """
    with session.connected(paths.SHEETS) as connection:
        sheet = _find(connection, build)
        if sheet is None:
            raise session.declined(f"Nothing is known of a build {build}.")
        reader = _Reader()
        reader.show(sheet)
        while follow and sheet.get("ended") is None:
            connection.wait_for_change(LOOK_EVERY)
            again = told.sheet(connection, ImageName(str(sheet.get("image"))), BuildId(str(sheet.get("build"))))
            if again is None:
                raise Failed("The build was forgotten meanwhile.")
            sheet = again
            reader.show(sheet)


def _find(connection: Connection, build: str) -> dict[str, Any] | None:
    image, dash, id = build.rpartition("-")
    if dash and image and (one := told.sheet(connection, ImageName(image), BuildId(id))) is not None:
        return one
    return next(iter(told.sheets(connection, ImageName(build))), None)


class _Reader:
    """Shows what was not shown yet."""

    def __init__(self) -> None:
        self._shown = 0

    def show(self, sheet: Mapping[str, Any]) -> None:
        whole = _local(sheet)
        tail = whole if whole is not None else str(sheet.get("log-tail") or "")
        length = len(tail) if whole is not None else int(sheet.get("log-length") or len(tail))
        begins = length - len(tail)
        if begins > self._shown:
            where = f"{sheet.get('builder')}:{sheet.get('log')}"
            click.echo(f"[{begins - self._shown} characters more are in {printable(where)}]", err=True)
        text = tail[max(self._shown - begins, 0) :]
        self._shown = max(length, self._shown)
        if text:
            click.echo("\n".join(map(printable, text.split("\n"))), nl=False)


def _local(sheet: Mapping[str, Any]) -> str | None:
    """Return the log itself, if it is on this machine and may be read: names of builds are never the same twice."""
    try:
        with Path(str(sheet.get("log"))).open("rb") as log:
            return log.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
