"""Keeps one ready node for every slot of the machines that are there already.

Nothing is launched here: what is configured and what is recorded are compared, machine by machine. Whatever is written
about a machine is written after a look at it, and one that cannot be used has no free nodes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nodepool_ng.model.action import LookAtHost, RegisterNodes, RenewNode, RetireNode, host_subject
from nodepool_ng.model.hosts import HostSeen, Knock
from nodepool_ng.model.ids import ProviderName, Seconds
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Reason, at
from nodepool_ng.model.settings import STATIC, HostKey, Pool, Provider, StaticHost
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.pace import Agenda

LOOK_AGAIN_AFTER: Seconds = 60.0
"""How long a machine that could not be used is left alone."""
FRESH: Seconds = 60.0
"""How long a look is good for writing nodes down."""
LAUNCHER = "static driver"
"""What the records of static nodes have where others have the pool that launched them."""
_LEAVING = frozenset({NodeState.INIT, NodeState.BUILDING, NodeState.DELETING, NodeState.DELETED})


@dataclass(slots=True)
class _Machine:
    """A configured machine and its nodes by slot."""

    pool: Pool
    host: StaticHost
    nodes: dict[int, Node] = field(default_factory=dict)

    @property
    def empty(self) -> tuple[int, ...]:
        return tuple(slot for slot in range(self.host.slots) if slot not in self.nodes)


def plan_static(s: Snapshot, agenda: Agenda) -> None:
    """Add looks at machines, and nodes to be written, renewed and removed."""
    for node_id, met in s.silent.items():
        node = s.nodes.nodes.get(node_id)
        if node is not None and node.free:
            _retire(s, agenda, node, Code.HOST_SILENT, met)
    providers = [s.settings.providers[name] for name in sorted(s.leased) if name in s.settings.providers]
    for provider in providers:
        if provider.driver == STATIC:
            _provider(s, agenda, provider)


def is_static(s: Snapshot, node: Node) -> bool:
    """Tell whether a node is a machine, or a slot of one, that stays when the node goes."""
    return node.provider in s.without_cloud or node.launcher == LAUNCHER


def knocks(s: Snapshot, pool: Pool, nodes: Iterable[Node]) -> tuple[Knock, ...]:
    """Return which of the nodes' machines have to answer before the nodes are given away."""
    hosts = {host.key: host for host in pool.hosts or ()}
    found = []
    for node in nodes:
        host = hosts.get(_key(node))
        if host is not None and host.host_key_checking:
            found.append(Knock(node=node.id, address=host.name, port=host.connection_port, timeout=host.timeout))
    return tuple(found)


def _provider(s: Snapshot, agenda: Agenda, provider: Provider) -> None:
    machines = {host.key: _Machine(pool, host) for pool in provider.pools.values() for host in pool.hosts or ()}
    nodes = [n for n in s.nodes.nodes.values() if n.provider == provider.name and n.state not in _LEAVING]
    for node in _placed(machines, nodes):
        _retire(s, agenda, node, Code.NOT_CONFIGURED)
    for key in sorted(machines):
        _machine(s, agenda, provider.name, machines[key])


def _placed(machines: Mapping[HostKey, _Machine], nodes: Iterable[Node]) -> list[Node]:
    """Give every node its slot; return those for which there is none.

    A node without a proper slot gets the first one that is free. One whose user or port was changed in the
    configuration is known by the name of its machine.
    """
    rest = []
    for node in sorted(nodes, key=lambda node: (node.free, node.id)):
        machine = machines.get(_key(node))
        if machine is not None and node.slot in machine.empty:
            machine.nodes[node.slot] = node
        else:
            rest.append(node)
    excess = []
    for node in rest:
        machine = machines.get(_key(node)) or _renamed(machines, node)
        if machine is not None and machine.empty:
            machine.nodes[machine.empty[0]] = node
        else:
            excess.append(node)
    return excess


def _renamed(machines: Mapping[HostKey, _Machine], node: Node) -> _Machine | None:
    same = (each for each in machines.values() if each.host.name == node.hostname and each.empty)
    return next(same, None) if node.free else None


def _machine(s: Snapshot, agenda: Agenda, provider: ProviderName, machine: _Machine) -> None:
    host, pool = machine.host, machine.pool
    seen = s.hosts.get((provider, host.key))
    if seen is None or seen.host != host:
        _look(agenda, machine)
        return
    free = {slot: node for slot, node in machine.nodes.items() if node.free and node.id not in s.node_locks}
    if seen.error is not None:
        for node in free.values():
            _retire(s, agenda, node, Code.HOST_SILENT, seen.error)
        if s.now >= seen.at + LOOK_AGAIN_AFTER:
            _look(agenda, machine)
        else:
            agenda.look_again(seen.at + LOOK_AGAIN_AFTER)
        return
    for slot, node in free.items():
        if node.pool != pool.name:
            _retire(s, agenda, node, Code.NOT_CONFIGURED)
        elif not _as_configured(node, slot, host, seen):
            why = at(pool.key, Code.OUT_OF_DATE, detail=host.name)
            agenda.add(RenewNode(node=node.id, host=host, slot=slot, host_keys=seen.keys, why=why))
    if machine.empty and (seen.spent or s.now >= seen.at + FRESH):
        _look(agenda, machine)
    elif machine.empty and agenda.free(host_subject(provider, host.key)):
        why = at(pool.key, Code.SLOT_EMPTY, detail=host.name)
        agenda.add(RegisterNodes(provider=provider, pool=pool.name, host=host, slots=machine.empty, why=why))


def _look(agenda: Agenda, machine: _Machine) -> None:
    provider, pool = machine.pool.key
    why = at(machine.pool.key, Code.DUE)
    agenda.add(LookAtHost(provider=provider, pool=pool, host=machine.host, why=why))


def _as_configured(node: Node, slot: int, host: StaticHost, seen: HostSeen) -> bool:
    """Tell whether nothing of a node's record is out of date."""
    return (
        node.slot == slot
        and _key(node) == host.key
        and set(node.labels) == set(host.labels)
        and node.connection_type == host.connection_type
        and node.shell_type == host.shell_type
        and node.python_path == host.python_path
        and set(node.host_keys) == set(seen.keys)
    )


def _key(node: Node) -> HostKey:
    port = node.connection_port if isinstance(node.connection_port, int) else 0
    return node.hostname or "", node.username or "", port


def _retire(s: Snapshot, agenda: Agenda, node: Node, code: Code, detail: str = "") -> None:
    """Send a node away that is nobody's; one that is in use stays until its client is done."""
    if node.free and node.id not in s.node_locks:
        why = Reason(code=code, provider=node.provider, pool=node.pool, label=node.label, detail=detail)
        agenda.add(RetireNode(node=node.id, expect=NodeState.READY, why=why))
