"""The loop of a launcher: take in what arrived, plan, start what is not in progress.

It runs on one thread, which owns the world. It has no clock and no threads of its own: a daemon calls it with real
time and letters from an inbox, the simulation with virtual time and letters of its making.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from nodepool_ng.launcher import registration
from nodepool_ng.launcher.effects import effect_of
from nodepool_ng.launcher.effects.facts import tell_facts
from nodepool_ng.launcher.facts import AT_MOST_EVERY, document_of
from nodepool_ng.launcher.outcome import Lost, Outcome
from nodepool_ng.launcher.pacing import LINGER, News, Pace
from nodepool_ng.launcher.registration import (
    Chore,
    LeaveLease,
    QueueForLease,
    Register,
    Registration,
    Republish,
    StandForStats,
    Unregister,
)
from nodepool_ng.launcher.telling import tell, tell_alarm, tell_trouble
from nodepool_ng.launcher.viewing import BuildersWork, BuildRequests, view_of
from nodepool_ng.launcher.witness import NOBODY, Witness
from nodepool_ng.launcher.world import World
from nodepool_ng.model.action import Action, Subject, subjects
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import PoolId, ProviderName, Seconds, Timestamp
from nodepool_ng.model.settings import Settings
from nodepool_ng.model.view import Backlog, View
from nodepool_ng.plan import Plan, plan
from nodepool_ng.plan.leaving import plan_leaving
from nodepool_ng.shell.facts import Teller, Telling
from nodepool_ng.shell.runner import Answered, Clouds, Hooks, Runner, Scanner, Workshop
from nodepool_ng.telemetry.logs import gathered
from nodepool_ng.zk.changes import Change, Completed, DamageChange, FenceLost, FencePassed
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.mirror import Message, Mirror
from nodepool_ng.zk.store import Store

CLOCK_JUMP: Seconds = 1.0
"""More than this between the two clocks of a machine is no inaccuracy."""

FACTS: Subject = ("facts", "")
Work: TypeAlias = Action | Chore | Telling
_log = logging.getLogger("nodepool.launcher")


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """The letter that brings new settings."""

    settings: Settings
    pool_ids: dict[PoolKey, PoolId]
    renewed: frozenset[ProviderName] = frozenset()
    """Providers to which there are new connections, perhaps to another project: what is known of them may be wrong."""


@dataclass(frozen=True, slots=True)
class BrokenFiles:
    """The letter that tells that the files of the configuration cannot be used any more; "" when they can again."""

    what: str


Letter: TypeAlias = Answered | Reconfigured | BrokenFiles | Message


class Reconciler:
    """Owns the world of one launcher. `deal` takes a letter in; `turn` plans if that is due and says when to be
    called again, as a Unix time."""

    def __init__(
        self,
        *,
        world: World,
        mirror: Mirror,
        store: Store,
        clouds: Clouds,
        scanner: Scanner,
        clock: Clock,
        hostname: str,
        post: Callable[[Any], None],
        settle: Seconds,
        hooks: Hooks | None = None,
        workshop: Workshop | None = None,
        witness: Witness = NOBODY,
    ) -> None:
        self.world = world
        self._witness = witness
        self._build_requests = BuildRequests(store, clock)
        self._builders_work = BuildersWork(store, clock)
        self.latest: Plan | None = None
        self._store = store
        self._mirror = mirror
        self._fences: dict[int, Callable[[], None]] = {}
        self._fences_lost: list[Callable[[], None]] = []
        """Fences that a lost connection took away; the next whole walk is as good."""
        self._clock = clock
        self._hostname = hostname
        self._registration = Registration(hostname)
        self._settle = settle
        self._runner: Runner[Work, Subject, Outcome] = Runner(
            submit=mirror.submit,
            clouds=clouds,
            scanner=scanner,
            workshop=workshop,
            post=post,
            fence=self._fence,
            ended=self._ended,
            hooks=hooks,
        )
        self._steady = clock.monotonic()
        self._news = News.NOW
        self._wake: Timestamp | None = None
        self._pace = Pace(clock.monotonic())
        self._stopping = False
        self._alarms: dict[ProviderName, str] = {}
        self._troubles: dict[ProviderName, str | None] = {}
        self._teller = Teller(f"{hostname}-{world.owner[:8]}", AT_MOST_EVERY)

    def deal(self, letter: Letter) -> None:
        """Take in one letter."""
        self._look_at_clock()
        match letter:
            case Answered():
                self._runner.resume(letter)
            case Reconfigured(settings, pool_ids, renewed):
                self.world.reconfigured(settings, pool_ids)
                for provider in renewed:
                    self.world.clouds.forget(provider)
                self._news = News.NOW
            case BrokenFiles(what):
                self.world.broken_files = what
                self._news = max(self._news, News.SOON)
            case _:
                self._absorb(self._mirror.take(letter))

    def turn(self) -> Timestamp | None:
        """Plan if something happened or an instant has come; return when to be called again. None: not before the
        next letter."""
        now = self._look_at_clock()
        if not self._sees():
            return None
        if self._stopping:
            self._leave()
            return None
        if not self._news and (self._wake is None or now < self._wake):
            return self._wake
        requests = self.world.requests
        reading, awaited = self._mirror.backlog > 0, bool(requests.waiting)
        wait = self._pace.wait(
            self._news, self._clock.monotonic(), reading=reading, awaited=awaited, queued=requests.queued
        )
        if wait > 0:
            return now + wait
        self._news = News.NONE
        self._carry_out(self._plan())
        return now if self._news else self._wake

    def stop(self) -> None:
        """Start nothing any more but what others need; what is in flight may end."""
        self._stopping = True

    @property
    def linger(self) -> Seconds:
        """How long to gather what ZooKeeper says before it is heard."""
        return LINGER if self.world.requests.queued else 0.0

    @property
    def quiet(self) -> bool:
        """Tell whether nothing is in flight."""
        return len(self._runner) == 0

    def view(self, letters: int = 0, verbs: int = 0) -> View:
        """Return what is known now, to be shown; it is the caller's to keep, in any thread."""
        backlog = Backlog(letters=letters, reads=self._mirror.backlog, verbs=verbs, calls=len(self._runner))
        self._look_at_clock()
        asked = self._build_requests.since(self.world.picture.build_requests)
        return view_of(
            self.world,
            self.latest,
            self._hostname,
            asked=asked,
            complete=self._sees(),
            backlog=backlog,
            work=self._builders_work.latest(),
        )

    def _look_at_clock(self) -> Timestamp:
        """Bring the world's time up to date; what it remembers of instants is put right when the clock has jumped."""
        now, steady = self._clock.now(), self._clock.monotonic()
        jump = (now - self.world.now) - (steady - self._steady)
        self.world.now, self._steady = now, steady
        if abs(jump) > CLOCK_JUMP:
            _log.warning("The clock jumped by %+.0f s", jump)
            self.world.clock_jumped(jump)
            self._news = News.NOW
        return now

    def _sees(self) -> bool:
        """Nothing is decided on a mirror that is not whole."""
        return self._store.connected and self._mirror.complete

    def _plan(self) -> Plan:
        began, worked = self._clock.monotonic(), self._clock.worked()
        self.world.farewell()
        in_flight: dict[Subject, Any] = self._runner.in_flight
        made = plan(self.world.snapshot(in_flight, self._settle))
        self.world.resting.found(made.resting)
        # A plan that is not whole says nothing about who could be served.
        self.world.requests.planned(made.verdicts if made.whole else ())
        ended = self._clock.monotonic()
        self._pace.planned(ended, self._clock.worked() - worked)
        self._witness.planned(ended - began)
        return made

    def _carry_out(self, made: Plan) -> None:
        self._wake = made.wake
        if made.whole or self.latest is None:
            self.latest = made
        for provider, alarm in made.alarms.items():
            if self._alarms.get(provider) != alarm:
                tell_alarm(provider, alarm)
        self._alarms = dict(made.alarms) if made.whole else {**self._alarms, **made.alarms}
        self._tell_troubles()
        with self._store.gathered():
            for chore in self._registration.chores(self.world, self.latest.short):
                subject = registration.chore_subject(chore)
                if subject not in self._runner.in_flight:
                    self._runner.start(chore, (subject,), registration.carry_out(self.world, chore))
            for action in made.actions:
                self.world.memory.asking(action, self.world.now)
                self._runner.start(action, subjects(action), effect_of(self.world, action))
        # The log comes last, since nobody waits for it: by now the first steps are on their way.
        with gathered():
            for action in made.actions:
                tell(self.world, action)
                self._witness.begun(self.world, action)
        self._tell_facts(made)

    def _leave(self) -> None:
        """Put back what nobody of ours would go on with."""
        in_flight: dict[Subject, Any] = self._runner.in_flight
        for action in plan_leaving(self.world.snapshot(in_flight, self._settle)):
            self._runner.start(action, subjects(action), effect_of(self.world, action))
            tell(self.world, action)

    def _tell_facts(self, made: Plan) -> None:
        """Write down what this plan found out, if it is something new and the last time was long enough ago."""
        due = self._teller.due(self.world.now)
        if due > self.world.now:
            self._wake = due if self._wake is None else min(self._wake, due)
            return
        quiet = made.whole and FACTS not in self._runner.in_flight
        telling = self._teller.tell(document_of(self.world, made), self.world.now) if quiet else None
        if telling is not None:
            self._runner.start(telling, (FACTS,), tell_facts(telling))

    def _tell_troubles(self) -> None:
        """Tell when a cloud begins to fail, fails in another way, or is well again."""
        for provider, facts in self.world.clouds.facts.items():
            if self._troubles.get(provider) != facts.error:
                tell_trouble(provider, facts.error)
                self._troubles[provider] = facts.error

    def _ended(self, work: Work, outcome: Outcome) -> None:
        if isinstance(work, Telling):
            if isinstance(outcome, Lost):
                self._teller.start_anew()
            return
        self._news = max(self._news, News.SOON)
        if isinstance(work, Register | Republish | Unregister | QueueForLease | LeaveLease | StandForStats):
            if isinstance(outcome, Lost):
                _log.warning("Could not register: %s", outcome.why)
            return
        self.world.came(work, outcome)
        self._witness.ended(self.world, work, outcome)
        if isinstance(outcome, Lost):
            _log.debug("%s was not carried out: %s", type(work).__name__, outcome.why)

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
                    self._news = News.NOW
                    self._teller.start_anew()
                    lost, self._fences_lost = self._fences_lost, []
                    for passed in lost:
                        passed()
                case DamageChange(after=Damaged() as damaged):
                    _log.error("A record cannot be used and is left alone: %s", damaged)
                case _:
                    self._news = max(self._news, self.world.changed(change))
                    self._witness.changed(self.world, change)
