"""The first seam: a store in the image of ZooKeeper.

Two things have these verbs: `zk.client` (a real ZooKeeper) and `zk.memory` (the simulation's). Everything above,
locks and the mirror included, is written against the Protocol and runs on both.

All verbs are asynchronous: they are sent in the order given, all in one go, and one call to `done` brings the
answers. Errors are answers, not exceptions: a round of five verbs of which the third failed has five answers.
`done` may be called from any thread, or before `submit` returns; it must only put the answers somewhere.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from nodepool_ng.zk.codec import Record

SessionNumber: TypeAlias = int
"""Counts this client's sessions from 1; it grows with every new session, never with a mere reconnect."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The parts of a znode's stat that anybody here needs. Times are Unix seconds."""

    version: int
    czxid: int
    mzxid: int
    ctime: float
    mtime: float
    ephemeral_owner: int = 0
    children: int = 0


@dataclass(frozen=True, slots=True)
class Create:
    """Create a znode. With `sequence`, ZooKeeper appends ten digits to the path."""

    path: str
    data: bytes = b""
    ephemeral: bool = False
    sequence: bool = False
    record: Record | None = field(default=None, compare=False, repr=False)
    """What `data` says, where the writer has it at hand."""


@dataclass(frozen=True, slots=True)
class Set:
    path: str
    data: bytes
    version: int = -1
    record: Record | None = field(default=None, compare=False, repr=False)
    """What `data` says, where the writer has it at hand."""


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    version: int = -1


@dataclass(frozen=True, slots=True)
class Check:
    """Fails the transaction when the znode is not there, or (version >= 0) not at that version."""

    path: str
    version: int = -1


Op: TypeAlias = Create | Set | Delete | Check


@dataclass(frozen=True, slots=True)
class Get:
    path: str


@dataclass(frozen=True, slots=True)
class Children:
    path: str


@dataclass(frozen=True, slots=True)
class Commit:
    """All of the operations, or none. A single one is sent as itself."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Sync:
    """Brings this client's server up to the leader; what is read or heard afterwards is at least that new."""

    path: str = "/"


Verb: TypeAlias = Get | Children | Commit | Sync


@dataclass(frozen=True, slots=True)
class Got:
    data: bytes
    stat: Stat


@dataclass(frozen=True, slots=True)
class Names:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """Per operation, in order: the path made by a Create, the new Stat of a Set, None for the others.

    `zxid` is the transaction's: the mzxid of everything that it wrote.
    """

    results: tuple[str | Stat | None, ...]
    zxid: int = 0


@dataclass(frozen=True, slots=True)
class Synced:
    pass


class Problem(StrEnum):
    NO_NODE = "there is no such znode"
    NODE_EXISTS = "the znode exists already"
    BAD_VERSION = "the znode was changed meanwhile"
    NOT_EMPTY = "the znode has children"
    TOO_LARGE = "the record is too large"
    CONNECTION_LOST = "the connection was lost; nobody knows whether it was done"
    SESSION_LOST = "the session is over; locks and registrations are gone"
    TIMED_OUT = "no answer in time; nobody knows whether it was done"
    OTHER = "ZooKeeper refused"


UNKNOWN_OUTCOME = frozenset({Problem.CONNECTION_LOST, Problem.TIMED_OUT, Problem.SESSION_LOST})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a verb was not carried out; for a Commit, `index` tells which operation was the cause."""

    problem: Problem
    path: str = ""
    index: int = -1
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.path or 'ZooKeeper'}: {self.detail or self.problem.value}"


def path_of(verb: "Verb") -> str:
    """Return the path that a failure of the verb is about."""
    match verb:
        case Commit(ops):
            return ops[0].path if ops else ""
        case _:
            return verb.path


MAX_PACKET = 1_000_000  # bytes; a server that has the default of 1 MiB hangs up on more, without an answer
_OP_OVERHEAD = 100  # bytes; more than any operation's fixed part


def oversize(verb: "Verb") -> "Failure | None":
    """Return the failure of a verb that no server would accept, before anything is sent."""
    if not isinstance(verb, Commit):
        return None
    size = 0
    for index, op in enumerate(verb.ops):
        size += _OP_OVERHEAD + len(op.path) + (len(op.data) if isinstance(op, Create | Set) else 0)
        if size > MAX_PACKET:
            return Failure(Problem.TOO_LARGE, op.path, index)
    return None


Answer: TypeAlias = Got | Names | Committed | Synced | Failure
Answers: TypeAlias = tuple[Answer, ...]


class Kind(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Changed:
    """Something happened to one path below a watched root. What it was is to be read."""

    path: str
    kind: Kind


class SessionState(StrEnum):
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class SessionNews:
    """The connection changed. On CONNECTED the watches have been set again and everything is to be walked anew,
    whether the session is the old one or not."""

    state: SessionState
    session: SessionNumber


News: TypeAlias = Changed | SessionNews


class Store(Protocol):
    """ZooKeeper's verbs, pipelined. Paths are absolute below the chroot."""

    @property
    def session(self) -> SessionNumber:
        """The current session's number; 0 before the first."""
        ...

    @property
    def connected(self) -> bool: ...

    def submit(self, verbs: Sequence[Verb], done: Callable[[Answers], None]) -> None:
        """Send `verbs` in order, without waiting between them; call `done` once with as many answers."""
        ...

    def gathered(self) -> AbstractContextManager[None]:
        """Let the verbs that this thread submits within the block be sent together, at its end at the latest. For the
        one thread that owns the data."""
        ...

    def watch(self, roots: Sequence[str], on_news: Callable[[News], None]) -> None:
        """From now on report every change at or below `roots` (persistent, recursive), and session changes.

        May be called before the connection is there. Called once per store.
        """
        ...

    def start(self) -> None:
        """Begin to connect; returns at once. Raises nothing: what happens is news."""
        ...

    def stop(self) -> None:
        """Close the session, so that ephemerals go at once. Unanswered verbs get SESSION_LOST."""
        ...
