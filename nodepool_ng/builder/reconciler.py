"""The loop of a builder: take in what arrived, plan, start what is not in progress.

It runs on one thread, which owns the world. It has no clock and no threads of its own: a daemon calls it with real
time and letters from an inbox, a test with its own.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from nodepool_ng.builder import registration
from nodepool_ng.builder.board import Look
from nodepool_ng.builder.effects import effect_of
from nodepool_ng.builder.facts import AT_MOST_EVERY, FACTS, TellSheet, document_of, tell_facts, tell_sheet
from nodepool_ng.builder.outcome import Lost, Outcome
from nodepool_ng.builder.registration import Register
from nodepool_ng.builder.telling import Waits, tell, tell_failure
from nodepool_ng.builder.world import World
from nodepool_ng.model.action import Subject
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.image_action import ImageAction, image_subjects
from nodepool_ng.model.settings import Settings
from nodepool_ng.plan.images import ImagePlan, plan_images
from nodepool_ng.shell.facts import Teller, Telling
from nodepool_ng.shell.runner import Answered, Clouds, Hooks, Runner, Workshop
from nodepool_ng.zk.changes import Change, Completed, DamageChange, FenceLost, FencePassed
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.mirror import Message, Mirror
from nodepool_ng.zk.store import Store

REGISTER_AGAIN: Seconds = 5.0

LOOKS_BETWEEN_NUMBERS = 5

Work: TypeAlias = ImageAction | Register | Telling | TellSheet
_log = logging.getLogger("nodepool.builder")


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """The letter that brings new settings."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class DiskDue:
    """The letter that says it is time to look at the disk again."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The letter that tells how far everything has come."""

    look: Look


Letter: TypeAlias = Answered | Reconfigured | DiskDue | Looked | Message


class Witness(Protocol):
    """Told of everything that ends, and asked to look now and then; it changes nothing."""

    def ended(self, world: World, action: ImageAction, outcome: Outcome) -> None: ...

    def look(self, world: World) -> None: ...


