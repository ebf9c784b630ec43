"""Taking locks inside an effect: one round for all of them, and a fresh look at what they guard.

Contenders have kazoo's form, and the part that kazoo fills with a random number is this process's own: whoever reads
a lock directory sees which contenders are ours, also when the answer to their creation was lost.

Most locks that are wanted are nobody's, and then one transaction is enough: a lock directory that was made in it has
no contenders before ours. `untouched` and `taken_first` are its operations. Where somebody has the lock, or queues for
it, or what is written is not what we know any more, the transaction fails as a whole and `take_locks` is the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nodepool_ng.shell import contender
from nodepool_ng.shell.effect import Effect, ask, commit
from nodepool_ng.zk.store import (
    UNKNOWN_OUTCOME,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Names,
    Op,
    Problem,
    Verb,
)

NOT_AS_KNOWN = frozenset({Problem.NO_NODE, Problem.NODE_EXISTS, Problem.BAD_VERSION, Problem.NOT_EMPTY})
"""Why a transaction fails that supposes a lock to be nobody's, or a record to be as we know it."""


@dataclass(frozen=True, slots=True)
class Want:
    """A lock to take, and the record to read under it."""

    directory: str
    record: str
    exists: bool
    """Whether the lock directory is known to be there."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is ours, with the record as it was read under it."""

    contender: str
    record: Got


@dataclass(frozen=True, slots=True)
class Busy:
    """The locks could not all be had; those that were are given back."""

    why: str
    unsure: bool = False
    """The connection failed: nobody knows, and contenders of ours may be left."""


def untouched(want: Want) -> tuple[Op, Op]:
    """Return what fails a transaction if anybody has a lock or queues for it, and changes nothing otherwise.

    Whoever locks sees the directory as it was: there, or not there.
    """
    made, removed = Create(want.directory), Delete(want.directory)
    return (removed, made) if want.exists else (made, removed)


def taken_first(owner: str, want: Want) -> tuple[Op, ...]:
    """Return what takes a lock for the transaction and for what follows, and fails it if anybody has the lock or queues
    for it."""
    removed = (Delete(want.directory),) if want.exists else ()
    contends = Create(f"{want.directory}/{contender.prefix(owner)}", ephemeral=True, sequence=True)
    return (*removed, Create(want.directory), contends)


def take_locks(owner: str, wants: Sequence[Want]) -> Effect[tuple[Held, ...] | Busy]:
    """Take all of the locks without waiting, or none."""
    exist = [want.exists for want in wants]
    for _ in range(3):
        answers = yield from ask(*_round(owner, wants, exist))
        made = answers[0]
        if isinstance(made, Committed):
            return (yield from _judge(owner, wants, _contenders(made), answers[1:]))
        assert isinstance(made, Failure)
        if made.problem not in (Problem.NODE_EXISTS, Problem.NO_NODE):
            return Busy(str(made), made.problem in UNKNOWN_OUTCOME)
        before, exist = exist, _who_exists(wants, exist, made)
        if exist == before:
            return Busy(str(made))
    return Busy("the lock directories keep changing")


def _round(owner: str, wants: Sequence[Want], exist: Sequence[bool]) -> tuple[Verb, ...]:
    ops = []
    for want, there in zip(wants, exist, strict=True):
        if not there:
            ops.append(Create(want.directory))
        ops.append(Create(f"{want.directory}/{contender.prefix(owner)}", ephemeral=True, sequence=True))
    looks = [verb for want in wants for verb in (Children(want.directory), Get(want.record))]
    return (Commit(tuple(ops)), *looks)


def _who_exists(wants: Sequence[Want], exist: Sequence[bool], failure: Failure) -> list[bool]:
    """Correct what was believed of the lock directories by the operation that failed."""
    index = 0
    corrected = list(exist)
    for position, there in enumerate(exist):
        width = 1 if there else 2
        if index <= failure.index < index + width:
            corrected[position] = failure.problem is Problem.NODE_EXISTS
        index += width
    return corrected


def _contenders(made: Committed) -> list[str]:
    return [path for path in made.results if isinstance(path, str) and "__lock__" in path]


def _judge(
    owner: str, wants: Sequence[Want], contenders: Sequence[str], looks: Sequence[object]
) -> Effect[tuple[Held, ...] | Busy]:
    held = []
    trouble, unsure = "", False
    for position, (want, path) in enumerate(zip(wants, contenders, strict=True)):
        names, got = looks[2 * position], looks[2 * position + 1]
        unsure |= any(isinstance(look, Failure) and look.problem in UNKNOWN_OUTCOME for look in (names, got))
        if not isinstance(names, Names) or contender.holder(names.names) != path.rpartition("/")[2]:
            trouble = f"{want.directory} is held by somebody else"
        elif not isinstance(got, Got):
            trouble = f"{want.record} is gone"
        else:
            held.append(Held(path, got))
    if not trouble:
        return tuple(held)
    yield from give_back(contenders)
    return Busy(trouble, unsure)


def give_back(contenders: Sequence[str]) -> Effect[None]:
    """Delete contenders of ours; what cannot be deleted now is found by a later look at the lock directories."""
    yield from ask(*(Commit((Delete(path),)) for path in contenders))


def sweep(directory: str, contenders: Sequence[str]) -> Effect[Committed | Failure]:
    """Give back locks that are in nobody's hands any more."""
    return (yield from commit(*(Delete(f"{directory}/{name}") for name in contenders)))
