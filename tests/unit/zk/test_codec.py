"""Records are read tolerantly, written completely, and nothing that another peer wrote gets lost."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodepool_ng.model.component import Component
from nodepool_ng.model.ids import BuildId, ImageName, InstallationId, NodeId, ProviderName, RequestId, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import codec
from nodepool_ng.zk.codec import Damaged, Ghost

NODE = NodeId("0000000042")
REQUEST = RequestId("200-0000000007")
AT_BUILD = (ImageName("bookworm"), BuildId("ab" * 16))
AT_UPLOAD = (*AT_BUILD, ProviderName("cloud-a"), UploadId("0000000001"))

TRACE = 0x0AF7651916CD43DD8448EB211C80319C

words = st.text(max_size=12)
maybe = st.none() | words
times = st.floats(min_value=0, max_value=4e9) | st.integers(min_value=0, max_value=4 * 10**9)
numbers = st.integers(min_value=-(2**130), max_value=2**130) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
ports = st.just(22) | st.none() | st.dictionaries(words, json_values, max_size=3)


def record(fixed, optional=None, *, known=frozenset()):
    """A record as a peer writes it, with up to three keys that we never heard of."""
    return st.builds(
        lambda own, extra: {**{k: v for k, v in extra.items() if k not in known}, **own},
        st.fixed_dictionaries(fixed, optional=optional or {}),
        st.dictionaries(words, json_values, max_size=3),
    )


def node_record(port):
    return record(
        {
            "state": st.sampled_from([s.value for s in NodeState]),
            "state_time": times,
            "type": st.lists(words, max_size=3),
            "connection_port": st.just(port),
            "ssh_port": st.just(port),
            "username": maybe,
            "host_keys": st.lists(words, max_size=3),
            "created_time": st.none() | times,
            "resources": st.none() | st.dictionaries(words, st.floats(0, 1e6) | st.integers(0, 10**6), max_size=3),
            "slot": st.none() | st.integers(0, 99),
            **dict.fromkeys(
                [
                    "cloud",
                    "region",
                    "az",
                    "provider",
                    "pool",
                    "allocated_to",
                    "public_ipv4",
                    "private_ipv4",
                    "public_ipv6",
                    "host_id",
                    "interface_ip",
                    "hostname",
                    "connection_type",
                    "python_path",
                    "shell_type",
                    "image_id",
                    "launcher",
                    "comment",
                    "hold_job",
                    "tenant_name",
                    "requestor",
                ],
                maybe,
            ),
            **dict.fromkeys(
                ["external_id", "hold_expiration", "user_data", "attributes", "driver_data", "node_properties"],
                json_values,
            ),
        },
        {"attempt_id": words, "attempts": st.integers(1, 9), "id": words, "build_id": words},
        known=codec.node.KEYS,
    )


request_records = record(
    {
        "state": st.sampled_from([s.value for s in RequestState]),
        "state_time": times,
        "node_types": st.lists(words, max_size=3),
        "nodes": st.lists(words, max_size=3),
        "declined_by": st.lists(words, max_size=3),
        "reuse": st.booleans(),
        "requestor": maybe,
        "requestor_data": json_values,
        "provider": maybe,
        "relative_priority": st.integers(-5, 500),
        "event_id": maybe,
        "created_time": st.none() | times,
        "tenant_name": maybe,
    },
    {"failed_because": json_values.filter(lambda v: v is not None)},
    known=codec.request.KEYS,
)
common_image = {"state_time": times, "username": maybe, "python_path": maybe, "shell_type": maybe}
build_records = record(
    {"state": st.sampled_from(["building", "ready", "deleting", "failed"]), **common_image},
    {"builder": words, "builder_id": words, "formats": st.sampled_from(["qcow2", "qcow2,raw", "raw,vhd"])},
    known=codec.image.BUILD_KEYS,
)
upload_records = record(
    {
        "state": st.sampled_from(["uploading", "ready", "deleting", "failed"]),
        "external_id": maybe,
        "external_name": maybe,
        "format": maybe,
        **common_image,
    },
    known=codec.image.UPLOAD_KEYS,
)


@given(ports.flatmap(node_record))
def test_a_node_written_by_a_peer_loses_nothing(written):
    read = codec.decode_node(NODE, json.dumps(written).encode())
    assert isinstance(read, Node)
    assert json.loads(codec.encode_node(read)) == written
    assert codec.decode_node(NODE, codec.encode_node(read)) == read


@given(request_records)
def test_a_request_written_by_a_peer_loses_nothing(written):
    read = codec.decode_request(REQUEST, json.dumps(written).encode())
    assert isinstance(read, NodeRequest)
    assert json.loads(codec.encode_request(read)) == written


@given(build_records)
def test_a_build_written_by_a_peer_loses_nothing(written):
    read = codec.decode_build(*AT_BUILD, json.dumps(written).encode())
    assert isinstance(read, Build)
    assert json.loads(codec.encode_build(read)) == written


@given(upload_records)
def test_an_upload_written_by_a_peer_loses_nothing(written):
    read = codec.decode_upload(*AT_UPLOAD, json.dumps(written).encode())
    assert isinstance(read, Upload)
    assert json.loads(codec.encode_upload(read)) == written


@given(st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))
def test_no_bytes_whatever_make_a_decoder_raise(data):
    assert isinstance(codec.decode_node(NODE, data), Ghost | Damaged)
    assert isinstance(codec.decode_request(REQUEST, data), Damaged)
    assert isinstance(codec.decode_component("pool", "h0000000000", data), Component | Damaged)


NODE_KEYS_OF_NODEPOOL_11 = [
    "state",
    "state_time",
    "cloud",
    "region",
    "az",
    "provider",
    "pool",
    "type",
    "allocated_to",
    "public_ipv4",
    "private_ipv4",
    "public_ipv6",
    "host_id",
    "interface_ip",
    "hostname",
    "connection_type",
    "connection_port",
    "ssh_port",
    "username",
    "python_path",
    "shell_type",
    "host_keys",
    "image_id",
    "launcher",
    "created_time",
    "external_id",
    "comment",
    "hold_job",
    "hold_expiration",
    "user_data",
    "resources",
    "slot",
    "attributes",
    "tenant_name",
    "requestor",
    "driver_data",
    "node_properties",
]


def test_a_fresh_node_has_every_key_of_nodepool_11_and_none_of_ours():
    node = Node(id=NODE, state=NodeState.INIT, state_time=12.5)
    assert sorted(json.loads(codec.encode_node(node))) == sorted(NODE_KEYS_OF_NODEPOOL_11)


def test_a_fresh_request_has_every_key_that_zuul_reads():
    request = NodeRequest(id=REQUEST, state=RequestState.REQUESTED, state_time=12.5)
    assert json.loads(codec.encode_request(request)) == {
        "state": "requested",
        "state_time": 12.5,
        "node_types": [],
        "nodes": [],
        "declined_by": [],
        "reuse": True,
        "requestor": None,
        "requestor_data": None,
        "provider": None,
        "relative_priority": 0,
        "event_id": None,
        "created_time": None,
        "tenant_name": None,
    }


def test_absent_keys_of_a_node_have_the_contracts_defaults():
    node = codec.decode_node(NODE, b'{"state": "ready"}')
    assert isinstance(node, Node)
    assert (node.state_time, node.username, node.connection_port) == (0, "zuul", 22)
    assert (node.labels, node.host_keys, node.resources, node.extra) == ((), (), None, {})


def test_a_null_username_stays_null():
    node = codec.decode_node(NODE, b'{"state": "ready", "username": null}')
    assert isinstance(node, Node)
    assert node.username is None


@pytest.mark.parametrize(
    ("body", "port"),
    [
        ('"ssh_port": 2022', 2022),
        ('"connection_port": 5986, "ssh_port": 22', 5986),
        ('"connection_port": null, "ssh_port": 22', None),
        ('"connection_port": {"namespace": "n"}', {"namespace": "n"}),
    ],
)
def test_the_old_ssh_port_is_only_a_fallback_and_always_a_copy(body, port):
    node = codec.decode_node(NODE, f'{{"state": "ready", {body}}}'.encode())
    assert isinstance(node, Node)
    assert node.connection_port == port
    assert json.loads(codec.encode_node(node))["ssh_port"] == port


def test_a_type_that_is_a_plain_string_is_one_label():
    node = codec.decode_node(NODE, b'{"state": "ready", "type": "small"}')
    assert isinstance(node, Node)
    assert node.labels == ("small",)
    assert json.loads(codec.encode_node(node))["type"] == ["small"]


def test_a_node_that_jenkins_rewrote_is_read():
    body = b'{"state": "in-use", "created_time": 1.79520947E9, "state_time": "1795209470.5", "build_id": "job-1"}'
    node = codec.decode_node(NODE, body)
    assert isinstance(node, Node)
    assert (node.created_time, node.state_time) == (1795209470.0, 1795209470.5)
    assert node.extra == {"build_id": "job-1"}


def test_resources_are_numbers_by_name():
    node = codec.decode_node(NODE, b'{"state": "ready", "resources": {"cores": 2, "ram": "4096", "volumes": null}}')
    assert isinstance(node, Node)
    assert node.resources == Resources({"cores": 2, "ram": 4096})


def test_integers_of_128_bits_survive():
    written = json.dumps({"state": "requested", "requestor_data": {"span_info": {"trace_id": TRACE}}}).encode()
    request = codec.decode_request(REQUEST, written)
    assert isinstance(request, NodeRequest)
    assert str(TRACE).encode() in codec.encode_request(request)


def test_what_is_not_ascii_is_escaped():
    node = Node(id=NODE, state=NodeState.HOLD, state_time=1, comment="für später \U0001f600")
    assert b'"f\\u00fcr sp\\u00e4ter \\ud83d\\ude00"' in codec.encode_node(node)


def test_a_null_priority_is_zero_and_written_as_a_number():
    request = codec.decode_request(REQUEST, b'{"state": "requested", "relative_priority": null, "declined_by": null}')
    assert isinstance(request, NodeRequest)
    assert (request.relative_priority, request.declined_by) == (0, ())
    assert json.loads(codec.encode_request(request))["relative_priority"] == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the record is empty"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"\xff", "not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "it has no state"),
        (b'{"state": "winning"}', "unknown state 'winning'"),
        (b'{"state": ["requested"]}', "unknown state ['requested']"),
        (b'{"state": "requested", "node_types": 5}', "node_types: expected a list of strings, found 5"),
        (b'{"state": "requested", "relative_priority": "x"}', "relative_priority: expected a number, found 'x'"),
        (b'{"state": "requested", "state_time": NaN}', "state_time: expected a number, found nan"),
        (b'{"state": "requested", "reuse": "no"}', "reuse: expected true or false, found 'no'"),
        (b'{"state": "requested", "provider": {}}', "provider: expected a string, found {}"),
    ],
)
def test_a_bad_request_is_damaged_with_its_reason(body, reason):
    assert codec.decode_request(REQUEST, body) == Damaged(f"/nodepool/requests/{REQUEST}", reason)


def test_empty_nodes_builds_and_uploads_are_ghosts():
    assert codec.decode_node(NODE, b"") == Ghost(f"/nodepool/nodes/{NODE}")
    assert isinstance(codec.decode_build(*AT_BUILD, b""), Ghost)
    assert isinstance(codec.decode_upload(*AT_UPLOAD, b""), Ghost)


@pytest.mark.parametrize(("word", "kind"), [("uploading", "build"), ("building", "upload")])
def test_a_build_is_never_uploading_and_an_upload_never_building(word, kind):
    body = json.dumps({"state": word}).encode()
    read = codec.decode_build(*AT_BUILD, body) if kind == "build" else codec.decode_upload(*AT_UPLOAD, body)
    assert isinstance(read, Damaged)


def test_a_build_has_its_formats_as_one_string_and_omits_what_is_not_known():
    build = Build(image=AT_BUILD[0], id=AT_BUILD[1], state=ImageState.READY, state_time=1, formats=("qcow2", "raw"))
    assert json.loads(codec.encode_build(build))["formats"] == "qcow2,raw"
    young = Build(image=AT_BUILD[0], id=AT_BUILD[1], state=ImageState.BUILDING, state_time=1)
    assert sorted(json.loads(codec.encode_build(young))) == [
        "python_path",
        "shell_type",
        "state",
        "state_time",
        "username",
    ]


def test_absent_keys_of_a_build_have_the_contracts_defaults():
    build = codec.decode_build(*AT_BUILD, b'{"state": "ready", "state_time": 5}')
    assert isinstance(build, Build)
    assert (build.username, build.python_path, build.formats) == ("zuul", "/usr/bin/python2", ())


def test_a_pool_is_written_sorted_and_read_back():
    written = (
        b'{"hostname": "h", "id": "h-1", "kind": "pool", "model_api": 0, "name": "main", "paused": true, '
        b'"priority": 50, "provider_name": "cloud-a", "software": "nodepool_ng", "state": "running", '
        b'"supported_labels": ["a", "b"], "version": "1"}'
    )
    pool = codec.decode_component("pool", "h0000000000", written)
    assert isinstance(pool, Component)
    assert (pool.priority, pool.paused, pool.software) == (50, True, "nodepool_ng")
    assert codec.encode_component(pool) == written


def test_a_builder_has_nothing_of_a_pool():
    builder = Component(key="", kind="builder", hostname="h", state="running", version="1")
    assert json.loads(codec.encode_component(builder)) == {
        "hostname": "h",
        "kind": "builder",
        "model_api": 0,
        "state": "running",
        "version": "1",
    }


def test_a_higher_data_model_of_a_component_is_kept():
    read = codec.decode_component("launcher", "h0", b'{"kind": "launcher", "state": "running", "model_api": 3}')
    assert isinstance(read, Component)
    assert json.loads(codec.encode_component(read))["model_api"] == 3


def test_the_installation_is_its_plain_id():
    assert codec.decode_installation(codec.encode_installation(InstallationId("abc"))) == "abc"
    assert isinstance(codec.decode_installation(b""), Damaged)


def test_our_own_keys_are_written_only_when_set():
    plain = Node(id=NODE, state=NodeState.INIT, state_time=1)
    assert b"attempt" not in codec.encode_node(plain)
    ours = codec.decode_node(NODE, b'{"state": "init", "attempt_id": "a1", "attempts": 2}')
    assert isinstance(ours, Node)
    assert (ours.attempt, ours.attempts) == ("a1", 2)
    assert b'"attempt_id": "a1", "attempts": 2' in codec.encode_node(ours)


def test_a_number_too_large_for_a_float_is_no_reason_to_raise():
    read = codec.decode_node(NODE, b'{"state": "ready", "state_time": 1e999}')
    assert isinstance(read, Damaged)
    assert math.isinf(float("1e999"))
