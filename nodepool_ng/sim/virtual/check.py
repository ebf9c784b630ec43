"""What must hold once an installation has come to rest, judged from outside: from the tree and the clouds."""

from collections.abc import Iterator

from nodepool_ng.drivers import MARK_NODE
from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.snapshot import Side
from nodepool_ng.sim.server import Status
from nodepool_ng.sim.virtual.promises import is_ours
from nodepool_ng.sim.virtual.world import Installation
from nodepool_ng.zk import paths

AT_REST = frozenset({NodeState.READY, NodeState.IN_USE, NodeState.HOLD})


def nodes_in(installation: Installation) -> dict[NodeId, Node]:
    """Return the records of all nodes, as they are in the tree."""
    return installation.tree.nodes()


def requests_in(installation: Installation) -> dict[RequestId, NodeRequest]:
    """Return all requests, as they are in the tree."""
    return installation.tree.requests()


def _has_server(installation: Installation, node: Node) -> bool:
    """Tell whether a node is to have a server of its own: static ones and slots have none."""
    return node.state is NodeState.READY and node.attempt is not None and node.provider in installation.regions


def complaints(installation: Installation) -> Iterator[str]:
    """Yield a sentence for everything that is not as promised: leaks, doubles, half-done nodes, lost requests."""
    nodes = nodes_in(installation)
    now = installation.timeline.now()
    owners: dict[str, int] = {}
    for provider, region in installation.regions.items():
        for server in region.servers.live.values():
            if server.gone <= now or not is_ours(server):
                continue
            marked = (server.ask.metadata or {}).get(MARK_NODE, "")
            node = nodes.get(NodeId(marked))
            recorded = installation.referee.recorded(server.id)
            if not server.metadata and (not recorded or NodeId(marked) in installation.erased):
                continue  # the cloud has forgotten whose it is, and no record ever said so, or an operator erased that
            if node is None:
                yield f"server {server.name} in {provider} has no node"
            elif node.external_id != server.id:
                yield f"{provider} has a server {server.name} that is not the one node {node.id} names"
            elif node.state is NodeState.READY and server.status(now) is not Status.ACTIVE:
                yield f"the server of node {node.id} is {server.status(now)}"
            owners[marked] = owners.get(marked, 0) + 1
    for node in nodes.values():
        if node.provider not in installation.regions and node.provider not in installation.settings.providers:
            continue
        if node.state not in AT_REST:
            yield f"node {node.id} rests as {node.state}"
        elif _has_server(installation, node) and owners.get(node.id, 0) != 1:
            yield f"node {node.id} is {node.state} and has {owners.get(node.id, 0)} servers"
        if node.state is NodeState.READY and node.allocated_to is not None:
            yield f"node {node.id} still belongs to request {node.allocated_to}"
        if node.state is not NodeState.IN_USE and installation.tree.contenders(paths.node_lock(node.id)):
            yield f"node {node.id} is {node.state} and locked"
    for request in requests_in(installation).values():
        yield f"request {request.id} is still there, {request.state}"
    for path in installation.tree.paths():
        match paths.parse(path):
            case paths.NodeAt(node_id) if node_id not in nodes:
                yield f"{path} has no record"
            case paths.ContenderAt(paths.RequestAt(request_id)):
                yield f"the lock of request {request_id} is held"
            case _:
                pass
    yield from installation.referee.images.complaints()
    for launcher in installation.living():
        world = launcher.reconciler.world
        for node_id in {*nodes, *world.picture.nodes}:
            entry = world.picture.nodes.get(node_id)
            if (entry.record if entry else None) != nodes.get(node_id):
                yield f"{launcher.name} sees another node {node_id} than there is"
        seen = world.snapshot({}, 0.0)
        if set(seen.held) != {node_id for node_id, side in seen.node_locks.items() if side is Side.OURS}:
            yield f"{launcher.name} has lost track of the locks that it holds"
        if seen.unlocked != seen.nodes.nodes.keys() - seen.node_locks.keys():
            yield f"{launcher.name} has lost track of the locks that nobody holds"
        if world.requests.waiting:
            yield f"{launcher.name} thinks that requests wait"
