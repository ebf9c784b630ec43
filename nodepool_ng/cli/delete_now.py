"""Deleting a node from here and now: the record, the server, and the record's end, with this machine's own access to
the cloud. For the case that no launcher does it."""

import time

import click

from nodepool_ng.cli import node_lock
from nodepool_ng.cli.node_lock import Vanished
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.drivers import Driver, DriverError
from nodepool_ng.listing.rows import NODES
from nodepool_ng.listing.table import Table, printable
from nodepool_ng.model.ids import NodeId, Seconds, ServerId
from nodepool_ng.model.lifecycle import ImpossibleTransition, NodeEvent
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.server import ServerStatus
from nodepool_ng.zk import locks, paths
from nodepool_ng.zk.store import Committed, Delete
from nodepool_ng.zk.writes import set_node

PATIENCE: Seconds = 600.0
LOOK_EVERY: Seconds = 2.0
"""A cloud tells of no events: it has to be asked again."""


def delete_now(session: Session, id: NodeId) -> None:
    """Delete one node and wait until its server is gone.

    Raises:
        Failed: another machine has its provider, the cloud did not do it, or somebody has the node's lock.
        Declined: there is no such node.
    """
    with session.connected(paths.node(id)) as connection:
        try:
            node, _ = node_lock.read(connection, id)
            driver = _driver(session, node)
            around = session.surroundings
            held = node_lock.take(connection, id, around.clock, around.lock_timeout)
            node, version = node_lock.read(connection, id)
        except Vanished:
            raise session.declined(f"Node id {id} not found") from None
        _write_deleting(session, connection, held, node, version)
        _delete_server(driver, node)
        _erase(connection, held, id)
    session.show(Table(NODES, ()))


def _driver(session: Session, node: Node) -> Driver:
    from nodepool_ng.drivers import registry

    provider = session.settings.providers.get(node.provider) if node.provider else None
    if provider is None or not provider.has_cloud:
        raise Failed(
            f"Provider {printable(str(node.provider))} is not configured here with a cloud, so its servers cannot be "
            "deleted from here: leave out --now, and its launcher does it."
        )
    try:
        driver = registry.make(provider)
        driver.connect()
    except DriverError as error:
        raise Failed(f"The cloud of provider {provider.name} cannot be reached from here: {error}.") from None
    return driver


def _write_deleting(session: Session, connection: Connection, held: locks.Held, node: Node, version: int) -> None:
    """From here on nobody gives the node to anybody, whatever becomes of this command."""
    try:
        after = moved(node, NodeEvent.UNWANTED, session.now())
    except ImpossibleTransition as error:
        raise Failed(f"Node {node.id}: {error}.") from None
    done = connection.commit(locks.guard(held), set_node(after, version))
    if not isinstance(done, Committed):
        raise Failed(f"Node {node.id} was changed by somebody else meanwhile; nothing was done: try again.")


def _delete_server(driver: Driver, node: Node) -> None:
    if node.server_id is None:
        return
    server = ServerId(node.server_id)
    deadline = time.monotonic() + PATIENCE
    try:
        driver.delete_server(server)
        while any(
            one.id == server and one.status is not ServerStatus.DELETED
            for one in driver.list_servers(None, time.time()).servers
        ):
            if time.monotonic() > deadline:
                raise Failed(f"The cloud has not deleted server {server} within {PATIENCE:.0f} s; it goes on trying.")
            time.sleep(LOOK_EVERY)
    except DriverError as error:
        raise Failed(
            f"The cloud did not delete server {server}: {error}. Node {node.id} stays `deleting`: a launcher tries on."
        ) from None
    finally:
        driver.close()


def _erase(connection: Connection, held: locks.Held, id: NodeId) -> None:
    done = connection.commit(locks.release(held), Delete(paths.node_lock(id)), Delete(paths.node(id)))
    if not isinstance(done, Committed):
        click.echo(f"The server is gone; the record of node {id} is left to its launcher.", err=True)
