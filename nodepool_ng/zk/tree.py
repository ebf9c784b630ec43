"""The znodes and sessions of the simulation's ZooKeeper: what all servers of an ensemble agree on.

Nothing here takes time or knows connections; `memory.MemoryStore` is the client's side of it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.zk.store import (
    Changed,
    Check,
    Committed,
    Create,
    Delete,
    Failure,
    Got,
    Kind,
    Names,
    Op,
    Problem,
    Set,
    Stat,
)

Schedule: TypeAlias = Callable[[Seconds, Callable[[], None]], None]
"""Calls something back after so many (virtual) seconds."""
SessionId: TypeAlias = int


class Eager:
    """A schedule without delays: what is scheduled is carried out at once, in order, before the call returns.

    For callers that block until they have an answer, such as `blocking.call`.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._busy = False

    def __call__(self, delay: Seconds, callback: Callable[[], None]) -> None:
        self._queue.append(callback)
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._queue.popleft()()
        finally:
            self._busy = False


def _time_stands_still() -> Timestamp:
    return 0.0


@dataclass(slots=True)
class Znode:
    data: bytes
    czxid: int
    mzxid: int
    ctime: Timestamp
    mtime: Timestamp
    owner: SessionId = 0
    version: int = 0
    made: int = 0
    """How many children were ever created here, sequential or not: the next sequence number."""
    children: dict[str, None] = field(default_factory=dict)

    @property
    def stat(self) -> Stat:
        return Stat(self.version, self.czxid, self.mzxid, self.ctime, self.mtime, self.owner, len(self.children))


class _Refused(Exception):
    def __init__(self, problem: Problem, path: str, detail: str = "") -> None:
        self.problem = problem
        self.path = path
        self.detail = detail


class Tree:
    """The znodes, the sessions, and who listens. All verbs are atomic."""

    def __init__(self, schedule: Schedule | None = None, now: Callable[[], Timestamp] = _time_stands_still) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._now = now
        self.schedule: Schedule = schedule or self._enqueue
        self.zxid = 0
        self._znodes = {"/": Znode(b"", 0, 0, 0, 0)}
        self._owned: dict[SessionId, dict[str, None]] = {}
        self._listeners: list[Callable[[Changed], None]] = []
        self._sessions = 0

    def run(self) -> None:
        """Carry out everything that is queued, and what that queues, until nothing is left."""
        while self._queue:
            self._queue.popleft()()

    def paths(self) -> tuple[str, ...]:
        """Return every path that exists, sorted, without the root."""
        return tuple(sorted(path for path in self._znodes if path != "/"))

    def look(self, path: str) -> Znode | None:
        """Return a znode for a test's eyes."""
        return self._znodes.get(path)

    def open_session(self) -> SessionId:
        self._sessions += 1
        self.zxid += 1
        self._owned[self._sessions] = {}
        return self._sessions

    def alive(self, session: SessionId) -> bool:
        return session in self._owned

    def end_session(self, session: SessionId) -> None:
        """Close or expire a session: its ephemeral znodes go, children before parents."""
        owned = self._owned.pop(session, {})
        self.zxid += 1
        for path in sorted(owned, reverse=True):
            if path in self._znodes:
                self._drop(path)
                self._tell([Changed(path, Kind.DELETED)])

    def listen(self, listener: Callable[[Changed], None]) -> None:
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[Changed], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def get(self, path: str) -> Got | Failure:
        znode = self._znodes.get(path)
        return Failure(Problem.NO_NODE, path) if znode is None else Got(znode.data, znode.stat)

    def children(self, path: str) -> Names | Failure:
        znode = self._znodes.get(path)
        return Failure(Problem.NO_NODE, path) if znode is None else Names(tuple(sorted(znode.children)))

    def commit(self, ops: Sequence[Op], session: SessionId) -> Committed | Failure:
        """Carry out all of the operations or none."""
        if not ops:
            return Committed(())
        undo: list[Callable[[], None]] = []
        events: list[Changed] = []
        results: list[str | Stat | None] = []
        self.zxid += 1
        for index, op in enumerate(ops):
            try:
                results.append(self._apply(op, session, undo, events))
            except _Refused as refused:
                for step in reversed(undo):
                    step()
                return Failure(refused.problem, refused.path, index, refused.detail)
        self._tell(events)
        return Committed(tuple(results), self.zxid)

    def _apply(
        self, op: Op, session: SessionId, undo: list[Callable[[], None]], events: list[Changed]
    ) -> str | Stat | None:
        match op:
            case Create():
                path = self._create(op, session, undo)
                events.append(Changed(path, Kind.CREATED))
                return path
            case Set(path, data, version):
                znode = self._existing(path, version)
                undo.append(_restore(znode))
                znode.data, znode.version = data, znode.version + 1
                znode.mzxid, znode.mtime = self.zxid, self._now()
                events.append(Changed(path, Kind.CHANGED))
                return znode.stat
            case Delete(path, version):
                znode = self._existing(path, version)
                if znode.children:
                    raise _Refused(Problem.NOT_EMPTY, path)
                if path == "/":
                    raise _Refused(Problem.OTHER, path, "the root cannot be deleted")
                self._drop(path)
                undo.append(lambda: self._put(path, znode))
                events.append(Changed(path, Kind.DELETED))
            case Check(path, version):
                self._existing(path, version)
        return None

    def _create(self, op: Create, session: SessionId, undo: list[Callable[[], None]]) -> str:
        above, _, name = op.path.rpartition("/")
        parent = self._znodes.get(above or "/")
        if parent is None:
            raise _Refused(Problem.NO_NODE, op.path)
        if parent.owner:
            raise _Refused(Problem.OTHER, op.path, "an ephemeral znode cannot have children")
        if op.sequence:
            name = f"{name}{parent.made:010d}"
        path = f"{above}/{name}"
        if path in self._znodes:
            raise _Refused(Problem.NODE_EXISTS, op.path)
        made = parent.made
        now = self._now()
        self._put(path, Znode(op.data, self.zxid, self.zxid, now, now, session if op.ephemeral else 0))
        parent.made = made + 1

        def back() -> None:
            self._drop(path)
            parent.made = made

        undo.append(back)
        return path

    def _existing(self, path: str, version: int) -> Znode:
        znode = self._znodes.get(path)
        if znode is None:
            raise _Refused(Problem.NO_NODE, path)
        if version not in (-1, znode.version):
            raise _Refused(Problem.BAD_VERSION, path)
        return znode

    def _put(self, path: str, znode: Znode) -> None:
        above, _, name = path.rpartition("/")
        self._znodes[path] = znode
        self._znodes[above or "/"].children[name] = None
        if znode.owner:
            self._owned[znode.owner][path] = None

    def _drop(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        znode = self._znodes.pop(path)
        del self._znodes[above or "/"].children[name]
        if znode.owner in self._owned:
            self._owned[znode.owner].pop(path, None)

    def _tell(self, events: Sequence[Changed]) -> None:
        for event in events:
            for listener in tuple(self._listeners):
                listener(event)

    def _enqueue(self, delay: Seconds, callback: Callable[[], None]) -> None:
        self._queue.append(callback)


def _restore(znode: Znode) -> Callable[[], None]:
    data, version, mzxid, mtime = znode.data, znode.version, znode.mzxid, znode.mtime

    def back() -> None:
        znode.data, znode.version, znode.mzxid, znode.mtime = data, version, mzxid, mtime

    return back
