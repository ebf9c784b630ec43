"""What the lists show: a record for each row, and the columns of each list.

Titles, order and number of the columns are an interface, as are keys and types of the values (they are those of the
web application). New columns go to the end of a list of their own.
"""

from dataclasses import dataclass
from enum import StrEnum

from nodepool_ng.listing.table import Column, age
from nodepool_ng.model.ids import BuildId, ImageName, Json, NodeId, Timestamp, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest

REDACTED = "redacted"


@dataclass(frozen=True, slots=True)
class NodeRow:
    node: Node
    locked: bool
    now: Timestamp


@dataclass(frozen=True, slots=True)
class UploadRow:
    upload: Upload
    now: Timestamp


@dataclass(frozen=True, slots=True)
class BuildRow:
    build: Build
    paused: bool
    now: Timestamp


class BuildRequest(StrEnum):
    """How far a build that somebody asked for by hand has come."""

    PENDING = "pending"
    BUILDING = "building"


@dataclass(frozen=True, slots=True)
class ImageRow:
    name: ImageName
    paused: bool
    request: BuildRequest | None
    requested: Timestamp | None
    now: Timestamp


@dataclass(frozen=True, slots=True)
class UploadsOfBuild:
    """What one provider has of one build."""

    image: ImageName
    build: BuildId
    uploads: tuple[UploadId, ...]


@dataclass(frozen=True, slots=True)
class ServerOfNode:
    node: NodeId
    server: Json


def port(value: Json) -> int | str:
    """Return the port where it is one. For some kinds of nodes the field holds credentials: nothing else is shown."""
    match value:
        case bool():
            return REDACTED
        case int():
            return value
        case str() if value.isascii() and value.isdigit():
            return int(value)
        case _:
            return REDACTED


NODES: tuple[Column[NodeRow], ...] = (
    Column("ID", "id", lambda row: row.node.id),
    Column("Provider", "provider", lambda row: row.node.provider),
    Column("Label", "label", lambda row: row.node.labels),
    Column("Server ID", "server_id", lambda row: row.node.external_id),
    Column("Public IPv4", "public_ipv4", lambda row: row.node.public_ipv4),
    Column("IPv6", "ipv6", lambda row: row.node.public_ipv6),
    Column("State", "state", lambda row: row.node.state),
    Column("Age", "age", lambda row: age(row.node.state_time, row.now)),
    Column("Locked", "locked", lambda row: "locked" if row.locked else "unlocked"),
)

NODE_DETAILS: tuple[Column[NodeRow], ...] = (
    *NODES,
    Column("Pool", "pool", lambda row: row.node.pool),
    Column("Hostname", "hostname", lambda row: row.node.hostname),
    Column("Private IPv4", "private_ipv4", lambda row: row.node.private_ipv4),
    Column("AZ", "AZ", lambda row: row.node.az),
    Column("Username", "username", lambda row: row.node.username),
    Column("Port", "connection_port", lambda row: port(row.node.connection_port)),
    Column("Launcher", "launcher", lambda row: row.node.launcher),
    Column("Allocated To", "allocated_to", lambda row: row.node.allocated_to),
    Column("Hold Job", "hold_job", lambda row: row.node.hold_job),
    Column("Comment", "comment", lambda row: row.node.comment),
    Column("User Data", "user_data", lambda row: row.node.user_data),
    Column("Driver Data", "driver_data", lambda row: row.node.driver_data),
)

REQUESTS: tuple[Column[NodeRequest], ...] = (
    Column("Request ID", "id", lambda row: row.id),
    Column("Priority", "relative_priority", lambda row: row.relative_priority),
    Column("State", "state", lambda row: row.state),
    Column("Requestor", "requestor", lambda row: row.requestor),
    Column("Node Types", "node_types", lambda row: row.labels),
    Column("Nodes", "nodes", lambda row: row.nodes),
    Column("Declined By", "declined_by", lambda row: row.declined_by),
    Column("Event ID", "event_id", lambda row: row.event_id),
)

UPLOADS: tuple[Column[UploadRow], ...] = (
    Column("Build ID", "id", lambda row: row.upload.build),
    Column("Upload ID", "upload_id", lambda row: row.upload.id),
    Column("Provider", "provider", lambda row: row.upload.provider),
    Column("Image", "image", lambda row: row.upload.image),
    Column("Provider Image Name", "external_name", lambda row: row.upload.external_name),
    Column("Provider Image ID", "external_id", lambda row: row.upload.external_id),
    Column("State", "state", lambda row: row.upload.state),
    Column("Age", "age", lambda row: int(row.upload.state_time), lambda row: age(row.upload.state_time, row.now)),
)

BUILDS: tuple[Column[BuildRow], ...] = (
    Column("ID", "id", lambda row: f"{row.build.image}-{row.build.id}"),
    Column("Image", "image", lambda row: row.build.image),
    Column("Builder", "builder", lambda row: row.build.builder),
    Column("Formats", "formats", lambda row: row.build.formats),
    Column("State", "state", lambda row: "paused" if row.paused else row.build.state),
    Column("Age", "age", lambda row: int(row.build.state_time), lambda row: age(row.build.state_time, row.now)),
)

IMAGES: tuple[Column[ImageRow], ...] = (
    Column("Image", "image", lambda row: row.name),
    Column("Paused", "paused", lambda row: row.paused),
    Column("Build Request", "build_request", lambda row: row.request),
    Column(
        "Build Request Age",
        "build_request_age",
        lambda row: None if row.requested is None else int(row.requested),
        lambda row: None if row.requested is None else age(row.requested, row.now),
    ),
)

UPLOADS_OF_PROVIDER: tuple[Column[UploadsOfBuild], ...] = (
    Column("Image Name", "image", lambda row: row.image),
    Column("Build ID", "build_id", lambda row: row.build),
    Column("Upload IDs", "upload_ids", lambda row: row.uploads),
)

SERVERS_OF_PROVIDER: tuple[Column[ServerOfNode], ...] = (
    Column("ID", "id", lambda row: row.node),
    Column("Server ID", "server_id", lambda row: row.server, lambda row: str(row.server)),  # None, too, as ever
)
