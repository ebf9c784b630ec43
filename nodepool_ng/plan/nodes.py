"""What becomes of nodes that no open request of ours claims: warm ones, spares, abandoned and unwanted ones."""

import math
from collections.abc import Iterable
from itertools import chain

from nodepool_ng.model.action import (
    AdoptNode,
    Booted,
    DeleteServer,
    EraseNode,
    FreeNode,
    RecordReady,
    RetireNode,
    SweepGhost,
    Unlock,
    node_subject,
    request_subject,
    warm_subject,
)
from nodepool_ng.model.gate import proves
from nodepool_ng.model.ids import NodeId, ProviderName, Seconds, ServerId
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node, hold_limit
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.server import Server, ServerStatus
from nodepool_ng.model.snapshot import AttemptState, Side, Snapshot, drained, freeze_of
from nodepool_ng.plan.canary import plan_canary
from nodepool_ng.plan.launch import Ask, Do, Failed, NoRoom, Wait, ask, configured, progress
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.static import is_static

INIT_ORPHAN_AGE: Seconds = 60.0
"""An `init` record of another software, older than this and unlocked, was lost before its launcher locked it."""

OLDER_LIFE: Seconds = 60.0
"""A server that is older than its node's record by so much is not of that record; clocks may differ by less."""


def plan_nodes(s: Snapshot, agenda: Agenda) -> None:
    """Add the next step of every node that needs one, except those of requests that we hold."""
    for ghost in sorted(s.ghosts):
        agenda.add(SweepGhost(node=ghost, why=Reason(code=Code.ABANDONED)))
    for node in _awake(s, agenda, NodeState.INIT, NodeState.BUILDING):
        if _ours_to_mind(s, node):
            _building(s, agenda, node)
    for node in s.nodes.allocated.values():
        if _ours_to_mind(s, node):
            _allocated(s, agenda, node)
    # Most of these are being built or deleted, and rest.
    ours = [n for n in s.held if s.resting.get(n, s.now) <= s.now]
    _spares(s, agenda, ours)
    for node in s.nodes.in_state(NodeState.HOLD):
        if _ours_to_mind(s, node):
            _held(s, agenda, node)
    for state in (NodeState.USED, NodeState.IN_USE, NodeState.FAILED, NodeState.ABORTED):
        there = s.nodes.by_state[state]
        # Most nodes are in use by a client that holds the lock: they are passed over without looking at each.
        for node_id in (*sorted(s.unlocked & there.keys()), *(n for n in ours if n in there)):
            node = there[node_id]
            if _ours_to_mind(s, node):
                code = Code.USED if state is NodeState.USED else Code.ABANDONED
                agenda.add(RetireNode(node=node.id, expect=state, why=_reason(node, code)))
    for node in _awake(s, agenda, NodeState.DELETING, NodeState.DELETED):
        if _ours_to_mind(s, node):
            _deleting(s, agenda, node)


def _awake(s: Snapshot, agenda: Agenda, *states: NodeState) -> list[Node]:
    """Return the nodes in some states that do not rest; the others are looked at again when the first one's rest is
    over."""
    awake, soonest = [], math.inf
    for state in states:
        for node_id, node in s.nodes.by_state[state].items():
            until = s.resting.get(node_id, s.now)
            if until <= s.now:
                awake.append(node)
            elif until < soonest:
                soonest = until
    if soonest < math.inf:
        agenda.look_again(soonest)
    return awake


def _ours_to_mind(s: Snapshot, node: Node) -> bool:
    """Tell whether we act for the node's provider; what lies about without a provider is anybody's."""
    return node.provider is None or node.provider in s.leased


def claimed(s: Snapshot, node: Node) -> bool:
    """Tell whether the node belongs to a pending request that we hold, or are about to take up again."""
    request = s.requests.get(node.allocated_to) if node.allocated_to else None
    return (
        request is not None
        and request.state is RequestState.PENDING
        and s.request_locks.get(request.id) is not Side.FOREIGN
    )


def _building(s: Snapshot, agenda: Agenda, node: Node) -> None:
    begun = node.state is NodeState.INIT and _being_launched(s, node)
    if begun or not agenda.free(node_subject(node.id)):
        return
    match s.node_locks.get(node.id):
        case None:
            _unlocked_building(s, agenda, node)
        case Side.OURS if not claimed(s, node):
            _warm_building(s, agenda, node)
        case _:
            pass


