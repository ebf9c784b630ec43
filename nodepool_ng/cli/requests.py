"""Commands about node requests."""

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.facts import read_told
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import Wishes, show_list, with_wishes
from nodepool_ng.listing.operators import WIDE_REQUESTS, RequestRow
from nodepool_ng.listing.rows import REQUESTS
from nodepool_ng.listing.table import Table
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged


@click.command("request-list")
@with_wishes("label", "provider", "state")
@click.pass_obj
def list_requests(session: Session, wishes: Wishes) -> None:
    """List the node requests."""

    def look(connection: Connection) -> tuple[Table[NodeRequest], tuple[Damaged, ...]]:
        found = seen.requests(connection.ask)
        return Table(REQUESTS, found.requests), found.damaged

    def look_wide(connection: Connection) -> tuple[Table[RequestRow], tuple[Damaged, ...]]:
        found = seen.requests(connection.ask)
        told, now = read_told(connection), session.now()
        rows = [
            RequestRow(one, tuple(f"{why.place} {why.sentence}".strip() for why in told.waiting.get(one.id, ())), now)
            for one in found.requests
        ]
        return Table(WIDE_REQUESTS, tuple(rows)), found.damaged

    if wishes.wide:
        show_list(session, look_wide, wishes, paths.REQUESTS, paths.FACTS)
    else:
        show_list(session, look, wishes, paths.REQUESTS)
