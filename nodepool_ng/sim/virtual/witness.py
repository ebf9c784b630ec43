"""A tree that shows every transaction, with what it changed, to somebody who judges it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nodepool_ng.model.ids import NodeId, RequestId, Timestamp
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.codec import Record
from nodepool_ng.zk.locks import in_order
from nodepool_ng.zk.paths import RecordAt
from nodepool_ng.zk.store import Check, Committed, Create, Delete, Failure, Op, Set
from nodepool_ng.zk.tree import Schedule, SessionId, Tree

NODE_PREFIX = f"{paths.NODES}/"
IMAGE_PREFIX = f"{paths.IMAGES}/"
REQUEST_PREFIX = f"{paths.REQUESTS}/"
POOL_PREFIX = f"{paths.components('pool')}/"
MEMORY = 1 << 14
"""Records that are remembered, of all histories together."""


class Reading:
    """Reads records, each one once: in a simulation many read the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Record | codec.Ghost | codec.Damaged] = {}

    def __call__(self, path: str, at: RecordAt, data: bytes) -> Record | codec.Ghost | codec.Damaged:
        key = (path, data)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            found = self._known[key] = codec.decode(path, at, data)
        return found


reading = Reading()


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction did to one record, and who had its lock before."""

    path: str
    id: str
    before: bytes | None
    after: bytes | None
    holder: SessionId
    locked_here: bool
    """The transaction itself takes the lock, or shows that nobody has it."""
    fenced: bool
    """The transaction fails when the writer's contender is gone, or somebody else's is there."""


@dataclass(frozen=True, slots=True)
class Deed:
    """A transaction that was carried out."""

    at: Timestamp
    session: SessionId
    ops: tuple[Op, ...]
    nodes: tuple[Written, ...]
    requests: tuple[Written, ...]
    images: tuple[Written, ...]
    """Builds and uploads."""


class WitnessedTree(Tree):
    """A `Tree`; `judge` is called after every transaction that was carried out, `ended` after every session."""

    def __init__(self, schedule: Schedule, now: Callable[[], Timestamp]) -> None:
        super().__init__(schedule, now)
        self.judge: Callable[[Deed], None] = _nobody
        self.ended: Callable[[SessionId], None] = _nobody_either
        self._at = now

    def commit(self, ops: Sequence[Op], session: SessionId) -> Committed | Failure:
        before: dict[str, tuple[bytes | None, SessionId]] = {}
        for op in ops:
            if isinstance(op, Set | Delete) and _is_record(op.path):
                before[op.path] = (self._data(op.path), self.holder(lock_of(op.path)))
        answer = super().commit(ops, session)
        if isinstance(answer, Committed):
            self.judge(self._deed(tuple(ops), answer, session, before))
        return answer

    def end_session(self, session: SessionId) -> None:
        super().end_session(session)
        self.ended(session)

    def holder(self, directory: str) -> SessionId:
        """Return the session that holds a lock; 0 where nobody does, or a contender without a session."""
        znode = self.look(directory)
        first = next(iter(in_order(znode.children)), None) if znode is not None and znode.children else None
        contender = self.look(f"{directory}/{first}") if first else None
        return contender.owner if contender else 0

    def contenders(self, directory: str) -> tuple[str, ...]:
        znode = self.look(directory)
        return in_order(znode.children) if znode is not None else ()

    def below(self, path: str) -> list[str]:
        """Return every path below one, parents first."""
        found = []
        for name in self._names(path):
            found.append(f"{path}/{name}")
            found += self.below(f"{path}/{name}")
        return found

    def node(self, node: NodeId) -> Node | None:
        """Return the record of a node, if there is a usable one."""
        found = self._record(paths.node(node), paths.NodeAt(node))
        return found if isinstance(found, Node) else None

    def request(self, request: RequestId) -> NodeRequest | None:
        found = self._record(paths.request(request), paths.RequestAt(request))
        return found if isinstance(found, NodeRequest) else None

    def nodes(self) -> dict[NodeId, Node]:
        """Return the records of all nodes."""
        names = map(NodeId, self._names(paths.NODES))
        return {name: node for name in names if (node := self.node(name)) is not None}

    def requests(self) -> dict[RequestId, NodeRequest]:
        names = map(RequestId, self._names(paths.REQUESTS))
        return {name: request for name in names if (request := self.request(name)) is not None}

    def _names(self, path: str) -> tuple[str, ...]:
        znode = self.look(path)
        return tuple(znode.children) if znode is not None else ()

    def _record(self, path: str, at: RecordAt) -> Record | codec.Ghost | codec.Damaged | None:
        data = self._data(path)
        return None if data is None else reading(path, at, data)

    def _data(self, path: str) -> bytes | None:
        znode = self.look(path)
        return None if znode is None else znode.data

    def _deed(
        self,
        ops: tuple[Op, ...],
        answer: Committed,
        session: SessionId,
        before: dict[str, tuple[bytes | None, SessionId]],
    ) -> Deed:
        nodes: list[Written] = []
        requests: list[Written] = []
        images: list[Written] = []
        for op, result in zip(ops, answer.results, strict=True):
            path = result if isinstance(op, Create) and isinstance(result, str) else op.path
            if isinstance(op, Check) or not _is_record(path):
                continue
            data, holder = before.get(path, (None, 0))
            after = None if isinstance(op, Delete) else op.data
            lock = lock_of(path)
            mine = [each for each in ops if each.path.startswith(f"{lock}/")]
            # A lock directory that is made has no children, and one that has some cannot be removed before.
            vacant = any(isinstance(each, Create) and each.path == lock for each in ops)
            written = Written(
                path,
                path.rpartition("/")[2],
                data,
                after,
                holder,
                locked_here=vacant or any(isinstance(each, Create) for each in mine),
                fenced=vacant or bool(mine),
            )
            if path.startswith(IMAGE_PREFIX):
                images.append(written)
            else:
                (nodes if path.startswith(NODE_PREFIX) else requests).append(written)
        return Deed(self._at(), session, ops, tuple(nodes), tuple(requests), tuple(images))


def lock_of(record: str) -> str:
    """Return the lock directory of a node's or request's record."""
    if record.startswith((NODE_PREFIX, IMAGE_PREFIX)):
        return f"{record}/lock"
    return f"{paths.REQUEST_LOCKS}/{record.rpartition('/')[2]}"


def _is_record(path: str) -> bool:
    if path.startswith(NODE_PREFIX):
        return path.find("/", len(NODE_PREFIX)) < 0
    if path.startswith(IMAGE_PREFIX):
        return isinstance(paths.record_at(path), paths.BuildAt | paths.UploadAt)
    return path.startswith(REQUEST_PREFIX)


def _nobody(deed: Deed) -> None:
    """Judges nothing."""


def _nobody_either(session: SessionId) -> None:
    """Hears of no session."""
