"""How far a launch has come: the one thing to do now for a node that is being built.

The answer depends only on what exists, so a launcher that has just been restarted continues where the previous one
stopped.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from nodepool_ng.model.action import (
    Action,
    AdvanceServer,
    AttachAddress,
    Booted,
    CreateServer,
    KeepConsole,
    RetryNode,
    ScanHostKeys,
)
from nodepool_ng.model.backing import place_of
from nodepool_ng.model.backing_action import SpoilBacking
from nodepool_ng.model.gate import proves
from nodepool_ng.model.ids import NodeId, Seconds, ServerId, Timestamp
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Reason, Trouble
from nodepool_ng.model.server import Server, ServerStatus
from nodepool_ng.model.settings import PoolLabel, Provider
from nodepool_ng.model.snapshot import Attempt, AttemptState, Snapshot, freeze_of, rests_until
from nodepool_ng.plan.pace import Agenda

LOST_AFTER: Seconds = 30.0
"""A server that the cloud accepted and then does not list for so long is taken for lost."""
UNKNOWN_GRACE: Seconds = 5.0
"""A create whose answer was lost may still show up in lists for so long before another one is asked for."""
FAILED_GRACE: Seconds = 2.0
"""The same where the cloud itself answered that it failed, after the first attempt; twice as long after each more."""
UNPLACED_PAUSE: Seconds = 5.0
"""From the first attempt for which the cloud found no host to the next; twice as long after each more. Hosts take a
while to come back after an outage, and attempts must not be used up before."""
LONGEST_PAUSE: Seconds = 30.0
_AT_WORK = (AttemptState.ASKED, AttemptState.UNKNOWN)
"""What an attempt is in whose server may be on its way."""
SCANNED_TYPES = frozenset({"ssh", "network_cli"})


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the world changes, or until an instant. A `firm` one is ended by nothing else than news of
    the node itself: its record, its lock, its server, or what became of an action on it."""

    until: Timestamp
    firm: bool = False


@dataclass(frozen=True, slots=True)
class Do:
    action: Action


@dataclass(frozen=True, slots=True)
class Ask:
    """The cloud is to be asked for a server, as soon as it may be asked for one more."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No attempts are left."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The cloud has no room for it; that is no fault of the node's."""

    reason: Reason


Progress: TypeAlias = Wait | Do | Ask | Booted | Failed | NoRoom

_ASK = Ask()


def progress(s: Snapshot, node: Node) -> Progress:
    """Return what is to be done for a node that is building under our lock."""
    if (until := rests_until(s, node.id)) is not None:
        return Wait(until)
    provider, label = configured(s, node)
    if provider is None or label is None:
        return Failed(
            Reason(
                code=Code.LAUNCH_FAILED,
                provider=node.provider,
                pool=node.pool,
                detail="the configuration has no such label, pool or provider any more",
            )
        )
    server = own_server(s, node)
    deadline = node.state_time + provider.launch_timeout
    if server is None and label.backing is not None:
        return _without_slot(s, node, provider, deadline)
    if server is None:
        return _unseen(s, node, provider, label, deadline)
    if unmarked(server) and (server.deleting or server.status is ServerStatus.FAILED or s.now >= deadline):
        # Only the record names it: with a new attempt nobody would know it for ours any more.
        return NoRoom(_attempt_failed(node, "the cloud forgot the server's metadata, and it failed", Trouble.STATUS))
    step = _with_server(s, node, provider, label, server, deadline)
    lost = isinstance(step, Failed) or (isinstance(step, Do) and isinstance(step.action, RetryNode))
    told = label.console_log or proves(node) is not None
    if lost and told and node.attempt not in s.consoles and _can_tell(server):
        why = step.reason if isinstance(step, Failed) else _launching(node)
        return Do(KeepConsole(node=node.id, provider=provider.name, server=server.id, why=why))
    return step


def _can_tell(server: Server) -> bool:
    """Tell whether the server may have printed something that can still be read."""
    return server.status in (ServerStatus.ACTIVE, ServerStatus.OTHER, ServerStatus.FAILED) and not server.deleting


