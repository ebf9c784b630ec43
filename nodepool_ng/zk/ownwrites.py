"""Telling our own writes' events from others', so that what we wrote is not read again.

An event names a path and not its author. While a write of ours is on its way to a path, the events there are counted
and held back; with the reply, as many of them as we wrote are our own. One more, and somebody else wrote as well:
the record is to be read. A path that ZooKeeper names itself (a sequence) is held back for every write that may
turn out to be its author.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nodepool_ng.model.node import Node
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Record
from nodepool_ng.zk.paths import NodeAt, RecordAt
from nodepool_ng.zk.store import Answers, Commit, Committed, Create, Delete, Set, Stat, Verb

SEQUENCE_DIGITS = 10


@dataclass(slots=True)
class Effect:
    """What a reply says of one record: how many writes it had, and how the last one left it."""

    at: RecordAt
    writes: int = 0
    data: bytes = b""
    record: Record | None = None
    version: int = 0
    mzxid: int = 0
    there: bool = True


@dataclass(slots=True)
class _Held:
    """Events that may be our own, and the last write that may have caused them."""

    events: int
    ticket: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What a reply brought: records that are as we wrote them, and paths that have to be read."""

    written: tuple[tuple[str, Effect], ...]
    to_read: tuple[str, ...]


class OwnWrites:
    """Rounds of ours that have no reply yet, by ticket; tickets grow, and replies come in their order."""

    def __init__(self) -> None:
        self._paths: dict[str, int] = {}
        self._prefixes: dict[str, int] = {}
        self._targets: dict[int, list[str]] = {}
        """Of each round, the keys that it has in the two above."""
        self._held: dict[str, _Held] = {}
        self._waiting: dict[int, set[str]] = {}
        """Of each round, the keys in `_held` that wait for its reply."""
        self._deleted: dict[str, int] = {}
        self._late: dict[str, int] = {}

    @property
    def held(self) -> tuple[str, ...]:
        """Records with events that wait for a reply."""
        return tuple(self._held)

    def sent(self, ticket: int, verbs: Sequence[Verb]) -> None:
        """A round is about to be sent."""
        targets = self._targets[ticket] = []
        for verb in verbs:
            for op in verb.ops if isinstance(verb, Commit) else ():
                match op:
                    case Create(path, sequence=True) if paths.record_at(path + "0" * SEQUENCE_DIGITS):
                        self._prefixes[path] = ticket
                        targets.append(path)
                    case Create(path, sequence=False) | Set(path) if paths.record_at(path):
                        self._paths[path] = ticket
                        targets.append(path)

    def explains(self, path: str) -> bool:
        """A record was created or changed: tell whether that may have been us, so that it need not be read yet."""
        ticket = self._author(path)
        if ticket:
            held = self._held.setdefault(path, _Held(0, ticket))
            self._waiting.get(held.ticket, set()).discard(path)
            self._waiting.setdefault(ticket, set()).add(path)
            held.events += 1
            held.ticket = ticket
            return True
        late = self._late.pop(path, 0)
        if late > 1:
            self._late[path] = late - 1
        return late > 0

    def deleted(self, path: str) -> None:
        """A path was deleted: a reply that is still to come may bring what it was before."""
        if ticket := self._author(path):
            self._deleted[path] = ticket

    def replied(self, ticket: int, verbs: Sequence[Verb], answers: Answers) -> Settled:
        """Return what the reply to a round means."""
        for target in self._targets.pop(ticket, ()):
            for last in (self._paths, self._prefixes):
                if last.get(target) == ticket:
                    del last[target]
        waiting = self._waiting.pop(ticket, set())
        written, to_read = [], []
        for path, effect in _effects(verbs, answers).items():
            held = self._held.get(path)
            if held is not None:
                held.events -= effect.writes
            else:
                self._late[path] = self._late.get(path, 0) + effect.writes
            if effect.there and path in self._deleted:
                to_read.append(path)
            elif effect.there:
                written.append((path, effect))
        for path in waiting:
            # Every write that may have caused the events has its reply by now, those of earlier rounds, too.
            held = self._held.pop(path)
            if held.events > 0:
                to_read.append(path)
            elif held.events < 0:
                self._late[path] = -held.events
        self._deleted = {path: number for path, number in self._deleted.items() if number > ticket}
        return Settled(tuple(written), tuple(to_read))

    def _author(self, path: str) -> int:
        """Return the last round on its way that may have caused an event at `path`; 0 when there is none."""
        ticket = self._paths.get(path, 0)
        for prefix, number in self._prefixes.items():
            if len(path) == len(prefix) + SEQUENCE_DIGITS and path.startswith(prefix):
                ticket = max(ticket, number)
        return ticket


def _effects(verbs: Sequence[Verb], answers: Answers) -> dict[str, Effect]:
    """Return what was written to each record, by path."""
    effects: dict[str, Effect] = {}
    for verb, answer in zip(verbs, answers, strict=True):
        if not (isinstance(verb, Commit) and isinstance(answer, Committed)):
            continue
        for op, result in zip(verb.ops, answer.results, strict=True):
            match op, result:
                case Create(), str(path):
                    _note(effects, path, op, 0, answer.zxid)
                case Set(path), Stat(version=version, mzxid=mzxid):
                    _note(effects, path, op, version, mzxid)
                case Delete(path), _:
                    if path in effects:
                        effects[path].there = False
    return effects


def _note(effects: dict[str, Effect], path: str, op: Create | Set, version: int, mzxid: int) -> None:
    at = paths.record_at(path)
    if at is None:
        return
    effect = effects.setdefault(path, Effect(at))
    effect.writes += 1
    effect.data, effect.version, effect.mzxid, effect.there = op.data, version, mzxid, True
    effect.record = op.record
    if isinstance(at, NodeAt) and isinstance(op.record, Node) and op.record.id != at.id:
        effect.record = replace(op.record, id=at.id)
