"""Working under locks: taking them, ending a piece of work under the one it was done under, removing a branch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.builder.world import World
from nodepool_ng.shell.effect import Effect, ask, commit, fence
from nodepool_ng.shell.locking import Busy, Held, Want, give_back, take_locks
from nodepool_ng.zk import paths
from nodepool_ng.zk.paths import BuildAt, BuildsAt, ContenderAt, UploadAt, UploadsAt
from nodepool_ng.zk.store import (
    UNKNOWN_OUTCOME,
    Children,
    Commit,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Names,
    Op,
    Problem,
)

Lock: TypeAlias = BuildsAt | UploadsAt | BuildAt | UploadAt
PATIENCE = 5  # tries to end a piece of work while the tree keeps changing under it


@dataclass(frozen=True, slots=True)
class Settled:
    """There is nothing to write: what was to be written is there, or (`why`) it cannot be written any more."""

    why: str | None = None


def hold(world: World, *wants: tuple[Lock, str]) -> Effect[tuple[Held, ...] | Busy]:
    """Take locks without waiting, and read what each guards. A contender of ours that is there already is used."""
    missing = [(lock, record) for lock, record in wants if world.our_contender(lock) is None]
    fresh: dict[tuple[Lock, str], Held] = {}
    if missing:
        taken = yield from take_locks(
            world.owner, [Want(paths.lock_of(lock), record, world.has_lock_dir(lock)) for lock, record in missing]
        )
        if isinstance(taken, Busy):
            return taken
        fresh = dict(zip(missing, taken, strict=True))
    held = []
    for want in wants:
        if want in fresh:
            held.append(fresh[want])
            continue
        lock, record = want
        contender = world.our_contender(lock)
        (answer,) = yield from ask(Get(record))
        if contender is None or not isinstance(answer, Got):
            yield from give_back([one.contender for one in held] + ([contender] if contender else []))
            return Busy(f"{record} is gone")
        held.append(Held(contender, answer))
    return tuple(held)


def let_go(*held: Held) -> Effect[None]:
    yield from give_back([one.contender for one in held])


def ensure(*folders: str) -> Effect[Failure | None]:
    """Create folders that are missing, the highest first; return why one of them cannot be there."""
    answers = yield from ask(*(Commit((Create(path),)) for path in folders))
    for answer in answers:
        if isinstance(answer, Failure) and answer.problem is not Problem.NODE_EXISTS:
            return answer
    return None


def finish(world: World, lock: Lock, guarded: str, last: Callable[[str], Sequence[Op] | Settled]) -> Effect[str | None]:
    """Write what ends a piece of work, under the lock it was done under; return None, or why that was not possible.

    `last` is given our contender and looks at the world anew each time. Without a connection this waits. A lock that
    went with its session is taken again: if nobody else was there meanwhile, the work is not lost.
    """
    tries = 0
    while tries < PATIENCE:
        contender = world.our_contender(lock)
        if contender is None:
            taken = yield from take_locks(world.owner, [Want(paths.lock_of(lock), guarded, world.has_lock_dir(lock))])
            yield from fence()
            if isinstance(taken, Busy):
                if taken.unsure or world.our_contender(lock) is not None:
                    tries += not taken.unsure
                    continue
                return taken.why
            contender = taken[0].contender
        ops = last(contender)
        if isinstance(ops, Settled):
            yield from give_back([contender])
            return ops.why
        answer = yield from commit(*ops)
        if not isinstance(answer, Failure):
            return None
        yield from fence()
        if answer.problem in UNKNOWN_OUTCOME:
            continue
        if answer.problem not in (Problem.NO_NODE, Problem.BAD_VERSION):
            return str(answer)
        tries += 1
    return "the tree keeps changing"


def below(path: str) -> Effect[list[str] | Failure]:
    """Return every path below one, the lowest last."""
    found: list[str] = []
    layer = [path]
    while layer:
        answers = yield from ask(*(Children(one) for one in layer))
        deeper = []
        for one, answer in zip(layer, answers, strict=True):
            match answer:
                case Names(names):
                    deeper += [f"{one}/{name}" for name in names]
                case Failure(Problem.NO_NODE):
                    pass
                case Failure():
                    return answer
        found += deeper
        layer = deeper
    return found


def remove_branch(world: World, path: str, version: int) -> Effect[str | None]:
    """Remove a record with all the folders and locks of ours below it; return why that was not possible."""
    found = yield from below(path)
    if isinstance(found, Failure):
        return str(found)
    for one in found:
        match paths.parse(one):
            case UploadAt():
                return f"{one} is still there"
            case ContenderAt(_, name) if not world.is_ours(name):
                return f"{one} is somebody else's"
    answer = yield from commit(*(Delete(one) for one in reversed(found)), Delete(path, version))
    return str(answer) if isinstance(answer, Failure) else None