def _with_server(
    s: Snapshot, node: Node, provider: Provider, label: PoolLabel, server: Server, deadline: Timestamp
) -> Progress:
    if server.deleting:
        return _again(s, node, provider, "somebody deletes the server", Trouble.STATUS)
    match server.status:
        case ServerStatus.FAILED if server.no_capacity:
            return NoRoom(_attempt_failed(node, server.fault or "no capacity", Trouble.CAPACITY))
        case ServerStatus.FAILED:
            detail = f"the server went to ERROR: {server.fault or 'no reason given'}"
            attempt = s.attempts.get(node.attempt) if node.attempt else None
            asked = attempt.since if attempt is not None else node.state_time
            since = asked if server.unplaced else None
            return _again(s, node, provider, detail, Trouble.STATUS, since=since, pause=UNPLACED_PAUSE)
        case ServerStatus.DELETED:
            return _again(s, node, provider, "somebody deleted the server", Trouble.STATUS)
        case ServerStatus.BUILDING if server.step and s.now < deadline:
            return _advanced(s, node, provider, server, deadline)
        case ServerStatus.ACTIVE if wants_floating(s, node, provider, server):
            return _addressed(s, node, provider, server, deadline)
        case ServerStatus.ACTIVE if server.addresses.interface_ip:
            return _reachable(s, node, provider, label, server)
        case _ if s.now >= deadline:
            return _late(s, node, provider, server)
        case ServerStatus.BUILDING | ServerStatus.OTHER:
            attempt = s.attempts.get(node.attempt) if node.attempt else None
            return Wait(deadline, firm=attempt is None or attempt.state in _AT_WORK)
        case _:
            return Wait(deadline)


def _late(s: Snapshot, node: Node, provider: Provider, server: Server) -> Progress:
    """Give up a server whose time is over; one that is up all the same has no address, or none that is of use here."""
    if server.status is not ServerStatus.ACTIVE:
        detail = f"not up after {provider.launch_timeout:g} s"
        return _again(s, node, provider, detail, Trouble.CREATE_TIMEOUT)
    has = f"only {server.addresses.private_ipv4}, which clouds.yaml does not call reachable"
    detail = f"up, but without an address of use: it has {has if server.addresses.private_ipv4 else 'none'}"
    return _again(s, node, provider, detail, Trouble.NETWORK)


def ask(agenda: Agenda, node: Node) -> None:
    """Ask for a node's server, unless its cloud may not be asked for anything more in this pass: what waits for its
    turn is most of a burst."""
    assert node.provider is not None
    assert node.pool is not None
    assert node.label is not None
    if agenda.may_ask(node.provider):
        why = _launching(node)
        agenda.add(CreateServer(node=node.id, provider=node.provider, pool=node.pool, label=node.label, why=why))


def configured(s: Snapshot, node: Node) -> tuple[Provider | None, PoolLabel | None]:
    """Return the provider and pool label that a node stands for, as far as they are still configured."""
    provider = s.settings.providers.get(node.provider) if node.provider else None
    pool = provider.pools.get(node.pool) if provider and node.pool else None
    return provider, pool.labels.get(node.label) if pool and node.label else None


def own_server(s: Snapshot, node: Node) -> Server | None:
    """Return the server of the node's present attempt. Should the cloud have made two, it is the recorded one, or
    else the older. Should it have forgotten a server's metadata, the record knows it all the same."""
    facts = s.facts.get(node.provider) if node.provider else None
    if facts is None or not (node.server_id or node.id in facts.by_node):
        return None
    named = facts.servers.get(ServerId(node.server_id)) if node.server_id else None
    if named is not None and unmarked(named):
        return named
    marked = facts.by_node.get(node.id)
    if not marked or node.attempt is None:
        return None
    servers = [one for one in marked if one.attempt == node.attempt and one.installation == s.installation]
    if len(servers) == 1:
        return servers[0]
    return min(servers, key=lambda v: (v.id != node.external_id, v.deleting, v.created or 0, v.id), default=None)


def unmarked(server: Server) -> bool:
    """Tell whether a server says nothing about whose it is."""
    return server.node is None and server.provider is None and server.installation is None


def wants_floating(s: Snapshot, node: Node, provider: Provider, server: Server) -> bool:
    """Tell whether a server that is up is to be given a floating IP: the pool allows it, the cloud has some, and the
    server has a fixed address but none that is public."""
    facts = s.facts.get(provider.name)
    pool = provider.pools.get(node.pool) if node.pool else None
    if facts is None or pool is None or not facts.floating or not pool.auto_floating_ip:
        return False
    return bool(server.fixed_ipv4) and not server.addresses.public_ipv4


