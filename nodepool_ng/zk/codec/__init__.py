"""Bytes to records and back, exactly as Zuul and Nodepool 11 write and read them.

Decoding never raises: a record that cannot be used is `Damaged`, with the reason, so that one bad record stops
nothing else. Keys that we do not know are kept in `extra` and written again. A znode of a node, a build or an upload
without any bytes is a `Ghost`: locking something that has just been removed recreates it empty.
"""

from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.model.component import Component
from nodepool_ng.model.cordon import Cordon
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.ids import BuildId, ImageName, InstallationId, NodeId, ProviderName, RequestId, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import component, cordon, freeze, image, node, request
from nodepool_ng.zk.codec.component import encode_component
from nodepool_ng.zk.codec.cordon import encode_cordon
from nodepool_ng.zk.codec.fields import BadField, load
from nodepool_ng.zk.codec.freeze import encode_freeze
from nodepool_ng.zk.codec.image import encode_build, encode_upload
from nodepool_ng.zk.codec.node import encode_node
from nodepool_ng.zk.codec.request import encode_request
from nodepool_ng.zk.paths import (
    BuildAt,
    ComponentAt,
    CordonAt,
    FreezeAt,
    InstallationAt,
    NodeAt,
    RecordAt,
    RequestAt,
    UploadAt,
)

__all__ = [
    "Damaged",
    "Ghost",
    "Record",
    "decode",
    "decode_build",
    "decode_component",
    "decode_installation",
    "decode_node",
    "decode_request",
    "decode_upload",
    "encode_build",
    "encode_component",
    "encode_cordon",
    "encode_freeze",
    "encode_installation",
    "encode_node",
    "encode_request",
    "encode_upload",
]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A record that nobody can use; whoever wrote it or an operator has to see to it."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Ghost:
    """A znode where a record should be, without any bytes: what a late lock made of something removed."""

    path: str


Record: TypeAlias = Node | NodeRequest | Build | Upload | Component | InstallationId | Freeze | Cordon

_MAY_BE_GHOSTS = (NodeAt, BuildAt, UploadAt)


def decode(path: str, at: RecordAt, data: bytes) -> Record | Ghost | Damaged:
    """Return what `data` says at `path`, of which `at` is the parsed form."""
    if not data and not isinstance(at, FreezeAt | CordonAt):
        return Ghost(path) if isinstance(at, _MAY_BE_GHOSTS) else Damaged(path, "the record is empty")
    try:
        match at:
            case NodeAt(id):
                return node.from_record(id, load(data))
            case RequestAt(id):
                return request.from_record(id, load(data))
            case BuildAt():
                return image.build_from_record(at, load(data))
            case UploadAt():
                return image.upload_from_record(at, load(data))
            case ComponentAt():
                return component.from_record(at, load(data))
            case FreezeAt():
                return freeze.from_record(load(data) if data.strip() else {})
            case CordonAt():
                return cordon.from_record(load(data) if data.strip() else {})
            case InstallationAt():
                return InstallationId(data.decode("ascii"))
    except (BadField, UnicodeDecodeError) as error:
        return Damaged(path, str(error))


def decode_node(id: NodeId, data: bytes) -> Node | Ghost | Damaged:
    found = decode(paths.node(id), NodeAt(id), data)
    assert isinstance(found, Node | Ghost | Damaged)
    return found


def decode_request(id: RequestId, data: bytes) -> NodeRequest | Damaged:
    found = decode(paths.request(id), RequestAt(id), data)
    assert isinstance(found, NodeRequest | Damaged)
    return found


def decode_build(name: ImageName, id: BuildId, data: bytes) -> Build | Ghost | Damaged:
    found = decode(paths.build(name, id), BuildAt(name, id), data)
    assert isinstance(found, Build | Ghost | Damaged)
    return found


def decode_upload(
    name: ImageName, build: BuildId, provider: ProviderName, id: UploadId, data: bytes
) -> Upload | Ghost | Damaged:
    found = decode(paths.upload(name, build, provider, id), UploadAt(name, build, provider, id), data)
    assert isinstance(found, Upload | Ghost | Damaged)
    return found


def decode_component(kind: str, key: str, data: bytes) -> Component | Damaged:
    found = decode(paths.component(kind, key), ComponentAt(kind, key), data)
    assert isinstance(found, Component | Damaged)
    return found


def decode_installation(data: bytes) -> InstallationId | Damaged:
    found = decode(paths.INSTALLATION, InstallationAt(), data)
    assert isinstance(found, str | Damaged)
    return found


def encode_installation(id: InstallationId) -> bytes:
    return id.encode("ascii")
