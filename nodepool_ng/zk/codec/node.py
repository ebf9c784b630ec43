"""The record of a node, as bytes and as `model.Node`."""

from nodepool_ng.model.ids import AttemptId, LabelName, NodeId, PoolId, PoolName, ProviderName, RequestId, TenantName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.zk.codec.fields import (
    Record,
    amounts,
    by_word,
    dump,
    name,
    number,
    number_or_none,
    others,
    state,
    text,
    texts,
    whole,
    whole_or_none,
)

_STATES = by_word(NodeState)
_DEFAULT_PORT = 22

KEYS = frozenset(
    [
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
        "attempt_id",
        "attempts",
    ]
)


def from_record(id: NodeId, record: Record) -> Node:
    """Return the node; raise `BadField`."""
    resources = amounts(record, "resources")
    return Node(
        id=id,
        state=state(record, _STATES),
        state_time=number(record, "state_time"),
        provider=name(record, "provider", ProviderName),
        pool=name(record, "pool", PoolName),
        labels=tuple(map(LabelName, texts(record, "type"))),
        allocated_to=name(record, "allocated_to", RequestId),
        launcher=name(record, "launcher", PoolId),
        created_time=number_or_none(record, "created_time"),
        external_id=record.get("external_id"),
        cloud=text(record, "cloud"),
        region=text(record, "region"),
        az=text(record, "az"),
        public_ipv4=text(record, "public_ipv4"),
        private_ipv4=text(record, "private_ipv4"),
        public_ipv6=text(record, "public_ipv6"),
        interface_ip=text(record, "interface_ip"),
        host_id=text(record, "host_id"),
        hostname=text(record, "hostname"),
        connection_type=text(record, "connection_type"),
        connection_port=record.get("connection_port", record.get("ssh_port", _DEFAULT_PORT)),
        username=text(record, "username", "zuul"),
        python_path=text(record, "python_path"),
        shell_type=text(record, "shell_type"),
        host_keys=texts(record, "host_keys"),
        image_id=text(record, "image_id"),
        comment=text(record, "comment"),
        hold_job=text(record, "hold_job"),
        hold_expiration=record.get("hold_expiration"),
        user_data=record.get("user_data"),
        resources=None if resources is None else Resources(resources),
        slot=whole_or_none(record, "slot"),
        attributes=record.get("attributes"),
        tenant_name=name(record, "tenant_name", TenantName),
        requestor=text(record, "requestor"),
        driver_data=record.get("driver_data"),
        node_properties=record.get("node_properties"),
        attempt=name(record, "attempt_id", AttemptId),
        attempts=whole(record, "attempts"),
        extra=others(record, KEYS),
    )


def encode_node(node: Node) -> bytes:
    """Return all the keys that Nodepool 11 writes, ours where they are set, and those that we do not know."""
    record: dict[str, object] = {
        **node.extra,
        "state": node.state,
        "state_time": node.state_time,
        "cloud": node.cloud,
        "region": node.region,
        "az": node.az,
        "provider": node.provider,
        "pool": node.pool,
        "type": node.labels,
        "allocated_to": node.allocated_to,
        "public_ipv4": node.public_ipv4,
        "private_ipv4": node.private_ipv4,
        "public_ipv6": node.public_ipv6,
        "host_id": node.host_id,
        "interface_ip": node.interface_ip,
        "hostname": node.hostname,
        "connection_type": node.connection_type,
        "connection_port": node.connection_port,
        "ssh_port": node.connection_port,
        "username": node.username,
        "python_path": node.python_path,
        "shell_type": node.shell_type,
        "host_keys": node.host_keys,
        "image_id": node.image_id,
        "launcher": node.launcher,
        "created_time": node.created_time,
        "external_id": node.external_id,
        "comment": node.comment,
        "hold_job": node.hold_job,
        "hold_expiration": node.hold_expiration,
        "user_data": node.user_data,
        "resources": None if node.resources is None else dict(node.resources.amounts),
        "slot": node.slot,
        "attributes": node.attributes,
        "tenant_name": node.tenant_name,
        "requestor": node.requestor,
        "driver_data": node.driver_data,
        "node_properties": node.node_properties,
    }
    if node.attempt is not None:
        record["attempt_id"] = node.attempt
    if node.attempts:
        record["attempts"] = node.attempts
    return dump(record)