def _addressed(s: Snapshot, node: Node, provider: Provider, server: Server, deadline: Timestamp) -> Progress:
    assert node.attempt is not None
    asked = s.addressing.get(node.attempt)
    if asked is not None and asked.no_room:
        return NoRoom(_attempt_failed(node, asked.no_room, Trouble.CAPACITY))
    if s.now >= deadline:
        return _again(s, node, provider, f"no floating IP after {provider.launch_timeout:g} s", Trouble.NETWORK)
    if asked is not None and asked.until > s.now:
        return Wait(min(asked.until, deadline))
    return Do(AttachAddress(node=node.id, provider=provider.name, server=server.id, why=_launching(node)))


def _advanced(s: Snapshot, node: Node, provider: Provider, server: Server, deadline: Timestamp) -> Progress:
    """The cloud waits for us to go on with a server."""
    assert node.attempt is not None
    assert node.pool is not None
    assert node.label is not None
    asked = s.stepping.get(node.attempt)
    if asked is not None and asked.no_room:
        return NoRoom(_attempt_failed(node, asked.refused, Trouble.CAPACITY))
    if asked is not None and asked.refused:
        return _again(s, node, provider, asked.refused, Trouble.STATUS)
    if asked is not None and asked.until > s.now:
        return Wait(min(asked.until, deadline))
    return Do(
        AdvanceServer(
            node=node.id,
            provider=provider.name,
            pool=node.pool,
            label=node.label,
            server=server.id,
            why=_launching(node),
        )
    )


def connection(s: Snapshot, node: Node) -> tuple[str, int]:
    """Return connection type and port of a node as its record has them."""
    port = node.connection_port if isinstance(node.connection_port, int) else 22
    return node.connection_type or "ssh", port


def _unseen(s: Snapshot, node: Node, provider: Provider, label: PoolLabel, deadline: Timestamp) -> Progress:
    attempt = s.attempts.get(node.attempt) if node.attempt else None
    if attempt is None:
        attempt = Attempt(state=AttemptState.UNKNOWN, since=node.state_time)
    backoff = s.provider_backoff.get(provider.name)
    facts = s.facts.get(provider.name)
    listed = facts.listed if facts else None
    told = attempt.since + (_longer(FAILED_GRACE, node.attempts) if attempt.answered else UNKNOWN_GRACE)
    match attempt.state:
        case AttemptState.FRESH if s.now >= deadline:
            detail = f"no server could be asked for within {provider.launch_timeout:g} s"
            return _again(s, node, provider, detail, Trouble.CREATE_TIMEOUT)
        case AttemptState.FRESH if _without_image(s, node, provider, label):
            return Failed(replace(_launching(node), code=Code.NO_IMAGE))
        case AttemptState.FRESH if freeze_of(s, provider.name).creates:
            return NoRoom(replace(_launching(node), code=Code.FROZEN))
        case AttemptState.FRESH if backoff is not None and backoff.until > s.now:
            return Wait(min(backoff.until, deadline))
        case AttemptState.FRESH:
            return _ASK
        case AttemptState.REFUSED:
            return _again(s, node, provider, attempt.detail, since=attempt.since)
        case AttemptState.NO_CAPACITY:
            return NoRoom(_attempt_failed(node, attempt.detail, Trouble.QUOTA))
        case AttemptState.ASKED if listed is not None and listed >= attempt.since + LOST_AFTER:
            return _again(s, node, provider, "the cloud accepted the server and lost it", Trouble.STATUS)
        case AttemptState.UNKNOWN if listed is not None and listed >= told:
            detail = attempt.detail or "nobody knows whether the cloud was asked"
            return _again(s, node, provider, detail, counted=bool(attempt.detail))
        case _ if listed is None and (facts is None or facts.error is None):
            # It may be up for long: a launcher that just took over looks before it gives up.
            return Wait(s.now + 1.0)
        case _ if s.now >= deadline:
            return _again(s, node, provider, f"no server after {provider.launch_timeout:g} s", Trouble.CREATE_TIMEOUT)
        case AttemptState.UNKNOWN:
            return Wait(min(deadline, max(told, s.now + 1.0)))
        case _ if s.now < attempt.since + LOST_AFTER:
            alone = facts is not None and listed is not None and node.id not in facts.by_node
            return Wait(min(deadline, attempt.since + LOST_AFTER), firm=alone)
        case _:
            return Wait(deadline)


