"""A mirror of the whole tree, kept by one persistent recursive watch, owned by one thread.

The store's threads only post messages into the owner's inbox; the owner hands each, in order, to `take` and learns
what changed. An event names a path; what is there is read, in pipelined rounds of which a bounded number of verbs is
on its way at any time. What makes it right:

* Events and answers come in the server's order, but the answers of a round come together, with its last one. So an
  event may overtake an answer that is older: where it could make that answer wrong, the answer is void and the verb
  is sent again.
* After every CONNECTED, in the old session too, the whole tree is walked. Events were lost; nothing is `complete`
  until the walk has ended and what it did not find is removed.
* Writes go through `submit`. Their records enter from the reply, and their own events cause no reading: events on
  a path with a write of ours on its way are counted, and only if there were more of them than writes is it read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import TypeAlias

from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.changes import Change, Completed, FenceLost, FencePassed, SessionChange
from nodepool_ng.zk.ownwrites import OwnWrites
from nodepool_ng.zk.paths import (
    BranchAt,
    BuildAt,
    BuildRequestedAt,
    BuildsAt,
    CancelAt,
    ComponentAt,
    ConfirmedAt,
    ContenderAt,
    CordonAt,
    FreezeAt,
    ImageAt,
    InstallationAt,
    LockAt,
    NodeAt,
    PausedAt,
    Place,
    RequestAt,
    UploadAt,
    UploadsAt,
)
from nodepool_ng.zk.picture import Decode, Picture
from nodepool_ng.zk.store import (
    Answer,
    Answers,
    Changed,
    Children,
    Failure,
    Get,
    Got,
    Kind,
    Names,
    News,
    Problem,
    SessionNews,
    SessionState,
    Stat,
    Store,
    Sync,
    Verb,
)

ROOTS = (paths.ROOT, paths.OURS)
WINDOW = 256  # verbs on their way
ROUND = 64  # verbs; a round's answers come together, so a large one delays its first

Read: TypeAlias = Get | Children
_LOST = frozenset({Problem.CONNECTION_LOST, Problem.SESSION_LOST})


@dataclass(frozen=True, slots=True)
class Heard:
    news: News


@dataclass(frozen=True, slots=True)
class ReadDone:
    epoch: int
    reads: tuple[Read, ...]
    answers: Answers


@dataclass(frozen=True, slots=True)
class Replied:
    epoch: int
    ticket: int
    verbs: tuple[Verb, ...]
    answers: Answers


@dataclass(frozen=True, slots=True)
class Synchronized:
    epoch: int
    number: int
    answers: Answers


Message: TypeAlias = Heard | ReadDone | Replied | Synchronized


class _Sent(Enum):
    """What is to happen with a read that is on its way when its answer comes."""

    ENOUGH = "the answer is what was wanted"
    AGAIN = "something happened since: read once more"
    VOID = "something happened since that may make the answer wrong: do not use it, and read once more"


@dataclass(slots=True)
class _Fence:
    """What has to be answered before a fence is passed. Not `up` yet: the sync itself has no answer."""

    up: bool = False
    sent: set[Read] = field(default_factory=set)
    to_send: set[Read] = field(default_factory=set)
    """An answer that is on its way is not enough for these."""


class Mirror:
    """Reads go in `picture`; everything is to be called from the owner's thread."""

    def __init__(
        self, store: Store, post: Callable[[Message], None], *, window: int = WINDOW, decode: Decode = codec.decode
    ) -> None:
        self.picture = Picture(decode)
        self.complete = False
        self._store = store
        self._post = post
        self._window = window
        self._epoch = 0
        self._connected = False
        self._tickets = 0
        self._own = OwnWrites()
        self._wanted: dict[Read, None] = {}
        self._asked: dict[Read, _Sent] = {}
        self._walk: set[Read] | None = None
        self._found: set[str] = set()
        self._fences: dict[int, _Fence] = {}

    def start(self) -> None:
        """Begin to listen. To be called before the store is started."""
        self._store.watch(ROOTS, lambda news: self._post(Heard(news)))

    def take(self, message: Message) -> tuple[Change, ...]:
        """Take in one message, in the order of the inbox, and return what changed by it."""
        match message:
            case Heard(Changed(path, kind)):
                changes = self._event(path, kind)
            case Heard(SessionNews() as news):
                changes = self._session(news)
            case ReadDone(epoch, reads, answers):
                changes = self._answers(reads, answers) if epoch == self._epoch else []
            case Replied(epoch, ticket, verbs, answers):
                changes = self._replied(ticket, verbs, answers) if epoch == self._epoch else []
            case Synchronized(epoch, number, answers):
                changes = self._synchronized(number, answers) if epoch == self._epoch else []
        self._pump()
        return tuple(changes)

    def submit(self, verbs: Sequence[Verb], done: Callable[[Answers], None]) -> None:
        """Send verbs through the store; what they write enters the mirror with the reply, before `done` is called."""
        ticket = self._tickets = self._tickets + 1
        epoch, sent = self._epoch, tuple(verbs)
        self._own.sent(ticket, sent)

        def reply(answers: Answers) -> None:
            self._post(Replied(epoch, ticket, sent, answers))
            done(answers)

        self._store.submit(sent, reply)

    @property
    def backlog(self) -> int:
        """Tell how many reads are wanted or on their way."""
        return len(self._wanted) + len(self._asked)

    def fence(self) -> int:
        """Ask to be told (`FencePassed`) once everything that is in the tree by now is in the mirror, too.

        `FenceLost` comes instead when the connection fails; without a connection, at once.
        """
        number = self._tickets = self._tickets + 1
        epoch = self._epoch
        self._fences[number] = _Fence()
        self._store.submit(
            (Sync(paths.ROOT), Get(paths.ROOT)), lambda answers: self._post(Synchronized(epoch, number, answers))
        )
        return number

    def _session(self, news: SessionNews) -> list[Change]:
        self._epoch += 1
        self._connected = news.state is SessionState.CONNECTED
        self.complete = False
        self._own = OwnWrites()
        self._wanted.clear()
        self._asked.clear()
        self._walk = None
        lost: list[Change] = [FenceLost(number) for number in self._fences]
        self._fences.clear()
        if self._connected:
            self._walk = set()
            self._found = set(ROOTS)
            for root in ROOTS:
                self._explore(Children(root))
        return [SessionChange(news), *lost]

    def _event(self, path: str, kind: Kind) -> list[Change]:
        at = paths.parse(path)
        if at is None:
            return []
        if kind is not Kind.CHANGED:
            self._void(Children(path.rpartition("/")[0]))
        if kind is Kind.DELETED:
            self._void(Get(path))
            self._own.deleted(path)
            return self.picture.vanished(path, at)
        self._found.add(path)
        if paths.is_record(at) and not self._own.explains(path):
            self._want(Get(path))
        return self.picture.appeared(path, at)

    def _replied(self, ticket: int, verbs: tuple[Verb, ...], answers: Answers) -> list[Change]:
        settled = self._own.replied(ticket, verbs, answers)
        for path in settled.to_read:
            self._want(Get(path))
        return [
            change
            for path, effect in settled.written
            for change in self.picture.read(path, effect.at, effect.data, effect.version, effect.mzxid, effect.record)
        ]

    def _answers(self, reads: tuple[Read, ...], answers: Answers) -> list[Change]:
        changes: list[Change] = []
        for read, answer in zip(reads, answers, strict=True):
            sent = self._asked.pop(read)
            if isinstance(answer, Failure) and answer.problem is Problem.TIMED_OUT:
                sent = _Sent.VOID
            if sent is not _Sent.ENOUGH:
                self._wanted[read] = None
            if sent is _Sent.VOID:
                continue
            if self._walk is not None:
                self._walk.discard(read)
            for fence in self._fences.values():
                fence.sent.discard(read)
            changes += self._answer(read, answer)
        if self._walk is not None and not self._walk:
            changes += self._end_of_walk()
        return changes + self._passed()

    def _answer(self, read: Read, answer: Answer) -> list[Change]:
        at = paths.parse(read.path)
        assert at is not None
        match answer:
            case Got(data, Stat(version=version, mzxid=mzxid)):
                return self.picture.read(read.path, at, data, version, mzxid) if paths.is_record(at) else []
            case Names(names) if isinstance(at, LockAt):
                self._found.add(read.path)
                return self.picture.queued(at.of, names)
            case Names(names):
                found = self.picture.appeared(read.path, at)
                return found + [change for name in names for change in self._come_across(f"{read.path}/{name}")]
            case Failure(Problem.NO_NODE):
                return self.picture.vanished(read.path, at)
            case Failure(problem) if problem not in _LOST:
                return self.picture.unreadable(read.path, str(answer))
        return []

    def _come_across(self, path: str) -> list[Change]:
        """A walk found a path: note it, and ask for what is there and below."""
        at = paths.parse(path)
        if at is None:
            return []
        self._found.add(path)
        for read in _sights(path, at):
            self._explore(read)
        return self.picture.appeared(path, at)

    def _explore(self, read: Read) -> None:
        if self._walk is not None:
            self._walk.add(read)
        self._want(read)

    def _end_of_walk(self) -> list[Change]:
        self._walk = None
        self.complete = True
        gone = [(path, at) for path, at in self.picture.known.items() if path not in self._found]
        self._found = set()
        changes = [change for path, at in gone for change in self.picture.vanished(path, at)]
        return [*changes, Completed()]

    def _synchronized(self, number: int, answers: Answers) -> list[Change]:
        """All events that count have come; what remains are the reads that they caused."""
        if any(isinstance(answer, Failure) and answer.problem is not Problem.NO_NODE for answer in answers):
            del self._fences[number]
            return [FenceLost(number)]
        for path in self._own.held:
            self._want(Get(path))
        fence = self._fences[number]
        fence.up = True
        fence.sent = {read for read, sent in self._asked.items() if sent is not _Sent.AGAIN}
        fence.to_send = {read for read, sent in self._asked.items() if sent is _Sent.AGAIN} | set(self._wanted)
        return self._passed()

    def _passed(self) -> list[Change]:
        if not self.complete:
            return []
        passed = [n for n, fence in self._fences.items() if fence.up and not fence.sent and not fence.to_send]
        for number in passed:
            del self._fences[number]
        return [FencePassed(number) for number in passed]

    def _want(self, read: Read) -> None:
        """Read something, once more where a read is on its way."""
        if read not in self._asked:
            self._wanted[read] = None
        elif self._asked[read] is _Sent.ENOUGH:
            self._asked[read] = _Sent.AGAIN

    def _void(self, read: Read) -> None:
        if read in self._asked:
            self._asked[read] = _Sent.VOID

    def _pump(self) -> None:
        """Send what is wanted, as far as the window allows."""
        while self._connected and self._wanted and len(self._asked) < self._window:
            size = min(ROUND, self._window - len(self._asked))
            reads = tuple(islice(self._wanted, size))
            for read in reads:
                del self._wanted[read]
                self._asked[read] = _Sent.ENOUGH
            for fence in self._fences.values():
                for read in fence.to_send.intersection(reads):
                    fence.to_send.discard(read)
                    fence.sent.add(read)
            self._send(reads, self._epoch)

    def _send(self, reads: tuple[Read, ...], epoch: int) -> None:
        self._store.submit(reads, lambda answers: self._post(ReadDone(epoch, reads, answers)))


def _sights(path: str, at: Place) -> tuple[Read, ...]:
    """Return what a walk asks for at a path."""
    match at:
        case NodeAt() | UploadAt():
            return Get(path), Children(paths.lock_of(at))
        case RequestAt() | ComponentAt() | InstallationAt() | FreezeAt() | CordonAt():
            return (Get(path),)
        case BuildAt():
            return Get(path), Children(path)
        case BranchAt() | ImageAt() | BuildsAt() | UploadsAt() | LockAt():
            return (Children(path),)
        case PausedAt() | BuildRequestedAt() | ConfirmedAt() | CancelAt() | ContenderAt():
            return ()
