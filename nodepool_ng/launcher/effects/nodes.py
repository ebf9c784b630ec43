"""Writing what becomes of a node."""

from nodepool_ng.launcher.outcome import Adopted, Done, Lost, Outcome
from nodepool_ng.launcher.records import booted as as_booted
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeEvent, NodeState, RequestState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.shell.effect import Effect, ask, commit
from nodepool_ng.shell.locking import NOT_AS_KNOWN, Busy, Want, give_back, sweep, take_locks, taken_first
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Check, Committed, Delete, Failure, Get, Got, Op, Problem
from nodepool_ng.zk.writes import set_node


def wanted_lock(world: World, node: NodeId) -> Want:
    return Want(paths.node_lock(node), paths.node(node), world.has_node_lock_dir(node))


def ended(answer: Committed | Failure) -> Outcome:
    """Return the outcome of an effect whose last transaction was answered so."""
    return Lost(str(answer)) if isinstance(answer, Failure) else Done()


def adopt_node(world: World, action: do.AdoptNode) -> Effect[Outcome]:
    """Lock a node that was left behind. One that was being built is written as ours; a ready one is only locked.

    One that has become ready since we looked was not left behind: its client is about to lock it.
    """
    entry = world.picture.nodes.get(action.node)
    contender = world.our_contender_on_node(action.node)
    if contender is None:
        taken = yield from take_locks(world.owner, [wanted_lock(world, action.node)])
        if isinstance(taken, Busy):
            return Lost(taken.why)
        contender, got = taken[0].contender, taken[0].record
    else:
        (answer,) = yield from ask(Get(paths.node(action.node)))
        if not isinstance(answer, Got):
            return Lost("the node is gone")
        got = answer
    node = codec.decode_node(action.node, got.data)
    if not isinstance(node, Node) or node.state not in (NodeState.INIT, NodeState.BUILDING, NodeState.READY):
        yield from give_back([contender])
        return Lost("the node changed meanwhile")
    if node.state is NodeState.READY:
        if entry is not None and entry.record.state is NodeState.READY:
            return Adopted(node.attempt)
        yield from give_back([contender])
        return Lost("the node is ready meanwhile")
    attempt = world.attempts.adopted(node.attempt, world.now, asked=node.state is NodeState.BUILDING)
    ours = moved(node, NodeEvent.LOCKED, world.now, launcher=world.pool_id(node), attempt=attempt)
    answer = yield from commit(Check(contender), set_node(ours, got.stat.version))
    return Lost(str(answer)) if isinstance(answer, Failure) else Adopted(ours.attempt)


def record_ready(world: World, action: do.RecordReady) -> Effect[Outcome]:
    """Write down that a node is up, and let go of it: it is a spare from now on."""
    entry = world.picture.nodes.get(action.node)
    contender = world.our_contender_on_node(action.node)
    server = world.server(entry.record, action.server) if entry else None
    if entry is None or contender is None or server is None:
        return Lost("the node is not ours any more")
    node = as_booted(world, entry.record, server, action.host_keys, allocated_to=None, tenant_name=None, requestor=None)
    answer = yield from commit(
        set_node(node, entry.version),
        Delete(contender),
    )
    return ended(answer)


def retry_node(world: World, action: do.RetryNode) -> Effect[Outcome]:
    """Begin a fresh attempt; from this write on the old attempt's server is a duplicate."""
    entry = world.picture.nodes.get(action.node)
    contender = world.our_contender_on_node(action.node)
    if entry is None or contender is None:
        return Lost("the node is not ours any more")
    node = moved(
        entry.record,
        NodeEvent.RETRIED,
        world.now,
        attempt=world.attempts.new(world.now),
        attempts=entry.record.attempts + (1 if action.counted else 0),
        external_id=None,
        slot=None,
        driver_data=None,
    )
    answer = yield from commit(Check(contender), set_node(node, entry.version))
    return ended(answer)


def retire_node(world: World, action: do.RetireNode) -> Effect[Outcome]:
    """Commit to deleting a node, if it still is what it was; keep the lock for what follows. Where nobody has the lock
    one transaction is enough."""
    entry = world.picture.nodes.get(action.node)
    if entry is not None and not entry.contenders and _still_to_go(world, entry.record, action.expect):
        lock = taken_first(world.owner, wanted_lock(world, action.node))
        answer = yield from commit(*lock, *_retired(world, entry.record, entry.version))
        if isinstance(answer, Committed) or answer.problem not in NOT_AS_KNOWN:
            return ended(answer)
    return (yield from _retire_locked(world, action))


def _retired(world: World, node: Node, version: int) -> tuple[Op, ...]:
    """Return what writes that a node is to be deleted, or that it is as it was, where it says so already."""
    if node.state in (NodeState.DELETING, NodeState.DELETED):
        return (Check(paths.node(node.id), version),)
    guards: tuple[Op, ...] = ()
    if node.state is NodeState.READY and node.allocated_to is not None:
        guards = (Check(world.our_contender_on_request(node.allocated_to) or ""),)
    return (*guards, set_node(moved(node, NodeEvent.UNWANTED, world.now), version))


