"""The typed content of the mirror: what was read or heard goes in, changes come out. No verbs, no order of events.

A record is replaced only by one with a higher mzxid. A damaged record is in `damaged` and nowhere else: whoever
decides that something has *no* record must look there, too.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from nodepool_ng.model.component import Component
from nodepool_ng.model.cordon import Cordon, CordonKey
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.ids import ImageName, InstallationId, NodeId, ProviderName, RequestId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.changes import (
    BuildChange,
    Change,
    ComponentChange,
    Contenders,
    DamageChange,
    Entry,
    FlagChange,
    GhostChange,
    InstallationChange,
    LockChange,
    NodeChange,
    OrderChange,
    RequestChange,
    UploadChange,
)
from nodepool_ng.zk.codec import Damaged, Ghost, Record
from nodepool_ng.zk.locks import in_order
from nodepool_ng.zk.paths import (
    BuildAt,
    BuildRequestedAt,
    CancelAt,
    ComponentAt,
    ConfirmedAt,
    ContenderAt,
    CordonAt,
    FreezeAt,
    ImageAt,
    InstallationAt,
    Lockable,
    LockAt,
    NodeAt,
    PausedAt,
    Place,
    RecordAt,
    RequestAt,
    UploadAt,
)

Decode: TypeAlias = Callable[[str, RecordAt, bytes], Record | Ghost | Damaged]
"""How records are read; a simulation remembers what it has read before."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Picture:
    """Everything below `/nodepool`, by name. The dictionaries are for reading; only the mirror changes them."""

    def __init__(self, decode: Decode = codec.decode) -> None:
        self._decode = decode
        self.nodes: dict[NodeId, Entry[Node]] = {}
        self.requests: dict[RequestId, Entry[NodeRequest]] = {}
        self.builds: dict[BuildAt, Entry[Build]] = {}
        self.uploads: dict[UploadAt, Entry[Upload]] = {}
        self.components: dict[ComponentAt, Entry[Component]] = {}
        self.images: set[ImageName] = set()
        self.paused: set[ImageName] = set()
        self.build_requests: set[ImageName] = set()
        self.installation: InstallationId | None = None
        self.freezes: dict[str, Freeze] = {}
        self.cordons: dict[CordonKey, Cordon] = {}
        """By provider, or `paths.ALL`."""
        self.confirmed: set[ProviderName] = set()
        self.cancels: set[str] = set()
        """Builds and uploads that an operator wants to end."""
        self.node_contenders: dict[NodeId, Contenders] = {}
        """A key for every lock directory of a node that exists, with or without a record."""
        self.request_contenders: dict[RequestId, Contenders] = {}
        """A key for every directory in `requests-lock`; they outlive their requests."""
        self.locks: dict[Lockable, Contenders] = {}
        """The other locks: builds, uploads, leases."""
        self.damaged: dict[str, Damaged] = {}
        self.ghosts: set[str] = set()
        self.known: dict[str, Place] = {}
        """Every path that exists, contenders excepted."""
        self._mzxids: dict[str, int] = {}

    def contenders(self, of: Lockable) -> Contenders | None:
        """Return who wants or owns a lock, the owner first; None where there is no lock directory."""
        match of:
            case NodeAt(id):
                return self.node_contenders.get(id)
            case RequestAt(id):
                return self.request_contenders.get(id)
            case _:
                return self.locks.get(of)

    def appeared(self, path: str, at: Place) -> list[Change]:
        """A path is there. Of records nothing is known by that."""
        if isinstance(at, ContenderAt):
            there = self.contenders(at.of) or ()
            return [] if at.name in there else self._lock(at.of, in_order((*there, at.name)))
        self.known[path] = at
        match at:
            case ImageAt(name):
                self.images.add(name)
            case PausedAt(name) if name not in self.paused:
                self.paused.add(name)
                return [FlagChange(at, True)]
            case BuildRequestedAt(name) if name not in self.build_requests:
                self.build_requests.add(name)
                return [FlagChange(at, True)]
            case CancelAt(what) if what not in self.cancels:
                self.cancels.add(what)
                return [FlagChange(at, True)]
            case ConfirmedAt(provider) if provider not in self.confirmed:
                self.confirmed.add(provider)
                return [OrderChange(at)]
            case LockAt(of) if self.contenders(of) is None:
                return self._lock(of, ())
        return []

    def queued(self, of: Lockable, names: tuple[str, ...]) -> list[Change]:
        """A lock directory was listed."""
        return self._lock(of, in_order(names))

    def read(
        self, path: str, at: RecordAt, data: bytes, version: int, mzxid: int, record: Record | None = None
    ) -> list[Change]:
        """A record was read, or written by whoever knows what `data` says; nothing happens when a newer one is
        known."""
        if mzxid <= self._mzxids.get(path, -1):
            return []
        self.known[path] = at
        self._mzxids[path] = mzxid
        found = self._decode(path, at, data) if record is None else record
        match found:
            case Damaged():
                return self._remove(path, at) + self._damage(path, found) + self._haunt(path, False)
            case Ghost():
                return self._remove(path, at) + self._damage(path, None) + self._haunt(path, True)
            case _:
                return self._damage(path, None) + self._haunt(path, False) + self._put(at, found, version, mzxid)

    def unreadable(self, path: str, reason: str) -> list[Change]:
        """ZooKeeper refused to show what is at a path."""
        return self._damage(path, Damaged(path, reason))

    def vanished(self, path: str, at: Place) -> list[Change]:
        """A path is no more."""
        if isinstance(at, ContenderAt):
            there = self.contenders(at.of)
            if there is None or at.name not in there:
                return []
            return self._lock(at.of, tuple(name for name in there if name != at.name))
        self.known.pop(path, None)
        match at:
            case ImageAt(name):
                self.images.discard(name)
            case PausedAt(name) if name in self.paused:
                self.paused.discard(name)
                return [FlagChange(at, False)]
            case BuildRequestedAt(name) if name in self.build_requests:
                self.build_requests.discard(name)
                return [FlagChange(at, False)]
            case CancelAt(what) if what in self.cancels:
                self.cancels.discard(what)
                return [FlagChange(at, False)]
            case ConfirmedAt(provider) if provider in self.confirmed:
                self.confirmed.discard(provider)
                return [OrderChange(at)]
            case LockAt(of) if self.contenders(of) is not None:
                return self._lock(of, None)
            case (
                NodeAt()
                | RequestAt()
                | BuildAt()
                | UploadAt()
                | ComponentAt()
                | InstallationAt()
                | FreezeAt()
                | CordonAt()
            ):
                self._mzxids.pop(path, None)
                return self._remove(path, at) + self._damage(path, None) + self._haunt(path, False)
        return []

    def _put(self, at: RecordAt, record: Record, version: int, mzxid: int) -> list[Change]:
        match at, record:
            case NodeAt(id), Node():
                node = Entry(record, version, mzxid, self.node_contenders.get(id, ()))
                node_before, self.nodes[id] = self.nodes.get(id), node
                return [NodeChange(id, node_before, node)]
            case RequestAt(id), NodeRequest():
                request = Entry(record, version, mzxid, self.request_contenders.get(id, ()))
                request_before, self.requests[id] = self.requests.get(id), request
                return [RequestChange(id, request_before, request)]
            case BuildAt(), Build():
                build = Entry(record, version, mzxid)
                build_before, self.builds[at] = self.builds.get(at), build
                return [BuildChange(at, build_before, build)]
            case UploadAt(), Upload():
                upload = Entry(record, version, mzxid)
                upload_before, self.uploads[at] = self.uploads.get(at), upload
                return [UploadChange(at, upload_before, upload)]
            case ComponentAt(), Component():
                component = Entry(record, version, mzxid)
                component_before, self.components[at] = self.components.get(at), component
                return [ComponentChange(at, component_before, component)]
            case FreezeAt(provider), Freeze():
                self.freezes[provider] = record
                return [OrderChange(at)]
            case CordonAt(kind, name), Cordon():
                self.cordons[kind, name] = record
                return [OrderChange(at)]
            case InstallationAt(), str():
                self.installation = record
                return [InstallationChange(record)]
        raise TypeError(f"{record} is no record of {at}")

    def _remove(self, path: str, at: RecordAt) -> list[Change]:
        match at:
            case NodeAt(id) if node := self.nodes.pop(id, None):
                return [NodeChange(id, node, None)]
            case RequestAt(id) if request := self.requests.pop(id, None):
                return [RequestChange(id, request, None)]
            case BuildAt() if build := self.builds.pop(at, None):
                return [BuildChange(at, build, None)]
            case UploadAt() if upload := self.uploads.pop(at, None):
                return [UploadChange(at, upload, None)]
            case ComponentAt() if component := self.components.pop(at, None):
                return [ComponentChange(at, component, None)]
            case FreezeAt(provider) if self.freezes.pop(provider, None) is not None:
                return [OrderChange(at)]
            case CordonAt(kind, name) if self.cordons.pop((kind, name), None) is not None:
                return [OrderChange(at)]
            case InstallationAt() if self.installation is not None:
                self.installation = None
                return [InstallationChange(None)]
        return []

    def _lock(self, of: Lockable, after: Contenders | None) -> list[Change]:
        before = self.contenders(of)
        if before == after:
            return []
        changes: list[Change] = [LockChange(of, before, after)]
        match of:
            case NodeAt(id):
                _keep(self.node_contenders, id, after)
                if (node := self.nodes.get(id)) and node.contenders != (after or ()):
                    self.nodes[id] = Entry(node.record, node.version, node.mzxid, after or ())
                    changes.append(NodeChange(id, node, self.nodes[id]))
            case RequestAt(id):
                _keep(self.request_contenders, id, after)
                if (request := self.requests.get(id)) and request.contenders != (after or ()):
                    self.requests[id] = Entry(request.record, request.version, request.mzxid, after or ())
                    changes.append(RequestChange(id, request, self.requests[id]))
            case _:
                _keep(self.locks, of, after)
        if after is not None:
            self.known[paths.lock_of(of)] = LockAt(of)
        return changes

    def _damage(self, path: str, after: Damaged | None) -> list[Change]:
        before = self.damaged.get(path)
        _keep(self.damaged, path, after)
        return [] if before == after else [DamageChange(path, before, after)]

    def _haunt(self, path: str, there: bool) -> list[Change]:
        if there == (path in self.ghosts):
            return []
        (self.ghosts.add if there else self.ghosts.discard)(path)
        return [GhostChange(path, there)]


def _keep(where: dict[_K, _V], key: _K, value: _V | None) -> None:
    """Store a value, or forget the key when there is none."""
    if value is None:
        where.pop(key, None)
    else:
        where[key] = value
