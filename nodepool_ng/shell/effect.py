"""How an effect is written: a generator that yields one step at a time and is sent the answer.

The code of an effect reads from top to bottom like a script, yet it never blocks, and whatever runs it can stop it
between any two steps: that is where the simulation lets a process die.

    def erase(world, action):
        answer = yield from commit(Delete(...), Delete(...))
        return Lost(str(answer)) if isinstance(answer, Failure) else Done()
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from nodepool_ng.drivers.calls import Call
from nodepool_ng.model.ids import ProviderName, Timestamp
from nodepool_ng.zk.store import Answers, Commit, Committed, Failure, Op, Verb

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StoreRound:
    """Verbs sent to ZooKeeper in one go; answered by as many `Answers`."""

    verbs: tuple[Verb, ...]


@dataclass(frozen=True, slots=True)
class CloudCall:
    """One call to a provider; answered by its value or by a `DriverError` (as a value)."""

    provider: ProviderName
    call: Call


@dataclass(frozen=True, slots=True)
class HostKeyScan:
    """Answered by a tuple of keys, or by a sentence why there are none."""

    address: str
    port: int
    ssh: bool
    deadline: Timestamp


@dataclass(frozen=True, slots=True)
class NameLookup:
    """Answered by a tuple of addresses, or by a sentence why there are none."""

    name: str
    deadline: Timestamp


@dataclass(frozen=True, slots=True)
class LocalJob:
    """Something to be done on this machine: a build, a look at a directory. Answered by what the workshop makes of
    the job, which is a value that says what is to be done."""

    job: object


@dataclass(frozen=True, slots=True)
class Fence:
    """Answered (by None) once the mirror has seen everything that was written before the fence was asked for."""


Step: TypeAlias = StoreRound | CloudCall | HostKeyScan | NameLookup | LocalJob | Fence
Effect: TypeAlias = Generator[Step, Any, Result]


def ask(*verbs: Verb) -> Effect[Answers]:
    """Send verbs in one round and return their answers."""
    answers: Answers = yield StoreRound(verbs)
    return answers


def commit(*ops: Op) -> Effect[Committed | Failure]:
    """Commit one transaction."""
    answers = yield from ask(Commit(ops))
    (answer,) = answers
    if isinstance(answer, Committed | Failure):
        return answer
    raise TypeError(f"a commit was answered by {answer!r}")


def call(provider: ProviderName, what: Call) -> Effect[Any]:
    """Make one cloud call; return its value, or the `DriverError` it ended with."""
    value = yield CloudCall(provider, what)
    return value


def scan(address: str, port: int, ssh: bool, deadline: Timestamp) -> Effect[tuple[str, ...] | str]:
    """Return the host keys of a server, or why there are none."""
    answer: tuple[str, ...] | str = yield HostKeyScan(address, port, ssh, deadline)
    return answer


def lookup(name: str, deadline: Timestamp) -> Effect[tuple[str, ...] | str]:
    """Return the addresses of a machine, the best first, or why there are none."""
    answer: tuple[str, ...] | str = yield NameLookup(name, deadline)
    return answer


def work(job: object) -> Effect[Any]:
    """Have a job done on this machine; return what came of it."""
    answer = yield LocalJob(job)
    return answer


def fence() -> Effect[None]:
    """Wait until the mirror is as new as this instant."""
    yield Fence()