def _unlocked_building(s: Snapshot, agenda: Agenda, node: Node) -> None:
    """A node that its launcher left behind; but one whose launch is in flight here is going to be locked by that."""
    if _being_launched(s, node):
        return
    if node.attempt is not None and configured(s, node)[1] is not None:
        agenda.add(AdoptNode(node=node.id, why=_reason(node, Code.ADOPTED)))
    elif node.state is NodeState.BUILDING or s.now >= node.state_time + INIT_ORPHAN_AGE:
        agenda.add(RetireNode(node=node.id, expect=node.state, why=_reason(node, Code.ABANDONED)))
    else:
        agenda.look_again(node.state_time + INIT_ORPHAN_AGE)


def _being_launched(s: Snapshot, node: Node) -> bool:
    if node.allocated_to is not None:
        return request_subject(node.allocated_to) in s.in_flight
    if node.provider is None or node.pool is None or node.label is None:
        return False
    return warm_subject(node.provider, node.pool, node.label) in s.in_flight


def _warm_building(s: Snapshot, agenda: Agenda, node: Node) -> None:
    """The next step of a node that we build for no request of ours. One whose request went is not begun any more."""
    if node.attempt is None:
        agenda.add(RetireNode(node=node.id, expect=node.state, why=_reason(node, Code.ABANDONED)))
        return
    if node.state is NodeState.INIT:
        agenda.add(AdoptNode(node=node.id, why=_reason(node, Code.ADOPTED)))
        return
    if (upload := proves(node)) is not None:
        plan_canary(s, agenda, node, upload)
        return
    if node.allocated_to is not None and node.allocated_to not in s.requests and never_asked(s, node):
        agenda.add(RetireNode(node=node.id, expect=node.state, why=_reason(node, Code.REQUEST_GONE)))
        return
    match progress(s, node):
        case Wait(until, firm=True):
            agenda.rest(node.id, until)
        case Wait(until):
            agenda.look_again(until)
        case Do(action):
            agenda.add(action)
        case Ask():
            ask(agenda, node)
        case Booted(server=server, host_keys=keys):
            agenda.add(RecordReady(node=node.id, server=server, host_keys=keys, why=_reason(node, Code.UP)))
        case Failed(reason) | NoRoom(reason):
            agenda.add(RetireNode(node=node.id, expect=node.state, why=reason))


def _allocated(s: Snapshot, agenda: Agenda, node: Node) -> None:
    """A ready node that is somebody's. Once its request is fulfilled it is not to be touched as long as that is
    there; a lock of ours that was left on it would keep its client out."""
    assert node.allocated_to is not None
    request = s.requests.get(node.allocated_to)
    over = request is None or request.state in (RequestState.REQUESTED, RequestState.FAILED)
    if over and s.node_locks.get(node.id) is not Side.FOREIGN:
        why = Reason(code=Code.REQUEST_GONE, provider=node.provider, pool=node.pool, request=node.allocated_to)
        agenda.add(FreeNode(node=node.id, why=why))
    elif s.node_locks.get(node.id) is Side.OURS and not claimed(s, node):
        agenda.add(Unlock(node=node.id, why=_reason(node, Code.NOT_NEEDED)))


def _spares(s: Snapshot, agenda: Agenda, ours: list[NodeId]) -> None:
    """Let go of spare nodes that are locked for no reason, that lost their servers, or that are too old; and of locks
    that a decision of an earlier session brought us, on nodes that are another launcher's by now."""
    for node_id in ours:
        node = s.nodes.nodes.get(node_id)
        if node is not None and (node.free or not _ours_to_mind(s, node)):
            agenda.add(Unlock(node=node.id, why=_reason(node, Code.NOT_NEEDED)))
    for key, nodes in s.nodes.spare.items():
        if key[0] not in s.leased:
            continue
        if key[0] not in s.settings.providers:
            _all_go(s, agenda, nodes.values(), Code.NOT_CONFIGURED)
        elif s.cordons and drained(s, key):
            # A machine that stays would be there again at once.
            _all_go(s, agenda, [node for node in nodes.values() if not is_static(s, node)], Code.DRAINED)
    for node_id in s.bereft:
        node = s.nodes.nodes.get(node_id)
        if node is not None and node.free and node_id not in s.node_locks and _ours_to_mind(s, node):
            agenda.add(RetireNode(node=node_id, expect=node.state, why=_reason(node, Code.SERVER_LOST)))
    for label in s.settings.labels.values():
        if label.max_ready_age > 0:
            for pool in s.nodes.spare:
                zones = s.nodes.shelves.get((pool, label.name), {})
                for node in chain.from_iterable(nodes.values() for nodes in zones.values()):
                    if node.label == label.name and node.id not in s.node_locks and _ours_to_mind(s, node):
                        _expire(s, agenda, node, label.max_ready_age, Code.TOO_OLD)


def _all_go(s: Snapshot, agenda: Agenda, nodes: Iterable[Node], code: Code) -> None:
    for node in nodes:
        if node.id not in s.node_locks:
            agenda.add(RetireNode(node=node.id, expect=node.state, why=_reason(node, code)))


