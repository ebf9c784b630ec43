"""Writing what becomes of a request, together with its nodes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nodepool_ng.launcher.effects.hosts import knocked
from nodepool_ng.launcher.effects.nodes import ended, wanted_lock
from nodepool_ng.launcher.outcome import Done, Lost, Outcome
from nodepool_ng.launcher.records import booted as as_booted
from nodepool_ng.launcher.records import fresh_node
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeEvent, NodeState, RequestEvent, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.node import moved as node_moved
from nodepool_ng.model.reason import place, sentence
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.request import moved as request_moved
from nodepool_ng.shell.contender import prefix
from nodepool_ng.shell.effect import Effect, ask, commit
from nodepool_ng.shell.locking import NOT_AS_KNOWN, Busy, Want, give_back, take_locks, taken_first, untouched
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.changes import Entry
from nodepool_ng.zk.store import Check, Commit, Committed, Create, Delete, Failure, Get, Got, Op, Verb
from nodepool_ng.zk.writes import create_node, set_node, set_request


def _wanted_request(world: World, request: RequestId) -> Want:
    return Want(paths.request_lock(request), paths.request(request), world.has_request_lock_dir(request))


def _waiting(request_id: RequestId, got: Got) -> NodeRequest | None:
    request = codec.decode_request(request_id, got.data)
    return request if isinstance(request, NodeRequest) and request.state is RequestState.REQUESTED else None


def _spares(nodes: Sequence[tuple[NodeId, Got]]) -> list[Node] | None:
    """Return the nodes as read under their locks, or None when one of them is not free any more."""
    spares = []
    for node_id, got in nodes:
        node = codec.decode_node(node_id, got.data)
        if not isinstance(node, Node) or not node.free:
            return None
        spares.append(node)
    return spares


@dataclass(frozen=True, slots=True)
class _Known:
    """A request that waits and the spare nodes for it, as the mirror has them, none of them locked."""

    request: Entry[NodeRequest]
    nodes: tuple[Entry[Node], ...]


def _known(world: World, request: RequestId, nodes: Sequence[NodeId]) -> _Known | None:
    asked = world.picture.requests.get(request)
    spares = [world.picture.nodes.get(node) for node in nodes]
    free = tuple(spare for spare in spares if spare is not None and spare.record.free and not spare.contenders)
    if asked is None or asked.contenders or asked.record.state is not RequestState.REQUESTED:
        return None
    return _Known(asked, free) if len(free) == len(nodes) else None


def hand_out(world: World, action: do.HandOut) -> Effect[Outcome]:
    """Give ready nodes to a request: in one transaction, as long as nobody has locked any of them, otherwise under
    their locks."""
    silent = yield from knocked(world, action.knocks)
    if silent is not None:
        return silent
    known = _known(world, action.request, action.nodes)
    if known is not None:
        answer = yield from commit(*_handed_over(world, known))
        if isinstance(answer, Committed) or answer.problem not in NOT_AS_KNOWN:
            return ended(answer)
    return (yield from _hand_out_locked(world, action))


def _handed_over(world: World, known: _Known) -> Iterator[Op]:
    """Yield what hands known nodes over, in the order of the contract."""
    request, nodes = known.request.record, known.nodes
    for node in nodes:
        given = _allocated(world, node.record, request)
        yield set_node(given, node.version)
    for node in nodes:
        yield from untouched(wanted_lock(world, node.record.id))
    served = request_moved(request, RequestEvent.SERVED, world.now, nodes=tuple(node.record.id for node in nodes))
    yield set_request(served, known.request.version)
    yield from untouched(_wanted_request(world, request.id))


def _hand_out_locked(world: World, action: do.HandOut) -> Effect[Outcome]:
    """Lock all, look, and hand over in one transaction."""
    wants = [_wanted_request(world, action.request), *(wanted_lock(world, node) for node in action.nodes)]
    taken = yield from take_locks(world.owner, wants)
    if isinstance(taken, Busy):
        return Lost(taken.why)
    lock, *node_locks = taken
    request = _waiting(action.request, lock.record)
    nodes = _spares([(node, held.record) for node, held in zip(action.nodes, node_locks, strict=True)])
    if request is None or nodes is None:
        yield from give_back([held.contender for held in taken])
        return Lost("the request or a node changed meanwhile")
    ops: list[Op] = []
    for node, held in zip(nodes, node_locks, strict=True):
        given = _allocated(world, node, request)
        ops.append(set_node(given, held.record.stat.version))
    ops += [Delete(held.contender) for held in node_locks]
    ops += _served(world, request, action.nodes, lock.record.stat.version, lock.contender)
    answer = yield from commit(*ops)
    if isinstance(answer, Failure):
        yield from give_back([held.contender for held in taken])
    return ended(answer)


def _allocated(world: World, node: Node, request: NodeRequest) -> Node:
    return node_moved(
        node,
        NodeEvent.ALLOCATED,
        world.now,
        allocated_to=request.id,
        tenant_name=request.tenant_name,
        requestor=request.requestor,
    )


def _served(
    world: World, request: NodeRequest, nodes: Sequence[NodeId], version: int, contender: str
) -> tuple[Op, ...]:
    """The last two operations of every hand-over: the request is written, then its lock is released."""
    served = request_moved(request, RequestEvent.SERVED, world.now, nodes=tuple(nodes))
    return set_request(served, version), Delete(contender)


def claim(world: World, action: do.Claim) -> Effect[Outcome]:
    """Take a request: it becomes pending, its ready nodes are kept locked, records for the others are created, and
    then locked, before any cloud is asked."""
    lease = world.lease_contender(action.provider)
    known = _known(world, action.request, action.nodes)
    if lease is None or known is None:
        return (yield from _claim_locked(world, action))
    fresh = [
        fresh_node(world, action.provider, action.pool, launch, known.request.record) for launch in action.launches
    ]
    answer = yield from commit(Check(lease), *_claimed(world, known), *_created(fresh))
    if isinstance(answer, Committed):
        return (yield from _lock_fresh(world, answer, fresh))
    return (yield from _claim_locked(world, action)) if answer.problem in NOT_AS_KNOWN else Lost(str(answer))


def _claimed(world: World, known: _Known) -> Iterator[Op]:
    """Yield what locks a known request and nodes, makes the one pending and gives it the others."""
    request = known.request.record
    pending = request_moved(request, RequestEvent.CLAIMED, world.now)
    yield from taken_first(world.owner, _wanted_request(world, request.id))
    yield set_request(pending, known.request.version)
    for node in known.nodes:
        given = _allocated(world, node.record, request)
        yield from taken_first(world.owner, wanted_lock(world, given.id))
        yield set_node(given, node.version)


def _created(fresh: Sequence[Node]) -> Iterator[Op]:
    return (create_node(node) for node in fresh)


def _claim_locked(world: World, action: do.Claim) -> Effect[Outcome]:
    """Lock the request and its ready nodes, look, and claim them."""
    wants = [_wanted_request(world, action.request), *(wanted_lock(world, node) for node in action.nodes)]
    taken = yield from take_locks(world.owner, wants)
    if isinstance(taken, Busy):
        return Lost(taken.why)
    lock, *node_locks = taken
    request = _waiting(action.request, lock.record)
    nodes = _spares([(node, held.record) for node, held in zip(action.nodes, node_locks, strict=True)])
    lease = world.lease_contender(action.provider)
    if request is None or nodes is None or lease is None:
        yield from give_back([held.contender for held in taken])
        return Lost("the request, a node or the lease changed meanwhile")
    pending = request_moved(request, RequestEvent.CLAIMED, world.now)
    ops: list[Op] = [Check(lease), Check(lock.contender)]
    ops.append(set_request(pending, lock.record.stat.version))
    for node, held in zip(nodes, node_locks, strict=True):
        given = _allocated(world, node, request)
        ops.append(Check(held.contender))
        ops.append(set_node(given, held.record.stat.version))
    fresh = [fresh_node(world, action.provider, action.pool, launch, request) for launch in action.launches]
    answer = yield from commit(*ops, *_created(fresh))
    if isinstance(answer, Failure):
        yield from give_back([held.contender for held in taken])
        return Lost(str(answer))
    return (yield from _lock_fresh(world, answer, fresh))


def launch_nodes(world: World, action: do.LaunchNodes) -> Effect[Outcome]:
    """Create records for nodes and lock them; the clouds are asked afterwards."""
    lease = world.lease_contender(action.provider)
    if lease is None:
        return Lost("the provider's lease is not ours any more")
    guards: list[Op] = [Check(lease)]
    request = None
    if action.request is not None:
        contender = world.our_contender_on_request(action.request)
        entry = world.picture.requests.get(action.request)
        if contender is None or entry is None:
            return Lost("the request is not ours any more")
        request = entry.record
        guards += [Check(contender), Check(paths.request(action.request))]
    if action.canary is not None and world.upload_at(action.canary) is None:
        return Lost("the upload is gone")
    fresh = [
        fresh_node(world, action.provider, action.pool, launch, request, action.canary) for launch in action.launches
    ]
    answer = yield from commit(*guards, *_created(fresh))
    if isinstance(answer, Failure):
        return Lost(str(answer))
    return (yield from _lock_fresh(world, answer, fresh))


def _lock_fresh(world: World, created: Committed, fresh: Sequence[Node]) -> Effect[Outcome]:
    """Lock records that were just created, the last of their transaction. Making the lock directory in the same
    transaction shows that nobody was there before us, so the contender is the first. A record that could not be locked
    is adopted later."""
    new = [str(path) for path in created.results[-len(fresh) :]]
    verbs: list[Verb] = []
    for path, node in zip(new, fresh, strict=True):
        directory = f"{path}/lock"
        building = replace(node_moved(node, NodeEvent.LOCKED, world.now), id=NodeId(path.rpartition("/")[2]))
        verbs.append(
            Commit(
                (
                    Create(directory),
                    Create(f"{directory}/{prefix(world.owner)}", ephemeral=True, sequence=True),
                    set_node(building, 0),
                )
            )
        )
    answers = yield from ask(*verbs)
    failed = next((answer for answer in answers if isinstance(answer, Failure)), None)
    return Done() if failed is None else Lost(str(failed))


def adopt_request(world: World, action: do.AdoptRequest) -> Effect[Outcome]:
    """Lock a pending request that was left behind."""
    taken = yield from take_locks(world.owner, [_wanted_request(world, action.request)])
    if isinstance(taken, Busy):
        return Lost(taken.why)
    request = codec.decode_request(action.request, taken[0].record.data)
    if not isinstance(request, NodeRequest) or request.state is not RequestState.PENDING:
        yield from give_back([taken[0].contender])
        return Lost("the request changed meanwhile")
    return Done()


def fulfil(world: World, action: do.Fulfil) -> Effect[Outcome]:
    """Hand over a claimed request, all in one transaction and in the order of the contract: nodes written, node
    locks released, request written, request lock released."""
    entry = world.picture.requests.get(action.request)
    contender = world.our_contender_on_request(action.request)
    if entry is None or contender is None or entry.record.state is not RequestState.PENDING:
        return Lost("the request is not ours any more")
    booted = {up.node: up for up in action.booted}
    writes: list[Op] = []
    releases: list[Op] = []
    for node_id in action.nodes:
        node = world.picture.nodes.get(node_id)
        held = world.our_contender_on_node(node_id)
        if node is None or held is None:
            return Lost("a node is not ours any more")
        if node_id in booted:
            server = world.server(node.record, booted[node_id].server)
            if server is None:
                return Lost("a server went away")
            record = as_booted(world, node.record, server, booted[node_id].host_keys)
            writes.append(set_node(record, node.version))
        else:
            writes.append(Check(paths.node(node_id), node.version))
        releases.append(Delete(held))
    served = _served(world, entry.record, action.nodes, entry.version, contender)
    return ended((yield from commit(*writes, *releases, *served)))


def release(world: World, action: do.Release) -> Effect[Outcome]:
    """Put a pending request back for everybody; what was made for it becomes spare."""
    held = yield from _hold(world, action.request)
    if isinstance(held, Lost):
        return held
    request, version, contender = held
    if request.state is not RequestState.PENDING:
        yield from give_back([contender])
        return Lost("the request changed meanwhile")
    waiting = request_moved(request, RequestEvent.RELEASED, world.now, nodes=())
    ops = [*_freed(world, request.id), set_request(waiting, version)]
    return ended((yield from commit(*ops, Delete(contender))))


def decline(world: World, action: do.Decline) -> Effect[Outcome]:
    """Write into a request who cannot serve it; the last ones fail it, with their reasons."""
    held = yield from _hold(world, action.request)
    if isinstance(held, Lost):
        return held
    request, version, contender = held
    if request.state not in (RequestState.REQUESTED, RequestState.PENDING):
        yield from give_back([contender])
        return Lost("the request changed meanwhile")
    new = tuple(pool for pool in action.pools if pool not in request.declined_by)
    event = RequestEvent.DECLINED_BY_ALL if action.fail else RequestEvent.DECLINED
    because = [
        f"{place(reason)}: {sentence(reason)}" if place(reason) else sentence(reason) for reason in action.because
    ]
    declined = request_moved(
        request,
        event,
        world.now,
        nodes=(),
        declined_by=request.declined_by + new,
        failed_because=[*because] if action.fail else request.failed_because,
    )
    ops = [*_freed(world, request.id), set_request(declined, version)]
    return ended((yield from commit(*ops, Delete(contender))))


def complete_request(world: World, action: do.CompleteRequest) -> Effect[Outcome]:
    """Write a request with all of its keys; nothing else about it changes."""
    held = yield from _hold(world, action.request)
    if isinstance(held, Lost):
        return held
    request, version, contender = held
    if request.state is not RequestState.REQUESTED or request.complete:
        yield from give_back([contender])
        return Lost("the request changed meanwhile")
    return ended((yield from commit(set_request(request, version), Delete(contender))))


def _hold(world: World, request_id: RequestId) -> Effect[tuple[NodeRequest, int, str] | Lost]:
    """Return a request with its version, read under its lock, and our contender."""
    path = paths.request(request_id)
    contender = world.our_contender_on_request(request_id)
    if contender is None:
        taken = yield from take_locks(world.owner, [_wanted_request(world, request_id)])
        if isinstance(taken, Busy):
            return Lost(taken.why)
        contender, got = taken[0].contender, taken[0].record
    else:
        (answer,) = yield from ask(Get(path))
        if not isinstance(answer, Got):
            yield from give_back([contender])
            return Lost("the request is gone")
        got = answer
    request = codec.decode_request(request_id, got.data)
    if not isinstance(request, NodeRequest):
        yield from give_back([contender])
        return Lost("the request cannot be read any more")
    return request, got.stat.version, contender


def _freed(world: World, request: RequestId) -> list[Op]:
    """Return what makes the nodes of a request nobody's: ready ones are unlocked, building ones go on as spares."""
    writes: list[Op] = []
    releases: list[Op] = []
    for node in world.census.of_request(request):
        entry = world.picture.nodes.get(node.id)
        contender = world.our_contender_on_node(node.id)
        if entry is None or contender is None or node.state not in (NodeState.READY, NodeState.BUILDING):
            continue
        spare = replace(entry.record, allocated_to=None, tenant_name=None, requestor=None)
        writes.append(set_node(spare, entry.version))
        if node.state is NodeState.READY:
            releases.append(Delete(contender))
        else:
            writes.append(Check(contender))
    return [*writes, *releases]


def sweep_locks(world: World, action: do.SweepLocks) -> Effect[Outcome]:
    """Remove lock directories. One that is held is not empty and stays; one that is wanted again is made again."""
    gone = [request for request in action.requests if request not in world.picture.requests]
    yield from ask(*(Commit((Delete(paths.request_lock(request)),)) for request in gone))
    return Done()
