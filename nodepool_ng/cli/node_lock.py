"""Taking a node's lock as an operator does: a few seconds' patience, and a sentence about whoever has it."""

import socket

from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection
from nodepool_ng.listing.table import printable
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.component import BUILDER, LAUNCHER
from nodepool_ng.model.ids import NodeId, Seconds
from nodepool_ng.model.node import Node
from nodepool_ng.zk import locks, paths
from nodepool_ng.zk.codec import Damaged, Ghost, decode_component, decode_node
from nodepool_ng.zk.store import Answer, Children, Committed, Get, Got, Names, Problem
from nodepool_ng.zk.writes import set_node


class Vanished(Exception):
    """There is no node of that id, or no longer."""


def take(connection: Connection, id: NodeId, clock: Clock, patience: Seconds) -> locks.Held:
    """Take the lock of a node; `connection` has to hear of changes below it.

    Raises:
        Vanished: there is no such node.
        Failed: somebody else has it for longer than `patience`.
    """
    directory = paths.node_lock(id)
    token = locks.new_token()
    deadline = clock.monotonic() + patience
    answers = connection.ask(locks.contend(directory, f"nodepool on {socket.gethostname()}", token))
    verdict = locks.judge_answers(answers, directory, token, connection.store.session)
    while isinstance(verdict, locks.Behind):
        left = deadline - clock.monotonic()
        if left <= 0:
            connection.commit(locks.release(verdict.held))
            raise Failed(f"Node {id} is locked by {_owner(connection, directory)}; waited {patience:.0f} s for it.")
        connection.wait_for_change(left)
        listed = connection.ask([Children(directory)])[0]
        verdict = locks.judge(listed.names if isinstance(listed, Names) else (), verdict.held)
    if isinstance(verdict, locks.Owned):
        return verdict.held
    raise Vanished


def read(connection: Connection, id: NodeId) -> tuple[Node, int]:
    """Return a node and its version.

    Raises:
        Vanished: there is no such node.
        Failed: its record cannot be used.
    """
    got = connection.get(paths.node(id))
    match decode_node(id, got.data) if got else None:
        case Node() as node if got:
            return node, got.stat.version
        case Damaged(reason=reason):
            raise Failed(f"The record of node {id} is damaged, so it is left alone: {printable(reason)}.")
        case None | Ghost() | Node():
            raise Vanished


def write(connection: Connection, held: locks.Held, node: Node, version: int) -> bool:
    """Write the node and release its lock in one transaction; False when somebody else wrote it meanwhile.

    Raises:
        Vanished: the node is gone.
        Failed: the lock was lost.
    """
    done = connection.commit(locks.guard(held), set_node(node, version), locks.release(held))
    if isinstance(done, Committed):
        return True
    match done.problem, done.index:
        case Problem.BAD_VERSION, _:
            return False
        case Problem.NO_NODE, 1:
            raise Vanished
    raise Failed(f"The lock of node {node.id} was lost, nothing was changed ({done}).")


def let_go(connection: Connection, held: locks.Held) -> None:
    """Give a lock back; the end of the session would do so, too."""
    connection.commit(locks.release(held))


def _owner(connection: Connection, directory: str) -> str:
    """Say who has a lock: what its contender says, else the daemon that has the same session, else the session."""
    kinds = (LAUNCHER, BUILDER)
    listed = connection.ask([Children(directory), *(Children(paths.components(kind)) for kind in kinds)])
    queue = locks.in_order(_names(listed[0]))
    if not queue:
        return "somebody who has just let go of it"
    keys = [(kind, key) for kind, names in zip(kinds, listed[1:], strict=True) for key in _names(names)]
    wanted = [Get(f"{directory}/{queue[0]}"), *(Get(paths.component(kind, key)) for kind, key in keys)]
    holder, *components = connection.ask(wanted)
    if not isinstance(holder, Got):
        return "somebody who has just let go of it"
    if holder.data:
        return printable(holder.data.decode("utf-8", "replace"))
    session = holder.stat.ephemeral_owner
    for (kind, key), got in zip(keys, components, strict=True):
        if isinstance(got, Got) and session and got.stat.ephemeral_owner == session:
            component = decode_component(kind, key, got.data)
            name = key if isinstance(component, Damaged) else component.hostname
            return f"the {kind} on {printable(name)}"
    return f"the ZooKeeper session 0x{session:x}" if session else "a contender that belongs to no session"


def _names(answer: Answer) -> tuple[str, ...]:
    return answer.names if isinstance(answer, Names) else ()
