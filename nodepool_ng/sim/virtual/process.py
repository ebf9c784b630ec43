"""One process under virtual time: its inbox, its clock, and the ways in which it can be struck.

The letters of one instant are dealt with together and planned for once, as a daemon does that empties its inbox. A
process can be killed, cut off from ZooKeeper, lose its session, or stand still for a while (a machine that swaps, a
virtual machine that is moved) so that it goes on with letters that are long out of date.
"""

import math
import traceback
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from nodepool_ng.drivers import calls as cloud
from nodepool_ng.launcher.reconciler import Reconciler
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.zk.memory import MemoryStore
from nodepool_ng.zk.store import Answer, Commit, Verb
from nodepool_ng.zk.tree import SessionId

SESSION_TIMEOUT: Seconds = 10.0
PLANNING_TIME: Seconds = 0.001
"""What one pass of the planner takes. The loop leaves nine times as much between two of them."""
SHORT_CUT: Seconds = 3.0
LONG_CUT: Seconds = 14.0
STALL: Seconds = 4.0


class Fate(StrEnum):
    """What can happen to a process at one of its points. The values complete the sentence "it is …"."""

    KILLED = "killed"
    CUT = "cut off for a moment"
    AWAY = "cut off until its session is over"
    EXPIRED = "told that its session is over"
    LATE = "told too late that its session is over"


class WorkingClock:
    """A process's own clock, which may be wrong; between two looks at `worked` there is a pass of the planner."""

    def __init__(self, timeline: Timeline) -> None:
        self.offset: Seconds = 0.0
        self._timeline = timeline
        self._worked = 0.0

    def now(self) -> Timestamp:
        return self._timeline.now() + self.offset

    def monotonic(self) -> float:
        return self._timeline.monotonic() + self._worked

    def worked(self) -> float:
        self._worked += PLANNING_TIME
        return self._worked


class Points:
    """The points of a process at which it can be struck: before and after each of its writes and cloud calls.

    They are counted from 1; `fates` says what happens at which.
    """

    def __init__(self, fates: dict[int, Fate] | None = None) -> None:
        self.seen = 0
        self.fates = dict(fates or {})
        self.at: list[str] = []
        """What each point was, kept only with `remember`."""
        self.remember = False

    def passed(self, what: Callable[[], str]) -> Fate | None:
        """Count a point and return what happens there."""
        self.seen += 1
        if self.remember:
            self.at.append(what())
        return self.fates.get(self.seen)


class Loop(Protocol):
    """The reconciler of a daemon."""

    def deal(self, letter: Any) -> None: ...

    def turn(self) -> Timestamp | None: ...


AnyLoop = TypeVar("AnyLoop", bound=Loop)


