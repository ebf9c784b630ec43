"""Whatever is in ZooKeeper is a record, or is called damaged in one line; nothing raises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.codec import Damaged, Ghost
from tests.fuzz.inputs import almost, as_bytes, values, words

FUZZ = settings.get_profile("fuzz")
NODE = {"state": "ready", "state_time": 1.0, "type": ["small"], "provider": "a", "connection_port": 22, "host_keys": []}
REQUEST = {"state": "requested", "state_time": 1.0, "node_types": ["small"], "nodes": [], "declined_by": []}
UPLOAD = {"state": "ready", "state_time": 1.0, "external_id": "x", "external_name": "y", "format": "qcow2"}
BUILD = {"state": "ready", "state_time": 1.0, "builder": "b", "builder_id": "c", "formats": ["qcow2"]}
POOL = {"state": "running", "kind": "pool", "hostname": "h", "id": "i", "supported_labels": ["small"], "priority": 100}
IMAGE = "/nodepool/images/tiny/builds"
PLACES = {
    "/nodepool/nodes/0000000001": NODE,
    "/nodepool/requests/200-0000000001": REQUEST,
    f"{IMAGE}/{'a' * 32}": BUILD,
    f"{IMAGE}/{'a' * 32}/providers/east/images/0000000001": UPLOAD,
    "/nodepool/components/pool/host0000000001": POOL,
    "/nodepool/components/launcher/host0000000001": POOL,
    "/nodepool_ng/installation": {},
    "/nodepool_ng/freeze/east": {"creates": True},
    "/nodepool_ng/cordons/provider:east": {"reason": "x"},
}
sights = st.sampled_from(sorted(PLACES)).flatmap(
    lambda path: st.tuples(st.just(path), as_bytes(almost(PLACES[path] or {"a": 1}) | values))
)


def test_all_places_are_known() -> None:
    assert [path for path in PLACES if paths.parse(path) is None] == []


@settings(FUZZ)
@given(sights)
def test_a_record_is_read_or_called_damaged(sight: tuple[str, bytes]) -> None:
    path, data = sight
    at = paths.parse(path)
    found = codec.decode(path, at, data)  # type: ignore[arg-type]
    assert found is not None
    match found:
        case Damaged(where, reason):
            assert where == path
            assert len(reason) < 300, "a reason goes into a log, whatever the size of the record"
        case Ghost():
            assert not data


@settings(FUZZ)
@given(st.sampled_from(sorted(PLACES)).flatmap(lambda path: words.map(lambda word: f"{path}/{word}")) | words)
def test_any_path_is_a_place_or_none(path: str) -> None:
    paths.parse(path)


@settings(FUZZ)
@given(almost(NODE))
def test_what_was_read_can_be_written_and_read_again(record: dict[str, object]) -> None:
    (data,) = [codec.encode_node(node) for node in [_node(record)] if node is not None] or [b""]
    if data:
        again = codec.decode_node(NODE_ID, data)
        assert codec.encode_node(again) == data  # type: ignore[arg-type]


NODE_ID = paths.NodeId("0000000001")


def _node(record: dict[str, object]) -> codec.Node | None:
    import json

    found = codec.decode_node(NODE_ID, json.dumps(record).encode())
    return found if isinstance(found, codec.Node) else None
