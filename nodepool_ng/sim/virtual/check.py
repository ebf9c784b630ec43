"""What must hold once an installation has come to rest, judged from outside: from the tree and the clouds."""

from collections.abc import Iterator

from nodepool_ng.drivers import MARK_INSTALLATION, MARK_NODE
from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.sim.virtual.world import INSTALLATION, Installation
from nodepool_ng.zk import codec, paths

AT_REST = frozenset({NodeState.READY, NodeState.IN_USE, NodeState.HOLD})


def nodes_in(installation: Installation) -> dict[NodeId, Node]:
    """Return the records of all nodes, as they are in the tree."""
    found = {}
    for path in installation.tree.paths():
        match paths.parse(path):
            case paths.NodeAt(node_id):
                znode = installation.tree.look(path)
                node = codec.decode_node(node_id, znode.data) if znode else None
                if isinstance(node, Node):
                    found[node_id] = node
    return found


def requests_in(installation: Installation) -> dict[RequestId, NodeRequest]:
    """Return all requests, as they are in the tree."""
    found = {}
    for path in installation.tree.paths():
        match paths.parse(path):
            case paths.RequestAt(request_id):
                znode = installation.tree.look(path)
                request = codec.decode_request(request_id, znode.data) if znode else None
                if isinstance(request, NodeRequest):
                    found[request_id] = request
    return found


def complaints(installation: Installation) -> Iterator[str]:
    """Yield a sentence for everything that is not as promised: leaks, doubles, half-done nodes, lost requests."""
    nodes = nodes_in(installation)
    owners: dict[str, list[str]] = {}
    for provider, region in installation.regions.items():
        for server in region.servers.live.values():
            if server.metadata.get(MARK_INSTALLATION) != INSTALLATION:
                continue
            node = nodes.get(NodeId(server.metadata.get(MARK_NODE, "")))
            if node is None:
                yield f"server {server.id} in {provider} has no node"
            elif node.external_id != server.id:
                yield f"server {server.id} in {provider} is not the one that node {node.id} names ({node.external_id})"
            owners.setdefault(server.metadata.get(MARK_NODE, ""), []).append(server.id)
    for node in nodes.values():
        if node.state not in AT_REST:
            yield f"node {node.id} rests as {node.state}"
        elif len(owners.get(node.id, ())) != 1:
            yield f"node {node.id} is {node.state} and has {len(owners.get(node.id, ()))} servers"
    for request in requests_in(installation).values():
        yield f"request {request.id} is still there, {request.state}"
    twice: dict[str, RequestId] = {}
    for request in requests_in(installation).values():
        for node_id in request.nodes:
            if twice.setdefault(node_id, request.id) != request.id:
                yield f"node {node_id} was given to two requests"