class Reconciler:
    """Owns the world of one builder. `deal` takes a letter in; `turn` plans if that is due and says when to be called
    again, as a Unix time."""

    def __init__(
        self,
        *,
        world: World,
        mirror: Mirror,
        store: Store,
        clouds: Clouds,
        workshop: Workshop,
        clock: Clock,
        post: Callable[[Any], None],
        hooks: Hooks | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.world = world
        self.latest: ImagePlan | None = None
        self._store = store
        self._mirror = mirror
        self._clock = clock
        self._fences: dict[int, Callable[[], None]] = {}
        self._fences_lost: list[Callable[[], None]] = []
        """Fences that a lost connection took away; the next whole walk is as good."""
        self._runner: Runner[Work, Subject, Outcome] = Runner(
            submit=mirror.submit,
            clouds=clouds,
            workshop=workshop,
            post=post,
            fence=self._fence,
            ended=self._ended,
            hooks=hooks,
        )
        self._waits = Waits()
        self._witness = witness
        self._teller = Teller(f"{world.hostname}-{world.owner[:8]}", AT_MOST_EVERY)
        self._progress: Mapping[str, Any] = {}
        self._sheets: dict[Subject, TellSheet] = {}
        self._looks = 0
        self._news = True
        self._wake: Timestamp | None = None
        self._register_from: Timestamp = 0.0
        self._stopping = False

    def deal(self, letter: Letter) -> None:
        """Take in one letter."""
        self.world.now = self._clock.now()
        match letter:
            case Answered():
                self._runner.resume(letter)
            case Reconfigured(settings):
                self.world.reconfigured(settings)
                self._news = True
            case DiskDue():
                self.world.disk_stale = True
                self._news = True
            case Looked(look):
                self._looked(look)
            case _:
                self._absorb(self._mirror.take(letter))

    def turn(self) -> Timestamp | None:
        """Plan if something happened or an instant has come; return when to be called again, None for not by
        itself."""
        now = self.world.now = self._clock.now()
        due = self._news or (self._wake is not None and now >= self._wake)
        if due and not self._stopping and self._store.connected and self._mirror.complete:
            self._news = False
            self._plan()
        elif due:
            # what keeps it from planning ends with a letter
            return None
        self._tell_facts()
        return now if self._news else self._wake

    def stop(self) -> None:
        """Start nothing any more; what is in flight may end."""
        self._stopping = True

    @property
    def quiet(self) -> bool:
        """Tell whether nothing is in flight."""
        return len(self._runner) == 0

    def _plan(self) -> None:
        in_flight: dict[Subject, Any] = self._runner.in_flight
        made = plan_images(self.world.snapshot(in_flight))
        self.latest = made
        self._wake = made.wake
        self._waits.tell(made)
        self._register()
        for action in made.actions:
            tell(action)
            self._runner.start(action, image_subjects(action), effect_of(self.world, action))

    def _looked(self, look: Look) -> None:
        """Take in how far everything has come: it changes no decision, so nothing is planned for it."""
        self._progress = look.work
        self._sheets |= {telling.subject: telling for telling in map(TellSheet, look.sheets)}
        if self._witness is not None and self._looks % LOOKS_BETWEEN_NUMBERS == 0 and self._mirror.complete:
            self._witness.look(self.world)
        self._looks += 1

    def _tell_facts(self) -> None:
        """Write down how far everything has come. What is not written in time is written the next time."""
        if self._stopping or self.latest is None or not (self._store.connected and self._mirror.complete):
            return
        for subject in [subject for subject in self._sheets if subject not in self._runner.in_flight]:
            telling = self._sheets.pop(subject)
            self._runner.start(telling, (subject,), tell_sheet(telling))
        if self._teller.due(self.world.now) <= self.world.now and FACTS not in self._runner.in_flight:
            document = document_of(self.world, self.latest, self._progress)
            if (told := self._teller.tell(document, self.world.now)) is not None:
                self._runner.start(told, (FACTS,), tell_facts(told))

    def _register(self) -> None:
        chore = registration.missing(self.world)
        if chore is None or registration.SUBJECT in self._runner.in_flight:
            return
        if self.world.now >= self._register_from:
            self._runner.start(chore, (registration.SUBJECT,), registration.carry_out(chore))
        elif self._wake is None or self._register_from < self._wake:
            self._wake = self._register_from

    def _ended(self, work: Work, outcome: Outcome) -> None:
        match work:
            case Telling():
                if isinstance(outcome, Lost):
                    self._teller.start_anew()
                return
            case TellSheet():
                if isinstance(outcome, Lost) and work.sheet.over:
                    self._sheets.setdefault(work.subject, work)
                return
            case _:
                self._news = True
        if isinstance(work, Register):
            if isinstance(outcome, Lost):
                self._register_from = self.world.now + REGISTER_AGAIN
                _log.warning("Could not register: %s", outcome.why)
            return
        self.world.came(work, outcome)
        if self._witness is not None:
            self._witness.ended(self.world, work, outcome)
        tell_failure(work, outcome)

    def _fence(self, passed: Callable[[], None]) -> None:
        self._fences[self._mirror.fence()] = passed

    def _absorb(self, changes: Iterable[Change]) -> None:
        for change in changes:
            match change:
                case FencePassed(number):
                    self._fences.pop(number)()
                case FenceLost(number):
                    self._fences_lost.append(self._fences.pop(number))
                case Completed():
                    self._news = True
                    self._teller.start_anew()
                    lost, self._fences_lost = self._fences_lost, []
                    for passed in lost:
                        passed()
                case _:
                    if isinstance(change, DamageChange) and isinstance(change.after, Damaged):
                        _log.error("A record cannot be used and is left alone: %s", change.after)
                    self._news |= self.world.changed(change)