class VirtualProcess(Generic[AnyLoop]):
    """A process. `reconciler` is set by whoever puts it together."""

    reconciler: AnyLoop

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        store: MemoryStore,
        points: Points,
        defect: Callable[[str], None],
        end_session: Callable[[SessionId], None],
    ) -> None:
        self.name = name
        self.store = store
        self.points = points
        self.clock = WorkingClock(timeline)
        self.alive = True
        self.busy = False
        """Its reconciler is at work at this very moment."""
        self.died: Callable[[], None] = _nobody_mourns
        self._end_session = end_session
        self._timeline = timeline
        self._defect = defect
        self._box: list[Any] = []
        self._wakes: set[float] = set()
        self._still_until = 0.0
        self._cuts = 0
        store.before = self._before_verb
        store.after = self._after_verb

    @property
    def undisturbed(self) -> bool:
        """Alive, connected and awake."""
        return self.alive and self.store.connected and self._still_until <= self._timeline.monotonic()

    def post(self, letter: Any) -> None:
        if self.alive:
            self._box.append(letter)
            if len(self._box) == 1:
                self._timeline.schedule(0.0, self._run)

    def kill(self) -> None:
        """End the process as kill -9 does. Its session lives on until ZooKeeper has not heard of it for too long."""
        if self.alive:
            self.alive = False
            self._box.clear()
            session = self.store.vanish()
            self._timeline.schedule(SESSION_TIMEOUT, lambda: self._end_session(session))
            self.died()

    def cut(self, seconds: Seconds) -> None:
        """Cut the connection to ZooKeeper; the session is lost when that lasts too long."""
        if not self.alive:
            return
        self._cuts += 1
        cut, session = self._cuts, self.store.session_id
        self.store.suspend()

        def still_cut() -> bool:
            return self.alive and cut == self._cuts

        def over() -> None:
            if still_cut():
                self._end_session(session)

        def mend() -> None:
            if still_cut():
                self._cuts += 1
                self.store.resume()

        self._timeline.schedule(SESSION_TIMEOUT, over)
        self._timeline.schedule(seconds, mend)

    def expire(self) -> None:
        """End the session. The client hears of it, and gets a new one, at once."""
        if self.alive:
            self._cuts += 1
            self.store.expire()
            self.store.resume()

    def stand_still(self, seconds: Seconds) -> None:
        """Do nothing for a while, except that connections are kept by other threads."""
        self._still_until = max(self._still_until, self._timeline.monotonic() + seconds)

    def go_on(self) -> None:
        """Stand still no longer, and connect again."""
        self._still_until = 0.0
        self._cuts += 1
        if self.alive:
            self.store.resume()
            self._timeline.schedule(0.0, self._run)

    def strike(self, fate: Fate) -> None:
        match fate:
            case Fate.KILLED:
                self.kill()
            case Fate.CUT:
                self.cut(SHORT_CUT)
            case Fate.AWAY:
                self.cut(LONG_CUT)
            case Fate.EXPIRED:
                self.expire()
            case Fate.LATE:
                self.stand_still(STALL)
                self.expire()

    def before_call(self, call: cloud.Call) -> bool:
        """A cloud call is about to arrive; tell whether it does. What a dead process had sent already arrives."""
        alive = self.alive
        self._point("before", call)
        return self.alive or not alive

    def after_call(self, call: cloud.Call) -> bool:
        """A cloud call was carried out; tell whether anybody hears of its answer."""
        self._point("after", call)
        return self.alive

    def turn(self) -> None:
        """Let the reconciler plan, if that is due."""
        if not self.alive:
            return
        if self._box:
            self._run()
            return
        if self._held_up(self.turn):
            return
        self.busy = True
        try:
            wake = self.reconciler.turn()
        except Exception:  # noqa: BLE001 - the reconciler's edge: a daemon would log it, here it is a finding
            self._defect(f"{self.name} could not plan:\n{traceback.format_exc()}")
            wake = self.clock.now() + 1.0
        self.busy = False
        if wake is not None:
            # Unix time has too few digits to name an instant twice in the same way; whole microseconds are one wake.
            at = (math.floor((self._timeline.monotonic() + max(wake - self.clock.now(), 0.0)) * 1e6) + 1) / 1e6
            if at not in self._wakes:
                self._wakes.add(at)
                self._timeline.schedule(at - self._timeline.monotonic(), lambda: self._woken(at))

    def _woken(self, at: float) -> None:
        self._wakes.discard(at)
        self.turn()

    def _run(self) -> None:
        if not self.alive or self._held_up(self._run):
            return
        letters, self._box = self._box, []
        self.busy = True
        for letter in letters:
            try:
                self.reconciler.deal(letter)
            except Exception:  # noqa: BLE001 - the reconciler's edge: a daemon would log it, here it is a finding
                self._defect(f"{self.name} could not deal with a letter:\n{traceback.format_exc()}")
        self.busy = False
        self.turn()

    def _held_up(self, again: Callable[[], None]) -> bool:
        left = self._still_until - self._timeline.monotonic()
        if left > 0:
            self._timeline.schedule(left, again)
        return left > 0

    def _before_verb(self, verb: Verb) -> None:
        if isinstance(verb, Commit):
            self._point("before", verb)

    def _after_verb(self, verb: Verb, answer: Answer) -> None:
        if isinstance(verb, Commit):
            self._point("after", verb)

    def _point(self, when: str, what: Commit | cloud.Call) -> None:
        if isinstance(what, cloud.ListAll | cloud.Look | cloud.ListImages) or not self.alive:
            return
        fate = self.points.passed(lambda: f"{when} {_named(what)}")
        if fate is not None:
            self.strike(fate)


VirtualLauncher: TypeAlias = VirtualProcess[Reconciler]


def _nobody_mourns() -> None:
    """Nothing is to be done when a process dies."""


def _named(what: Commit | cloud.Call) -> str:
    if isinstance(what, Commit):
        return ", ".join(f"{type(op).__name__} {op.path}" for op in what.ops)
    return type(what).__name__
