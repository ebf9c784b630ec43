"""The command that asks for nodes like any CI system, runs a command with them, and gives them back whatever happens.

The request is ephemeral, and the locks of nodes always are: should this process be killed, ZooKeeper removes them, and
launchers delete nodes that are in use and unlocked.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from nodepool_ng.cli import node_lock, notes
from nodepool_ng.cli.node_lock import Vanished
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.reaching import address, alias
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import DURATION
from nodepool_ng.listing.rows import port
from nodepool_ng.listing.table import printable
from nodepool_ng.model.ids import LabelName, NodeId, RequestId, Seconds
from nodepool_ng.model.lifecycle import ImpossibleTransition, NodeEvent, RequestState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import locks, paths
from nodepool_ng.zk.codec import decode_request, encode_request
from nodepool_ng.zk.store import Committed, Create, Delete
from nodepool_ng.zk.writes import set_node

LOOK_EVERY: Seconds = 30.0
"""Changes wake the command; this is for the case that one was missed."""
LOCK_PATIENCE: Seconds = 30.0
PRIORITY = "200"


@dataclass(slots=True)
class _Lent:
    node: Node
    held: locks.Held


@click.command("request", context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="LABEL... -- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", type=DURATION, default="1h", show_default=True, help="How long to wait for the nodes.")
@click.option("--provider", metavar="NAME", help="Prefer this provider.")
@click.pass_context
def request(ctx: click.Context, words: Sequence[str], timeout: Seconds, provider: str | None) -> None:
    """Get a node for each LABEL, run COMMAND with them in its environment, and give them back whatever happens.

    The command finds NODEPOOL_NODES (JSON: id, label, address, port, user, host keys), NODEPOOL_ADDRESSES (separated
    by blanks) and NODEPOOL_SSH_CONFIG, a file for `ssh -F` with a host for each node: node-0, node-1 ... The exit
    status is the command's.
    """
    session = ctx.ensure_object(Session)
    labels, command = _divided(words)
    with session.connected(paths.REQUESTS, paths.NODES) as connection, _ended_by_signals():
        asked = _ask(session, connection, labels, provider)
        click.echo(f"Waiting for {', '.join(labels)}: request {asked}, see `nodepool explain {asked}`", err=True)
        lent: list[_Lent] = []
        try:
            answer = _answered(session, connection, asked, timeout)
            for id in answer.nodes:
                lent.append(_take(session, connection, answer.id, id))
            connection.commit(Delete(paths.request(asked)))
            for one in lent:
                _write(session, connection, one, NodeEvent.TAKEN)
            status = _run(command, [one.node for one in lent])
        finally:
            connection.commit(Delete(paths.request(asked)))
            for one in lent:
                _give_back(session, connection, one)
    ctx.exit(status)


def _divided(words: Sequence[str]) -> tuple[tuple[LabelName, ...], Sequence[str]]:
    """Return labels and command."""
    if "--" not in words:
        raise click.UsageError("Put the command after two dashes: nodepool request LABEL... -- COMMAND...")
    at = list(words).index("--")
    labels, command = tuple(map(LabelName, words[:at])), words[at + 1 :]
    if not labels or not command or any(label.startswith("-") for label in labels):
        raise click.UsageError("Name at least one label and a command: nodepool request LABEL... -- COMMAND...")
    return labels, command


def _ask(session: Session, connection: Connection, labels: Sequence[LabelName], provider: str | None) -> RequestId:
    now = session.now()
    record = NodeRequest(
        id=RequestId(""),
        state=RequestState.REQUESTED,
        state_time=now,
        created_time=now,
        labels=tuple(labels),
        provider=provider,
        requestor=f"nodepool request by {notes.person()}",
        event_id=uuid.uuid4().hex,
    )
    made = Create(paths.new_request(PRIORITY), encode_request(record), ephemeral=True, sequence=True)
    done = connection.commit(made)
    if not isinstance(done, Committed):
        raise Failed(f"The request could not be written: {done}.")
    return RequestId(str(done.results[0]).rpartition("/")[2])


def _answered(session: Session, connection: Connection, id: RequestId, timeout: Seconds) -> NodeRequest:
    clock = session.surroundings.clock
    deadline = clock.monotonic() + timeout
    while True:
        got = connection.get(paths.request(id))
        found = decode_request(id, got.data) if got else None
        if not isinstance(found, NodeRequest):
            raise Failed(f"Request {id} was removed by somebody else.")
        if found.state is RequestState.FULFILLED:
            return found
        if found.state is RequestState.FAILED:
            raise Failed(f"Nobody can serve this: request {id} was declined by every pool that is registered.")
        left = deadline - clock.monotonic()
        if left <= 0:
            raise Failed(f"No nodes within {timeout:.0f} s; before you try again, see `nodepool request-list`.")
        connection.wait_for_change(min(left, LOOK_EVERY))


def _take(session: Session, connection: Connection, request: RequestId, id: NodeId) -> _Lent:
    try:
        held = node_lock.take(connection, id, session.surroundings.clock, LOCK_PATIENCE)
        node, _ = node_lock.read(connection, id)
    except Vanished:
        raise Failed(f"Node {id} went away before it could be taken over: try again.") from None
    if node.allocated_to != request:
        connection.commit(locks.release(held))
        raise Failed(f"Node {id} was given to somebody else meanwhile: try again.")
    return _Lent(node, held)


def _write(session: Session, connection: Connection, one: _Lent, event: NodeEvent) -> None:
    after = moved(one.node, event, session.now(), user_data={"nodepool": f"used by {notes.person()}"})
    done = connection.commit(locks.guard(one.held), set_node(after))
    if not isinstance(done, Committed):
        raise Failed(f"Node {after.id} is not ours any more: {done}.")
    one.node = after


def _give_back(session: Session, connection: Connection, one: _Lent) -> None:
    """Write that a node is used. One that was never used is let go of, and given to the next who asks."""
    try:
        after = moved(one.node, NodeEvent.RETURNED, session.now())
        ops = (locks.guard(one.held), set_node(after), locks.release(one.held))
    except ImpossibleTransition:
        ops = (locks.release(one.held),)  # type: ignore[assignment]
    done = connection.commit(*ops)
    if not isinstance(done, Committed):
        click.echo(f"Node {one.node.id} could not be given back ({done}); launchers delete it.", err=True)


def _run(command: Sequence[str], nodes: Sequence[Node]) -> int:
    with tempfile.TemporaryDirectory(prefix="nodepool-request-") as folder:
        env = {**os.environ, **_environment(nodes, Path(folder))}
        try:
            return subprocess.run(command, env=env, check=False).returncode
        except OSError as error:
            raise Failed(f"{printable(command[0])} cannot be run: {error.strerror or error}.") from None


def _environment(nodes: Sequence[Node], folder: Path) -> Mapping[str, str]:
    """Return what the command finds; `folder` gets the files."""
    known, config = folder / "known_hosts", folder / "ssh_config"
    known.write_text("".join(f"{alias(node)} {key}\n" for node in nodes for key in node.host_keys if key.isprintable()))
    config.write_text("".join(_host(number, node, known) for number, node in enumerate(nodes)))
    told = [
        {
            "id": node.id,
            "label": node.label,
            "provider": node.provider,
            "address": address(node),
            "port": port(node.connection_port),
            "user": node.username,
            "host_keys": list(node.host_keys),
        }
        for node in nodes
    ]
    return {
        "NODEPOOL_NODES": json.dumps(told),
        "NODEPOOL_ADDRESSES": " ".join(address(node) for node in nodes),
        "NODEPOOL_SSH_CONFIG": str(config),
    }


def _host(number: int, node: Node, known: Path) -> str:
    user = f"  User {node.username}\n" if node.username else ""
    return (
        f"Host node-{number}\n  HostName {address(node)}\n  Port {port(node.connection_port)}\n{user}"
        f"  HostKeyAlias {alias(node)}\n  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n"
    )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the command as Ctrl-C does, so that nodes are given back."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise click.Abort

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
