"""Commands about nodes."""

from collections.abc import Callable, Mapping, Sequence

import click

from nodepool_ng.cli import node_lock, notes, seen
from nodepool_ng.cli.asking import make_sure, yes_option
from nodepool_ng.cli.node_lock import Vanished
from nodepool_ng.cli.options import node_id
from nodepool_ng.cli.outcome import Declined, Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import DURATION, Wishes, show_list, with_wishes
from nodepool_ng.listing.rows import NODE_DETAILS, NODES, NodeRow
from nodepool_ng.listing.table import Table
from nodepool_ng.model.ids import NodeId, Seconds
from nodepool_ng.model.lifecycle import ImpossibleTransition, NodeEvent, NodeState
from nodepool_ng.model.node import HELD_BY, Node, moved
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.store import Children, Names

WRITE_TRIES = 5


@click.command("list")
@click.option("--detail", is_flag=True, help="Show all columns.")
@with_wishes("label", "provider", "state")
@click.pass_obj
def list_nodes(session: Session, detail: bool, wishes: Wishes) -> None:
    """List the nodes."""
    columns = NODE_DETAILS if detail or wishes.wide else NODES

    def look(connection: Connection) -> tuple[Table[NodeRow], tuple[Damaged, ...]]:
        found = seen.nodes(connection.ask)
        now = session.now()
        return Table(columns, tuple(NodeRow(node, node.id in found.locked, now) for node in found.nodes)), found.damaged

    show_list(session, look, wishes, paths.NODES, whole=detail)


def _ids(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[NodeId, ...]:
    return tuple(dict.fromkeys(node_id(ctx, param, value) for value in values))


_NODES = click.argument("nodes", metavar="NODE...", nargs=-1, required=True, callback=_ids)


@click.command()
@_NODES
@click.option("--reason", metavar="TEXT", help="Why; it becomes the node's comment.")
@click.option("--expires", type=DURATION, metavar="TIME", help="For how long at most, as 30min, 8h, 3d.")
@yes_option
@click.pass_obj
def hold(session: Session, nodes: tuple[NodeId, ...], reason: str | None, expires: Seconds | None, yes: bool) -> None:
    """Keep a node: it is not given out, and only deleted by `delete`, `unhold`, or when its time is over."""
    session.reason = reason or ""
    if len(nodes) > 1:
        make_sure(session, f"This holds {len(nodes)} nodes.", yes=yes)

    def change(node: Node) -> Mapping[str, object]:
        changes: dict[str, object] = {"extra": {**node.extra, HELD_BY: notes.person()}}
        if reason is not None:
            changes["comment"] = reason
        if expires is not None:
            changes["hold_expiration"] = max(int(expires), 1)
        return changes

    _change_all(session, nodes, NodeEvent.HELD, change)


@click.command()
@_NODES
@yes_option
@click.pass_obj
def unhold(session: Session, nodes: tuple[NodeId, ...], yes: bool) -> None:
    """End the hold of a node. Somebody may have changed it meanwhile, so it is deleted like any used node."""
    if len(nodes) > 1:
        make_sure(session, f"This ends the hold of {len(nodes)} nodes, which are deleted then.", yes=yes)
    _change_all(session, nodes, NodeEvent.RETURNED, nothing_more, only=NodeState.HOLD)


@click.command()
@_NODES
@click.option("--now", is_flag=True, help="Delete it from here, with this machine's access to the cloud, and wait.")
@yes_option
@click.pass_obj
def delete(session: Session, nodes: tuple[NodeId, ...], now: bool, yes: bool) -> None:
    """Have a node deleted, whatever its state; the launcher that has its provider does it."""
    if len(nodes) > 1:
        make_sure(session, f"This deletes {len(nodes)} nodes and whatever runs on them.", yes=yes)
    if now:
        from nodepool_ng.cli.delete_now import delete_now

        for id in nodes:
            delete_now(session, id)
        return
    _change_all(session, nodes, NodeEvent.UNWANTED, nothing_more)


def nothing_more(node: Node) -> Mapping[str, object]:
    """Change nothing but the state."""
    return {}


def _change_all(
    session: Session,
    ids: tuple[NodeId, ...],
    event: NodeEvent,
    change: Callable[[Node], Mapping[str, object]],
    *,
    only: NodeState | None = None,
) -> None:
    """Let `event` happen to each node under its lock, and show them afterwards. What goes wrong with one of several
    is told, and the others are changed all the same."""
    rows = []
    troubles: list[click.ClickException] = []
    with session.connected(*map(paths.node, ids)) as connection:
        for id in ids:
            try:
                node = change_node(session, connection, id, event, change, only)
                listed = connection.ask([Children(paths.node_lock(id))])[0]
                rows.append(NodeRow(node, isinstance(listed, Names) and bool(listed.names), session.now()))
            except Vanished:
                troubles.append(session.declined(f"Node id {id} not found"))
            except (Declined, Failed) as error:
                troubles.append(error)
    if rows:
        session.show(Table(NODES, tuple(rows)))
    for trouble in troubles[:-1]:
        trouble.show()
    if troubles:
        raise troubles[-1] if not any(isinstance(one, Failed) for one in troubles) else _worst(troubles)


def _worst(troubles: Sequence[click.ClickException]) -> click.ClickException:
    """Return the last trouble, as a failure if any of them is one."""
    last = troubles[-1]
    return last if isinstance(last, Failed) else Failed(last.message)


def change_node(
    session: Session,
    connection: Connection,
    id: NodeId,
    event: NodeEvent,
    change: Callable[[Node], Mapping[str, object]],
    only: NodeState | None,
) -> Node:
    """Let `event` happen to one node under its lock; with `only`, to a node in this state.

    Raises:
        Vanished: there is no such node.
        Declined, Failed: it could not be done; nothing was changed.
    """
    node_lock.read(connection, id)
    around = session.surroundings
    held = node_lock.take(connection, id, around.clock, around.lock_timeout)
    for _ in range(WRITE_TRIES):
        node, version = node_lock.read(connection, id)
        if only is not None and node.state is not only:
            node_lock.let_go(connection, held)
            raise session.declined(f"Node {id} is {node.state}, not {only}; nothing was changed.")
        try:
            after = moved(node, event, session.now(), **change(node))
        except ImpossibleTransition:
            node_lock.let_go(connection, held)
            raise session.declined(f"Node {id} is {node.state} already and goes away; nothing was changed.") from None
        if node_lock.write(connection, held, after, version):
            return after
    node_lock.let_go(connection, held)
    raise Failed(f"Node {id} is being written by somebody without its lock, over and over; nothing was changed.")
