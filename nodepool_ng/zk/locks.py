"""Locks in kazoo's format, made of pipelined verbs.

A lock is a directory; whoever wants it creates a contender there, an ephemeral sequential child, and owns the lock
when no other has a lower number. A round of `contend` and one `judge` on its last answer are one try; whoever lost
withdraws with `release`, or waits for `Behind.predecessor` to go (the mirror shows it) and judges again.

Unlike kazoo's, these locks never create what is above the lock directory: a node that is gone stays gone. And
ownership is not remembered but proven: every transaction that rests on a lock contains `guard(held)`, which fails the
whole of it once our contender is gone, whatever session the write travels in.
"""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NewType, TypeAlias

from nodepool_ng.zk.store import (
    UNKNOWN_OUTCOME,
    Answer,
    Check,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Failure,
    Names,
    Problem,
    SessionNumber,
    Verb,
)

Token = NewType("Token", str)
"""32 random hex digits that a contender's name starts with, by which it is found when the answer was lost."""

_MARK = "__lock__"
_CONTENDER = re.compile(r"__lock__(-?\d{10})$")


def new_token() -> Token:
    return Token(uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that we own (or wait for) through our contender `name`, created in session number `session`."""

    directory: str
    name: str
    session: SessionNumber

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.name}"


@dataclass(frozen=True, slots=True)
class Owned:
    held: Held


@dataclass(frozen=True, slots=True)
class Behind:
    """Our contender stands in the queue; `predecessor` is the name of the one directly before it."""

    held: Held
    predecessor: str


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing to lock: what the directory belongs to, or the directory itself, is no more."""

    directory: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """The connection failed in the middle: a contender with our token may exist. Look for it with `find`."""

    directory: str
    token: Token
    failure: Failure


Verdict: TypeAlias = Owned | Behind | Gone | Unsure


def sequence(name: str) -> int | None:
    """Return the number of a contender; None for a child of a lock directory that is none."""
    match = _CONTENDER.search(name)
    return int(match.group(1)) if match else None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the contenders among `names`, the owner first."""
    numbered = ((number, name) for name in names if (number := sequence(name)) is not None)
    return tuple(name for _, name in sorted(numbered))


def contend(directory: str, identifier: str, token: Token, *, exists: bool = False) -> tuple[Verb, ...]:
    """Return one try for a lock, to be sent in one round; hand its answers to `judge_answers`.

    With `exists` the directory is taken to be there, which saves a verb; where it is not, the verdict is `Gone` and
    one try without `exists` is due. The identifier is what other peers are shown as the owner.
    """
    ask = (
        Commit((Create(f"{directory}/{token}{_MARK}", identifier.encode("utf-8"), ephemeral=True, sequence=True),)),
        Children(directory),
    )
    return ask if exists else (Commit((Create(directory),)), *ask)


def judge_answers(answers: Sequence[Answer], directory: str, token: Token, session: SessionNumber) -> Verdict:
    """Return what the answers to `contend` mean."""
    created, listed = answers[-2:]
    match created, listed:
        case Committed((str(path), *_)), Names(names):
            return judge(names, Held(directory, path.rpartition("/")[2], session))
        case (Failure(Problem.NO_NODE), _) | (_, Failure(Problem.NO_NODE)):
            return Gone(directory)
        case (Failure() as failure, _) if failure.problem not in UNKNOWN_OUTCOME:
            return Gone(directory)
        case (Failure() as failure, _) | (_, Failure() as failure):
            return Unsure(directory, token, failure)
    raise TypeError(f"these are not the answers to a try for a lock: {answers}")


def judge(children: Iterable[str], held: Held) -> Verdict:
    """Return where our contender stands among the children of the lock directory."""
    queue = in_order(children)
    if held.name not in queue:
        return Gone(held.directory)
    place = queue.index(held.name)
    return Owned(held) if place == 0 else Behind(held, queue[place - 1])


def find(children: Iterable[str], directory: str, token: Token, session: SessionNumber) -> Held | None:
    """Return our contender, when the try whose answer was lost did create one."""
    return next((Held(directory, name, session) for name in children if name.startswith(token + _MARK)), None)


def guard(held: Held) -> Check:
    """Return what makes a transaction fail as a whole once the lock is lost."""
    return Check(held.path)


def release(held: Held) -> Delete:
    return Delete(held.path)
