"""Operations that write a record: its bytes, and with them the record itself, so that the mirror need not read what
we have just written."""

from dataclasses import replace

from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import encode_node, encode_request
from nodepool_ng.zk.store import Create, Set


def create_node(node: Node) -> Create:
    """Return what creates a node; its id is what ZooKeeper makes of it."""
    return Create(paths.NEW_NODE, encode_node(node), sequence=True, record=node)


def set_node(node: Node, version: int = -1) -> Set:
    """Return what writes a node, if its record is at that version; -1 stands for any."""
    return Set(paths.node(node.id), encode_node(node), version, record=node)


def set_request(request: NodeRequest, version: int = -1) -> Set:
    """Return what writes a request, with every key that Zuul reads, if its record is at that version; -1 stands for
    any."""
    written = request if request.complete else replace(request, complete=True)
    return Set(paths.request(request.id), encode_request(request), version, record=written)