def _held(s: Snapshot, agenda: Agenda, node: Node) -> None:
    limit = hold_limit(node, s.settings.max_hold_age)
    if limit > 0 and s.node_locks.get(node.id) is not Side.FOREIGN:
        _expire(s, agenda, node, limit, Code.HOLD_OVER)


def _expire(s: Snapshot, agenda: Agenda, node: Node, limit: Seconds, code: Code) -> None:
    if s.now >= node.state_time + limit:
        why = Reason(code=code, provider=node.provider, pool=node.pool, label=node.label, limit=limit)
        agenda.add(RetireNode(node=node.id, expect=node.state, why=why))
    else:
        agenda.look_again(node.state_time + limit)


def _deleting(s: Snapshot, agenda: Agenda, node: Node) -> None:
    match s.node_locks.get(node.id):
        case Side.FOREIGN:
            return
        case None:
            agenda.add(RetireNode(node=node.id, expect=node.state, why=_reason(node, Code.ABANDONED)))
            return
        case _:
            pass
    if not agenda.free(node_subject(node.id)):
        return
    if node.provider is None or node.state is NodeState.DELETED or is_static(s, node) or never_asked(s, node):
        agenda.add(EraseNode(node=node.id, why=_reason(node, Code.GONE)))
        return
    servers = servers_of(s, node)
    asked = [s.delete_backoff.get(server.id) for server in servers]
    due = min((backoff.until if backoff is not None else s.now for backoff in asked), default=s.now)
    if due > s.now:
        agenda.rest(node.id, due)
        return
    for server in servers:
        delete_server(s, agenda, node.provider, server, node, _reason(node, Code.NOT_NEEDED))
    facts = s.facts.get(node.provider)
    if not servers and facts is not None and facts.listed is not None and facts.listed >= node.state_time:
        agenda.add(EraseNode(node=node.id, why=_reason(node, Code.GONE)))


def never_asked(s: Snapshot, node: Node) -> bool:
    """Tell whether this process knows that no cloud was ever asked for a server of this node."""
    if node.external_id is not None or node.attempt is None or node.attempts > 1:
        return False
    attempt = s.attempts.get(node.attempt)
    return attempt is not None and attempt.state in (
        AttemptState.FRESH,
        AttemptState.REFUSED,
        AttemptState.NO_CAPACITY,
    )


def servers_of(s: Snapshot, node: Node) -> tuple[Server, ...]:
    """Return the servers that are there and are this node's, of whatever attempt.

    A server without an installation id (Nodepool 11 made it) is this node's only if the record names it, and if its
    metadata, as far as it has any, do not tell of another node.
    """
    facts = s.facts.get(node.provider) if node.provider else None
    if facts is None:
        return ()
    named = facts.servers.get(ServerId(node.server_id)) if node.server_id else None
    found = [server for server in facts.by_node.get(node.id, ()) if server.provider == node.provider]
    if named is not None and named not in found and named.node is None and named.provider in (None, node.provider):
        found.append(named)
    return tuple(
        server
        for server in found
        if server.status is not ServerStatus.DELETED
        and not of_another_life(s, server, node)
        and (server.installation == s.installation or (server.installation is None and server.id == node.external_id))
    )


def of_another_life(s: Snapshot, server: Server, node: Node) -> bool:
    """Tell whether a server of ours was there before the record that has its node's number.

    A ZooKeeper that was restored from a backup gives numbers out a second time. Jobs may run on such a server, so it
    goes as leaks go: never too many at once.
    """
    if node.attempt is None or server.attempt == node.attempt or server.id == node.external_id:
        return False
    if server.installation != s.installation or server.provider is None or node.provider is None:
        return False
    created, recorded = server.created or s.now, node.created_time or 0.0
    return (server.provider, server.id) in s.suspects or created < recorded - OLDER_LIFE


def delete_server(
    s: Snapshot, agenda: Agenda, provider: ProviderName, server: Server, node: Node | None, why: Reason
) -> None:
    """Add the deletion of a server, unless it was asked for a short while ago, an operator forbids it, or the cloud
    would not hear of it now."""
    if freeze_of(s, provider).deletes or server.busy:
        return
    for backoff in (s.delete_backoff.get(server.id), s.provider_backoff.get(provider)):
        if backoff is not None and backoff.until > s.now:
            agenda.look_again(backoff.until)
            return
    agenda.add(DeleteServer(provider=provider, server=server.id, node=node.id if node else None, why=why))


def _reason(node: Node, code: Code) -> Reason:
    return Reason(code=code, provider=node.provider, pool=node.pool, label=node.label, request=node.allocated_to)
