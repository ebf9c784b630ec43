"""The command that checks the configuration."""

from typing import TYPE_CHECKING

import click

from nodepool_ng.cli.options import with_format
from nodepool_ng.cli.session import Session
from nodepool_ng.cli.showing import rendered
from nodepool_ng.listing.table import Column, Format, Table

if TYPE_CHECKING:
    from nodepool_ng.config import Complaint

COMPLAINTS: "tuple[Column[Complaint], ...]" = (
    Column("File", "file", lambda row: row.place.file),
    Column("Line", "line", lambda row: row.place.line or None),
    Column("Column", "column", lambda row: row.place.column or None),
    Column("Gravity", "gravity", lambda row: row.gravity),
    Column("What", "what", lambda row: row.what),
    Column("Remedy", "remedy", lambda row: row.remedy or None),
    Column("Until Then", "meanwhile", lambda row: row.meanwhile or None),
)


@click.command("config-validate")
@with_format
@click.pass_obj
def validate_files(session: Session, format: Format | None) -> None:
    """Check the configuration files strictly; no ZooKeeper and no cloud is asked.

    Complaints are lines of the error output; with --format they are a list on the output, empty where there are none.
    """
    from nodepool_ng.config import refused, render, validate

    click.echo(f"validating {session.config}", err=True)
    complaints = validate(session.config, session.secure)
    if format is not None:
        click.echo(rendered(Table(COMPLAINTS, complaints), format))
    elif complaints:
        click.echo(render(complaints), err=True)
    if refused(complaints):
        click.get_current_context().exit(1)