def _without_image(s: Snapshot, node: Node, provider: Provider, label: PoolLabel) -> bool:
    """Tell whether there is nothing to boot from; a canary boots from an upload of its own."""
    if proves(node) is not None or label.diskimage is None:
        return False
    return (label.diskimage, provider.name) not in s.uploads


def _without_slot(s: Snapshot, node: Node, provider: Provider, deadline: Timestamp) -> Progress:
    """A node that waits for a slot: `plan.metastatic` gives it one, or asks for a node to be cut."""
    attempt = s.attempts.get(node.attempt) if node.attempt else None
    if attempt is not None and attempt.state is AttemptState.REFUSED:
        return _again(s, node, provider, attempt.detail, since=attempt.since)
    if freeze_of(s, provider.name).creates:
        return NoRoom(replace(_launching(node), code=Code.FROZEN))
    if s.now >= deadline:
        return _again(s, node, provider, f"no slot after {provider.launch_timeout:g} s", Trouble.CREATE_TIMEOUT)
    return Wait(deadline)


def _spoiled(s: Snapshot, provider: Provider, backing: NodeId) -> bool:
    """Tell whether a backing node is known to be of no use, or is none any more."""
    return all(each.cut.failed for each in s.backings.get(provider.name, ()) if each.id == backing)


def _reachable(s: Snapshot, node: Node, provider: Provider, label: PoolLabel, server: Server) -> Progress:
    assert node.attempt is not None
    if not label.host_key_checking and proves(node) is None:
        return Booted(node=node.id, server=server.id, host_keys=())
    scan = s.scans.get(node.attempt)
    if scan is not None and scan.error is None:
        return Booted(node=node.id, server=server.id, host_keys=scan.keys)
    if scan is not None:
        place = place_of(node) if label.backing is not None else None
        if place is not None and not _spoiled(s, provider, place[0]):
            why = replace(_launching(node), code=Code.SPOILED, detail=scan.error or "")
            return Do(SpoilBacking(node=place[0], why=why))
        return _again(s, node, provider, f"no host keys: {scan.error}", Trouble.KEYSCAN)
    kind, port = connection(s, node)
    deadline = s.first_active.get(node.attempt, s.now) + provider.boot_timeout
    return Do(
        ScanHostKeys(
            node=node.id,
            address=server.addresses.interface_ip,
            port=port,
            ssh=kind in SCANNED_TYPES,
            deadline=deadline,
            why=_launching(node),
        )
    )


def _again(
    s: Snapshot,
    node: Node,
    provider: Provider,
    detail: str,
    trouble: Trouble = Trouble.UNKNOWN,
    *,
    since: Timestamp | None = None,
    pause: Seconds = 1.0,
    counted: bool = True,
) -> Progress:
    """Try once more, after a pause that grows from one refusal (at `since`) to the next; an attempt that failed only
    because a launcher died is not counted."""
    if counted and node.attempts >= max(provider.launch_retries, 1):
        return Failed(replace(_attempt_failed(node, detail, trouble), code=Code.LAUNCH_FAILED))
    due = since + _longer(pause, node.attempts) if since is not None else s.now
    if s.now < due:
        return Wait(due)
    return Do(RetryNode(node=node.id, counted=counted, why=_attempt_failed(node, detail, trouble)))


def _longer(first: Seconds, attempts: int) -> Seconds:
    """Return a pause after so many attempts: twice as long from one to the next, within limits."""
    return min(first * 2.0 ** (attempts - 1), LONGEST_PAUSE)


def _attempt_failed(node: Node, detail: str, trouble: Trouble) -> Reason:
    return Reason(
        code=Code.ATTEMPT_FAILED,
        provider=node.provider,
        pool=node.pool,
        label=node.label,
        detail=detail,
        trouble=trouble,
    )


def _launching(node: Node) -> Reason:
    return Reason(code=Code.DUE, provider=node.provider, pool=node.pool, label=node.label, request=node.allocated_to)
