"""Commands about node requests."""

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.options import with_format
from nodepool_ng.cli.session import Session
from nodepool_ng.listing.rows import REQUESTS
from nodepool_ng.listing.table import Format, Table


@click.command("request-list")
@with_format
@click.pass_obj
def list_requests(session: Session, format: Format) -> None:
    """List the node requests."""
    with session.connected() as connection:
        found = seen.requests(connection.ask)
    session.show(Table(REQUESTS, found.requests), format)
    session.report(found.damaged)
