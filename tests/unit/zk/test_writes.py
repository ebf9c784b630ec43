"""A record goes along with what writes it; it is what anybody reads who has only the bytes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.codec.request import NEEDED
from nodepool_ng.zk.store import Set
from nodepool_ng.zk.writes import create_node, set_node, set_request
from tests.unit.zk.test_codec import NODE, REQUEST, node_record, ports, request_records


def read(write: Set) -> codec.Record | codec.Ghost | codec.Damaged:
    at = paths.record_at(write.path)
    assert at is not None
    return codec.decode(write.path, at, write.data)


@given(ports.flatmap(node_record))
def test_a_node_is_read_as_it_was_written(written):
    node = codec.decode_node(NODE, json.dumps(written).encode())
    assert isinstance(node, Node)
    write = set_node(node, 7)
    assert write.record == read(write)
    assert (write.path, write.version) == (paths.node(NodeId(NODE)), 7)
    assert (create_node(node).path, create_node(node).data, create_node(node).sequence) == (
        "/nodepool/nodes/",
        write.data,
        True,
    )


@given(request_records, st.sets(st.sampled_from(sorted(NEEDED - {"state"}))))
def test_a_request_is_read_as_it_was_written_even_if_it_lacked_something(written, lacking):
    lean = {key: value for key, value in written.items() if key not in lacking}
    request = codec.decode_request(REQUEST, json.dumps(lean).encode())
    assert isinstance(request, NodeRequest)
    assert request.complete == (not lacking)
    write = set_request(request, 2)
    assert write.record == read(write)
    assert (write.path, write.version) == (paths.request(RequestId(REQUEST)), 2)
