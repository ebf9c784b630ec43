"""Asking a cloud for servers, for their end, and servers for their host keys."""

import logging

from nodepool_ng.drivers import DriverError, Marks, Refused, ServerOrder
from nodepool_ng.drivers.calls import Advance, AttachAddress, Create, ReadConsole, Remove
from nodepool_ng.launcher.outcome import (
    Addressed,
    Advanced,
    Asked,
    CloudFailed,
    ConsoleKept,
    Done,
    Lost,
    NotMade,
    Outcome,
    Scanned,
)
from nodepool_ng.launcher.properties import rendered
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.gate import proves
from nodepool_ng.model.node import Node
from nodepool_ng.model.settings import Pool, PoolLabel
from nodepool_ng.shell.effect import Effect, call, commit, scan
from nodepool_ng.zk.store import Check
from nodepool_ng.zk.writes import set_node

_consoles = logging.getLogger("nodepool.console")


def create_server(world: World, action: do.CreateServer) -> Effect[Outcome]:
    """Ask for a server; the record that names it exists already, and gets the server's id as soon as it is known."""
    entry = world.picture.nodes.get(action.node)
    contender = world.our_contender_on_node(action.node)
    provider = world.settings.providers.get(action.provider)
    if entry is None or contender is None or provider is None or entry.record.attempt is None:
        return Lost("the node is not ours any more")
    attempt = entry.record.attempt
    pool = provider.pools[action.pool]
    order = _order(world, entry.record, pool, pool.labels[action.label])
    if order is None:
        return Lost("the image has no ready upload any more")
    world.attempts.asking(attempt, world.now)
    answer = yield from call(action.provider, Create(order))
    if isinstance(answer, DriverError):
        return NotMade(attempt, answer)
    entry = world.picture.nodes.get(action.node)
    if entry is not None and entry.record.attempt == attempt:
        known = world.replaced(entry.record, external_id=answer)
        yield from commit(Check(contender), set_node(known, entry.version))
    return Asked(attempt)


def advance_server(world: World, action: do.AdvanceServer) -> Effect[Outcome]:
    """Have a server go on that waits for us. What it was ordered with is worked out anew from its record."""
    entry = world.picture.nodes.get(action.node)
    provider = world.settings.providers.get(action.provider)
    if entry is None or world.our_contender_on_node(action.node) is None or provider is None:
        return Lost("the node is not ours any more")
    attempt = entry.record.attempt
    pool = provider.pools[action.pool]
    order = _order(world, entry.record, pool, pool.labels[action.label])
    if attempt is None:
        return Lost("the node has no attempt")
    if order is None:
        return Advanced(attempt, Refused("the image has no ready upload any more"))
    answer = yield from call(action.provider, Advance(action.server, order))
    return Advanced(attempt, answer if isinstance(answer, DriverError) else None)


def _order(world: World, node: Node, pool: Pool, label: PoolLabel) -> ServerOrder | None:
    provider = world.settings.providers[pool.provider]
    image: str | None = None
    config_drive: bool | None
    if label.diskimage is not None:
        canary = proves(node)
        upload = world.upload_at(canary) if canary else world.uploads.get((label.diskimage, pool.provider))
        if upload is None or upload.external_id is None:
            return None
        image = upload.external_id
        config_drive = provider.images[label.diskimage].config_drive if label.diskimage in provider.images else None
    else:
        config_drive = provider.cloud_images[label.cloud_image].config_drive if label.cloud_image else None
    request = world.picture.requests.get(node.allocated_to) if node.allocated_to else None
    return ServerOrder(
        name=f"np{node.id}",
        marks=Marks(
            provider=pool.provider,
            installation=world.installation,
            node=node.id,
            pool=pool.name,
            attempt=node.attempt,
        ),
        pool=pool,
        label=label,
        image=image,
        config_drive=config_drive,
        zone=node.az,
        properties=rendered(label, request.record if request else None),
    )


def scan_host_keys(world: World, action: do.ScanHostKeys) -> Effect[Outcome]:
    entry = world.picture.nodes.get(action.node)
    if entry is None or entry.record.attempt is None:
        return Lost("the node is gone")
    attempt = entry.record.attempt
    answer = yield from scan(action.address, action.port, action.ssh, action.deadline)
    if isinstance(answer, str):
        return Scanned(attempt, (), answer)
    return Scanned(attempt, answer, None)


def delete_server(world: World, action: do.DeleteServer) -> Effect[Outcome]:
    answer = yield from call(action.provider, Remove(action.server))
    return CloudFailed(answer) if isinstance(answer, DriverError) else Done()


def attach_address(world: World, action: do.AttachAddress) -> Effect[Outcome]:
    entry = world.picture.nodes.get(action.node)
    if entry is None or entry.record.attempt is None:
        return Lost("the node is gone")
    attempt = entry.record.attempt
    answer = yield from call(action.provider, AttachAddress(action.server, world.installation))
    return Addressed(attempt, answer if isinstance(answer, DriverError) else None)


def keep_console(world: World, action: do.KeepConsole) -> Effect[Outcome]:
    """Read the console of a server whose boot failed; what it printed goes into the log, all of it."""
    entry = world.picture.nodes.get(action.node)
    if entry is None or entry.record.attempt is None:
        return Lost("the node is gone")
    attempt = entry.record.attempt
    answer = yield from call(action.provider, ReadConsole(action.server))
    text = ""
    where = f"[node: {action.node}] Console of server {action.server} in {action.provider}"
    if isinstance(answer, DriverError):
        _consoles.warning("%s cannot be read: %s", where, answer)
    else:
        _consoles.info("%s, whose boot failed:\n%s", where, answer)
        text = str(answer)
    return ConsoleKept(attempt, text)
