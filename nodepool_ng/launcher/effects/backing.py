"""Requesting nodes, cutting them into slots, and letting them go again."""

from dataclasses import replace

from nodepool_ng.launcher.backings import keeper, kept_by
from nodepool_ng.launcher.effects.nodes import ended, wanted_lock
from nodepool_ng.launcher.outcome import Lost, NotBacked, Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model import backing_action as cutting
from nodepool_ng.model.backing import REQUEST_PRIORITY, Cut, cut_of, owner, placed, written
from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeEvent, NodeState, RequestState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.reason import sentence
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.shell.contender import prefix
from nodepool_ng.shell.effect import Effect, ask, commit
from nodepool_ng.shell.locking import Busy, give_back, take_locks
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Check, Children, Create, Delete, Failure, Get, Got, Names, Problem
from nodepool_ng.zk.writes import set_node


def ask_for_backing(world: World, action: cutting.AskForBacking) -> Effect[Outcome]:
    """Request nodes as any client does. The requests end with our session: whoever goes on makes its own."""
    lease = world.lease_contender(action.provider)
    if lease is None:
        return Lost("the provider's lease is not ours any more")
    request = NodeRequest(
        id=RequestId(""),
        state=RequestState.REQUESTED,
        state_time=world.now,
        created_time=world.now,
        labels=(action.backing,),
        requestor=owner(action.provider),
        requestor_data={"label": action.label},
    )
    made = Create(paths.new_request(REQUEST_PRIORITY), codec.encode_request(request), ephemeral=True, sequence=True)
    return ended((yield from commit(Check(lease), *[made] * action.count)))


def withdraw_backing(world: World, action: cutting.WithdrawBacking) -> Effect[Outcome]:
    """Delete a request; a node that it was given is freed by whoever made it."""
    lease = world.lease_contender(action.provider)
    if lease is None:
        return Lost("the provider's lease is not ours any more")
    answer = yield from commit(Check(lease), Delete(paths.request(action.request)))
    if isinstance(answer, Failure) and answer.problem is not Problem.NO_NODE:
        return Lost(str(answer))
    return NotBacked(action.failed, sentence(action.why)) if action.failed else ended(answer)


def take_backing(world: World, action: cutting.TakeBacking) -> Effect[Outcome]:
    """Lock a node that a request of ours brought, for longer than any launcher lives, and write down how it is cut."""
    lease = world.lease_contender(action.cut.provider)
    if lease is None:
        return Lost("the provider's lease is not ours any more")
    taken = yield from take_locks(world.owner, [wanted_lock(world, action.node)])
    if isinstance(taken, Busy):
        return Lost(taken.why)
    contender, got = taken[0].contender, taken[0].record
    node = codec.decode_node(action.node, got.data)
    if not isinstance(node, Node) or node.state is not NodeState.READY or node.allocated_to != action.request:
        yield from give_back([contender])
        return Lost("the node changed meanwhile")
    lasting = f"{paths.node_lock(node.id)}/{prefix(keeper(action.cut.provider))}"
    cut = moved(node, NodeEvent.TAKEN, world.now, user_data=written(action.cut))
    answer = yield from commit(
        Check(lease),
        Delete(contender),
        Create(lasting, owner(action.cut.provider).encode(), sequence=True),
        set_node(cut, got.stat.version),
        Delete(paths.request(action.request)),
    )
    if isinstance(answer, Failure):
        yield from give_back([contender])
    return ended(answer)


def take_slot(world: World, action: cutting.TakeSlot) -> Effect[Outcome]:
    """Write a slot into a node that is building: from now on it is where the backing node is."""
    entry = world.picture.nodes.get(action.node)
    contender = world.our_contender_on_node(action.node)
    backing = world.picture.nodes.get(action.backing)
    if entry is None or contender is None or entry.record.state is not NodeState.BUILDING:
        return Lost("the node is not ours any more")
    if backing is None or backing.record.state is not NodeState.IN_USE:
        return Lost("the backing node is gone")
    node = in_slot(world, entry.record, backing.record, action.slot)
    return ended(
        (
            yield from commit(
                Check(contender),
                Check(paths.node(action.backing), backing.version),
                set_node(node, entry.version),
            )
        )
    )


def in_slot(world: World, node: Node, backing: Node, slot: int) -> Node:
    """Return the record of a node in a slot of another: it is reached as that one is."""
    provider = world.settings.providers.get(node.provider) if node.provider else None
    pool = provider.pools.get(node.pool) if provider is not None and node.pool else None
    own = pool.node_attributes if pool is not None else None
    inherited = backing.attributes if isinstance(backing.attributes, dict) else {}
    attributes = {**inherited, **dict(own or {})}
    return replace(
        node,
        external_id=str(node.id),
        slot=slot,
        driver_data=placed(node, backing.id, slot),
        attributes=attributes or None,
        cloud=backing.cloud,
        region=backing.region,
        az=backing.az,
        username=backing.username,
        python_path=backing.python_path,
        shell_type=backing.shell_type,
        connection_type=backing.connection_type,
        connection_port=backing.connection_port,
        host_keys=backing.host_keys,
    )


def spoil_backing(world: World, action: cutting.SpoilBacking) -> Effect[Outcome]:
    """Write down that a backing node is of no use for new slots; jobs that are on it go on."""
    found = yield from _cut_node(world, action.node)
    if isinstance(found, Lost):
        return found
    node, cut, version = found
    spoiled = replace(node, user_data=written(replace(cut, failed=True)))
    lease = world.lease_contender(cut.provider)
    if lease is None:
        return Lost("the provider's lease is not ours any more")
    return ended((yield from commit(Check(lease), set_node(spoiled, version))))


def release_backing(world: World, action: cutting.ReleaseBacking) -> Effect[Outcome]:
    """Be done with a backing node: its own launcher deletes it."""
    lease = world.lease_contender(action.provider)
    found = yield from _cut_node(world, action.node)
    if lease is None or isinstance(found, Lost):
        return Lost("the backing node is not ours any more")
    node, _, version = found
    contenders = world.contenders_on_node(action.node)
    # The first one is the holder's; Nodepool 11 does not write into its name whose it is.
    lasting = dict.fromkeys([*contenders[:1], *kept_by(action.provider, contenders)])
    used = moved(node, NodeEvent.RETURNED, world.now)
    return ended(
        (
            yield from commit(
                Check(lease),
                set_node(used, version),
                *(Delete(f"{paths.node_lock(node.id)}/{name}") for name in lasting),
            )
        )
    )


def unlock_backing(world: World, action: cutting.UnlockBacking) -> Effect[Outcome]:
    """Remove lasting locks that were left on a node which somebody took from us."""
    (names,) = yield from ask(Children(paths.node_lock(action.node)))
    if not isinstance(names, Names):
        return Lost("the node is gone")
    left = [each for provider in sorted(world.backings.providers) for each in kept_by(provider, names.names)]
    return ended((yield from commit(*(Delete(f"{paths.node_lock(action.node)}/{name}") for name in left))))


def _cut_node(world: World, node_id: NodeId) -> Effect[tuple[Node, Cut, int] | Lost]:
    """Return a backing node as it is now, what its record says of slots, and its version."""
    (got,) = yield from ask(Get(paths.node(node_id)))
    node = codec.decode_node(node_id, got.data) if isinstance(got, Got) else None
    cut = cut_of(node) if isinstance(node, Node) and node.state is NodeState.IN_USE else None
    if not isinstance(node, Node) or cut is None or not isinstance(got, Got):
        return Lost("the node is no backing node any more")
    return node, cut, got.stat.version
