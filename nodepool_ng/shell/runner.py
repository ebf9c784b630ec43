"""Keeps effects going: performs their steps and feeds them the answers.

Everything here happens on the thread that owns the data; steps are performed elsewhere, and their answers come back
as letters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from nodepool_ng.drivers.calls import Call
from nodepool_ng.model.ids import ProviderName, Timestamp
from nodepool_ng.shell.effect import CloudCall, Effect, Fence, HostKeyScan, LocalJob, NameLookup, Step, StoreRound
from nodepool_ng.zk.store import Answers, Verb

Subject = TypeVar("Subject")
Action = TypeVar("Action")
Outcome = TypeVar("Outcome")


class Clouds(Protocol):
    """The way to all providers. `done` gets the value, or the `DriverError`, from any thread."""

    def submit(self, provider: ProviderName, call: Call, done: Callable[[Any], None]) -> None: ...


class Scanner(Protocol):
    """Reads SSH host keys. `done` gets the keys, or a sentence, from any thread."""

    def scan(
        self, address: str, port: int, ssh: bool, deadline: Timestamp, done: Callable[[tuple[str, ...] | str], None]
    ) -> None: ...

    def lookup(self, name: str, deadline: Timestamp, done: Callable[[tuple[str, ...] | str], None]) -> None:
        """Find the addresses of a machine. `done` gets them, or a sentence, from any thread."""
        ...


class Workshop(Protocol):
    """Does jobs on this machine. `done` gets what came of it, from any thread."""

    def submit(self, job: object, done: Callable[[Any], None]) -> None: ...


class Hooks(Protocol):
    """Called around every step. The simulation raises here, and the process is dead."""

    def before(self, action: object, step: Step) -> None: ...

    def after(self, action: object, step: Step, answer: object) -> None: ...


class NoHooks:
    """What a daemon uses."""

    def before(self, action: object, step: Step) -> None:
        pass

    def after(self, action: object, step: Step, answer: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Answered:
    """The letter that brings a step's answer."""

    flight: int
    step: Step
    answer: Any


@dataclass(slots=True)
class _Flight(Generic[Action, Subject]):
    action: Action
    subjects: tuple[Subject, ...]
    effect: Effect[Any]


class Runner(Generic[Action, Subject, Outcome]):
    """Runs effects, one for each action, and tells when one has ended.

    `submit` sends verbs, usually through the mirror, so that our own writes are known there before their effect goes
    on. `fence` is given a function to call once the mirror has caught up.
    """

    def __init__(
        self,
        *,
        submit: Callable[[Sequence[Verb], Callable[[Answers], None]], None],
        clouds: Clouds,
        scanner: Scanner | None = None,
        workshop: Workshop | None = None,
        post: Callable[[Answered], None],
        fence: Callable[[Callable[[], None]], None],
        ended: Callable[[Action, Outcome], None],
        hooks: Hooks | None = None,
    ) -> None:
        self._submit = submit
        self._clouds = clouds
        self._scanner = scanner
        self._workshop = workshop
        self._post = post
        self._fence = fence
        self._ended = ended
        self._hooks = hooks or NoHooks()
        self._flights: dict[int, _Flight[Action, Subject]] = {}
        self._number = 0
        self.in_flight: dict[Subject, Action] = {}

    def start(self, action: Action, subjects: tuple[Subject, ...], effect: Effect[Outcome]) -> None:
        """Begin an effect; its subjects are taken until it ends."""
        self._number += 1
        self._flights[self._number] = _Flight(action, subjects, effect)
        self.in_flight.update(dict.fromkeys(subjects, action))
        self._advance(self._number, None)

    def resume(self, letter: Answered) -> None:
        """Take in a step's answer and go on with its effect."""
        flight = self._flights.get(letter.flight)
        if flight is None:
            return
        self._hooks.after(flight.action, letter.step, letter.answer)
        self._advance(letter.flight, letter.answer)

    def __len__(self) -> int:
        return len(self._flights)

    def _advance(self, number: int, answer: Any) -> None:
        flight = self._flights[number]
        try:
            step = flight.effect.send(answer)
        except StopIteration as stop:
            del self._flights[number]
            for subject in flight.subjects:
                del self.in_flight[subject]
            self._ended(flight.action, stop.value)
            return
        self._hooks.before(flight.action, step)
        self._perform(number, step)

    def _perform(self, number: int, step: Step) -> None:
        def done(answer: Any) -> None:
            self._post(Answered(number, step, answer))

        match step:
            case StoreRound(verbs):
                self._submit(verbs, done)
            case CloudCall(provider, call):
                self._clouds.submit(provider, call, done)
            case HostKeyScan(address, port, ssh, deadline):
                assert self._scanner is not None
                self._scanner.scan(address, port, ssh, deadline, done)
            case NameLookup(name, deadline):
                assert self._scanner is not None
                self._scanner.lookup(name, deadline, done)
            case LocalJob(job):
                assert self._workshop is not None
                self._workshop.submit(job, done)
            case Fence():
                self._fence(lambda: done(None))
