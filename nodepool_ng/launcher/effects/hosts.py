"""Looking at machines that are there already, and writing their nodes."""

from dataclasses import replace
from ipaddress import ip_address

from nodepool_ng.launcher.effects.nodes import ended, wanted_lock
from nodepool_ng.launcher.outcome import HostLooked, HostSilent, Lost, Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.hosts import HostSeen, Knock
from nodepool_ng.model.ids import NodeId, PoolId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.plan.launch import SCANNED_TYPES
from nodepool_ng.plan.static import LAUNCHER
from nodepool_ng.shell.effect import Effect, commit, lookup, scan
from nodepool_ng.shell.locking import Busy, give_back, take_locks
from nodepool_ng.zk import codec
from nodepool_ng.zk.store import Check, Delete, Failure
from nodepool_ng.zk.writes import create_node, set_node


def look_at_host(world: World, action: do.LookAtHost) -> Effect[Outcome]:
    """Find a machine's addresses and, where they are checked, its host keys. One that is not checked is not even
    connected to."""
    host = action.host
    addresses = yield from lookup(host.name, world.now + host.timeout)
    if isinstance(addresses, str):
        return HostLooked(HostSeen(host=host, at=world.now, error=f"{host.name} cannot be resolved: {addresses}"))
    first = ip_address(addresses[0].partition("%")[0])
    seen = HostSeen(
        host=host,
        at=world.now,
        keys=host.host_keys,
        public_ipv4=addresses[0] if first.version == 4 else "",
        public_ipv6=addresses[0] if first.version == 6 else "",
    )
    ssh = host.connection_type in SCANNED_TYPES
    if ssh and not host.host_key_checking:
        return HostLooked(seen)
    found = yield from scan(host.name, host.connection_port, ssh, world.now + host.timeout)
    if isinstance(found, str):
        return HostLooked(replace(seen, at=world.now, error=f"{host.name} does not answer: {found}"))
    missing = set(host.host_keys) - set(found) if ssh else set()
    if missing:
        return HostLooked(replace(seen, at=world.now, error=f"{host.name} does not have the host keys it should have"))
    return HostLooked(replace(seen, at=world.now, keys=found if ssh else ()))


def register_nodes(world: World, action: do.RegisterNodes) -> Effect[Outcome]:
    """Write a ready node for each of the slots. They need no lock: there is nothing more to be done about them."""
    lease = world.lease_contender(action.provider)
    seen = world.hosts.seen.get((action.provider, action.host.key))
    if lease is None or seen is None:
        return Lost("the provider's lease is not ours any more")
    host = action.host
    attributes = world.settings.providers[action.provider].pools[action.pool].node_attributes
    node = Node(
        id=NodeId(""),
        state=NodeState.READY,
        state_time=world.now,
        created_time=world.now,
        provider=action.provider,
        pool=action.pool,
        launcher=PoolId(LAUNCHER),
        labels=host.labels,
        external_id=host.name,
        hostname=host.name,
        interface_ip=host.name,
        username=host.username,
        connection_port=host.connection_port,
        connection_type=host.connection_type,
        python_path=host.python_path,
        shell_type=host.shell_type,
        public_ipv4=seen.public_ipv4,
        public_ipv6=seen.public_ipv6,
        host_keys=seen.keys,
        attributes=dict(attributes) if attributes is not None else None,
    )
    made = (create_node(replace(node, slot=slot)) for slot in action.slots)
    return ended((yield from commit(Check(lease), *made)))


def renew_node(world: World, action: do.RenewNode) -> Effect[Outcome]:
    """Change the record of a node that is still nobody's, under its lock."""
    taken = yield from take_locks(world.owner, [wanted_lock(world, action.node)])
    if isinstance(taken, Busy):
        return Lost(taken.why)
    contender, got = taken[0].contender, taken[0].record
    node = codec.decode_node(action.node, got.data)
    if not isinstance(node, Node) or not node.free:
        yield from give_back([contender])
        return Lost("the node changed meanwhile")
    host = action.host
    renewed = replace(
        node,
        labels=host.labels,
        slot=action.slot,
        username=host.username,
        connection_port=host.connection_port,
        connection_type=host.connection_type,
        python_path=host.python_path,
        shell_type=host.shell_type,
        host_keys=action.host_keys,
    )
    answer = yield from commit(set_node(renewed, got.stat.version), Delete(contender))
    if isinstance(answer, Failure):
        yield from give_back([contender])
    return ended(answer)


def knocked(world: World, knocks: tuple[Knock, ...]) -> Effect[HostSilent | None]:
    """Connect to each of the machines; return the first that does not take it."""
    for knock in knocks:
        found = yield from scan(knock.address, knock.port, False, world.now + knock.timeout)
        if isinstance(found, str):
            return HostSilent(knock.node, found)
    return None
