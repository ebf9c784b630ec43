"""Commands that lead to a node: its shell, with the host key that was recorded, and its console."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from nodepool_ng.cli import node_lock
from nodepool_ng.cli.clouds import ask, provider_named
from nodepool_ng.cli.node_lock import Vanished
from nodepool_ng.cli.options import node_id
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Session
from nodepool_ng.drivers import DriverError
from nodepool_ng.listing.rows import REDACTED, port
from nodepool_ng.listing.table import printable
from nodepool_ng.model.ids import NodeId, ServerId
from nodepool_ng.model.node import Node


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("node", metavar="NODE", callback=node_id)
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--user", metavar="NAME", help="Another user than the record has.")
@click.pass_context
def ssh(ctx: click.Context, node: str, command: Sequence[str], user: str | None) -> None:
    """Log in to a node, or run a command there. It has to show the host key that was recorded for it."""
    session = ctx.ensure_object(Session)
    command = command[1:] if command[:1] == ("--",) else command
    found = read(session, node)
    with known_hosts([found]) as file:
        argv = ssh_command(found, file, user)
        try:
            ended = subprocess.run([*argv, *command], check=False)
        except FileNotFoundError:
            raise Failed("There is no ssh on this machine: install an OpenSSH client.") from None
    ctx.exit(ended.returncode)


@click.command()
@click.argument("node", metavar="NODE", callback=node_id)
@click.pass_obj
def console(session: Session, node: str) -> None:
    """Print what a node's server wrote to its console, as far as the cloud keeps it."""
    found = read(session, node)
    if found.server_id is None or found.provider is None:
        raise Failed(f"Node {found.id} has no server yet, so there is no console.")
    server = ServerId(found.server_id)
    try:
        click.echo(ask(provider_named(session.settings, found.provider), lambda driver: driver.console(server)))
    except DriverError as error:
        raise Failed(f"The console of server {server} cannot be had: {str(error).rstrip('.')}.") from None


def read(session: Session, node: str) -> Node:
    """Return a node's record; raise `Failed` where there is none."""
    with session.connected() as connection:
        try:
            return node_lock.read(connection, NodeId(node))[0]
        except Vanished:
            raise Failed(f"There is no node {printable(node)}: see `nodepool list`.") from None


def address(node: Node) -> str:
    """Return where a node answers; raise `Failed` where nobody knows."""
    found = node.interface_ip or node.public_ipv4 or node.public_ipv6 or node.private_ipv4
    if not found:
        raise Failed(f"Node {node.id} is {node.state} and has no address.")
    return found


def ssh_command(node: Node, known: Path, user: str | None = None) -> list[str]:
    """Return the command line that reaches a node; `known` has the host keys."""
    if node.connection_type not in (None, "ssh", "network_cli"):
        raise Failed(f"Node {node.id} is reached by {printable(str(node.connection_type))}, not by ssh.")
    number = port(node.connection_port)
    options = {
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": alias(node),
    }
    name = user or node.username
    return [
        "ssh",
        *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
        *(("-p", str(number)) if number != REDACTED else ()),
        *(("-l", name) if name else ()),
        "--",
        address(node),
    ]


def alias(node: Node) -> str:
    """Return the name under which a node's host keys are kept: addresses are used again."""
    return f"nodepool-{node.id}"


@contextlib.contextmanager
def known_hosts(nodes: Sequence[Node]) -> Iterator[Path]:
    """Write the recorded host keys into a file that is gone afterwards.

    Raises:
        Failed: one of them has none, so nobody could tell it from another machine.
    """
    for node in nodes:
        if not node.host_keys:
            raise Failed(f"No host key was recorded for node {node.id} ({node.state}): it cannot be told from others.")
    with tempfile.TemporaryDirectory(prefix="nodepool-ssh-") as folder:
        file = Path(folder, "known_hosts")
        keys = [f"{alias(node)} {key}" for node in nodes for key in node.host_keys]
        file.write_text("".join(f"{key}\n" for key in keys if key.isprintable()))
        yield file
