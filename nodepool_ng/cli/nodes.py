"""Commands about nodes."""

import click

from nodepool_ng.cli import node_lock, seen
from nodepool_ng.cli.node_lock import Vanished
from nodepool_ng.cli.options import with_format, znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.listing.rows import NODE_DETAILS, NODES, NodeRow
from nodepool_ng.listing.table import Format, Table
from nodepool_ng.model.ids import NodeId
from nodepool_ng.model.lifecycle import ImpossibleTransition, NodeEvent
from nodepool_ng.model.node import Node, moved
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Children, Names

WRITE_TRIES = 5


@click.command("list")
@click.option("--detail", is_flag=True, help="Show all columns.")
@with_format
@click.pass_obj
def list_nodes(session: Session, detail: bool, format: Format) -> None:
    """List the nodes."""
    with session.connected() as connection:
        found = seen.nodes(connection.ask)
    now = session.now()
    rows = tuple(NodeRow(node, node.id in found.locked, now) for node in found.nodes)
    session.show(Table(NODE_DETAILS if detail else NODES, rows), format)
    session.report(found.damaged)


@click.command()
@click.argument("node", metavar="NODE", callback=znode_name)
@click.option("--reason", metavar="TEXT", help="Why; it becomes the node's comment.")
@click.pass_obj
def hold(session: Session, node: str, reason: str | None) -> None:
    """Keep a node: it is not given out, and only deleted by `delete` or when it is older than max-hold-age."""
    changes = {} if reason is None else {"comment": reason}
    _change(session, NodeId(node), NodeEvent.HELD, changes)


@click.command()
@click.argument("node", metavar="NODE", callback=znode_name)
@click.option("--now", is_flag=True, hidden=True)
@click.pass_obj
def delete(session: Session, node: str, now: bool) -> None:
    """Have a node deleted, whatever its state; the launcher that has its provider does it."""
    if now:
        raise Failed("--now is not there yet. Without it, the launcher that has the provider deletes the node.")
    _change(session, NodeId(node), NodeEvent.UNWANTED, {})


def _change(session: Session, id: NodeId, event: NodeEvent, changes: dict[str, str]) -> None:
    """Let `event` happen to a node under its lock, and show it afterwards."""
    with session.connected(paths.node(id)) as connection:
        try:
            node = _changed(session, connection, id, event, changes)
        except Vanished:
            raise session.declined(f"Node id {id} not found") from None
        listed = connection.ask([Children(paths.node_lock(id))])[0]
    locked = isinstance(listed, Names) and bool(listed.names)
    session.show(Table(NODES, (NodeRow(node, locked, session.now()),)))


def _changed(session: Session, connection: Connection, id: NodeId, event: NodeEvent, changes: dict[str, str]) -> Node:
    node_lock.read(connection, id)
    around = session.surroundings
    held = node_lock.take(connection, id, around.clock, around.lock_timeout)
    for _ in range(WRITE_TRIES):
        node, version = node_lock.read(connection, id)
        try:
            after = moved(node, event, session.now(), **changes)
        except ImpossibleTransition:
            raise session.declined(f"Node {id} is {node.state} already and goes away; nothing was changed.") from None
        if node_lock.write(connection, held, after, version):
            return after
    raise Failed(f"Node {id} is being written by somebody without its lock, over and over; nothing was changed.")