def _retire_locked(world: World, action: do.RetireNode) -> Effect[Outcome]:
    """Take the lock, if it is not ours, look, and write."""
    contender = world.our_contender_on_node(action.node)
    if contender is None:
        taken = yield from take_locks(world.owner, [wanted_lock(world, action.node)])
        if isinstance(taken, Busy):
            return Lost(taken.why)
        contender, got = taken[0].contender, taken[0].record
    else:
        (answer,) = yield from ask(Get(paths.node(action.node)))
        if not isinstance(answer, Got):
            return Lost("the node is gone")
        got = answer
    node = codec.decode_node(action.node, got.data)
    if not isinstance(node, Node) or not _still_to_go(world, node, action.expect):
        yield from give_back([contender])
        return Lost("the node changed meanwhile")
    if node.state in (NodeState.DELETING, NodeState.DELETED):
        return Done()
    return ended((yield from commit(Check(contender), *_retired(world, node, got.stat.version))))


def _still_to_go(world: World, node: Node, expect: NodeState) -> bool:
    """A ready node that was given away since must not go; one that a request of ours still waits with may."""
    if node.state is not expect:
        return False
    if node.state is not NodeState.READY or node.allocated_to is None:
        return True
    request = world.picture.requests.get(node.allocated_to)
    pending = request is not None and request.record.state is RequestState.PENDING
    return pending and world.our_contender_on_request(node.allocated_to) is not None


def free_node(world: World, action: do.FreeNode) -> Effect[Outcome]:
    """Make a ready node nobody's, if its request is gone or no longer served, looked at under the lock."""
    contender = world.our_contender_on_node(action.node)
    entry = world.picture.nodes.get(action.node)
    if entry is None or entry.record.allocated_to is None:
        return Lost("the node is free already")
    if contender is None:
        taken = yield from take_locks(world.owner, [wanted_lock(world, action.node)])
        if isinstance(taken, Busy):
            return Lost(taken.why)
        contender = taken[0].contender
    request = entry.record.allocated_to
    seen, asked = yield from ask(Get(paths.node(action.node)), Get(paths.request(request)))
    node = codec.decode_node(action.node, seen.data) if isinstance(seen, Got) else None
    if not isinstance(node, Node) or node.state is not NodeState.READY or not isinstance(seen, Got):
        yield from give_back([contender])
        return Lost("the node changed meanwhile")
    same = node.allocated_to == entry.record.allocated_to
    if not same or not _request_over(request, asked):
        yield from give_back([contender])
        return Lost("its request is there")
    spare = moved(node, NodeEvent.FREED, world.now, allocated_to=None, tenant_name=None, requestor=None)
    answer = yield from commit(set_node(spare, seen.stat.version), Delete(contender))
    return ended(answer)


def _request_over(request_id: RequestId, answer: object) -> bool:
    if isinstance(answer, Failure):
        return answer.problem is Problem.NO_NODE
    request = codec.decode_request(request_id, answer.data) if isinstance(answer, Got) else None
    return isinstance(request, NodeRequest) and request.state in (RequestState.REQUESTED, RequestState.FAILED)


def erase_node(world: World, action: do.EraseNode) -> Effect[Outcome]:
    """Remove a node's record with its lock, in one transaction. Should somebody queue for the lock, the record says
    `deleted` and the lock is released: whoever gets it finds nothing to use."""
    entry = world.picture.nodes.get(action.node)
    contender = world.our_contender_on_node(action.node)
    if entry is None or contender is None:
        return Lost("the node is not ours any more")
    record = paths.node(action.node)
    answer = yield from commit(Delete(contender), Delete(paths.node_lock(action.node)), Delete(record, entry.version))
    if isinstance(answer, Failure) and answer.problem is Problem.NOT_EMPTY:
        gone = moved(entry.record, NodeEvent.GONE, world.now)
        answer = yield from commit(set_node(gone, entry.version), Delete(contender))
    return ended(answer)


def sweep_ghost(world: World, action: do.SweepGhost) -> Effect[Outcome]:
    """Remove a node znode without data, which somebody made by locking a node that was gone."""
    record = paths.node(action.node)
    taken = yield from take_locks(world.owner, [wanted_lock(world, action.node)])
    if isinstance(taken, Busy):
        return Lost(taken.why)
    (held,) = taken
    if held.record.data:
        yield from give_back([held.contender])
        return Lost("the node has data now")
    ops: list[Op] = [Delete(held.contender), Delete(paths.node_lock(action.node))]
    answer = yield from commit(*ops, Delete(record, held.record.stat.version))
    return ended(answer)


def unlock(world: World, action: do.Unlock) -> Effect[Outcome]:
    """Give back a lock that no effect holds any more."""
    if action.node is not None:
        directory, contenders = paths.node_lock(action.node), world.contenders_on_node(action.node)
    else:
        assert action.request is not None
        directory, contenders = paths.request_lock(action.request), world.contenders_on_request(action.request)
    ours = [name for name in contenders if world.is_ours(name)]
    return ended((yield from sweep(directory, ours))) if ours else Done()
