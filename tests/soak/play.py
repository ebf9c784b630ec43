"""One soak: a crew under load, one failure after the other, until the time is over; then everything comes to rest."""

import itertools
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.store import Commit, Delete
from tests.soak.crew import BUILDS, NAMES, SMALL_DISK, Crew, crew
from tests.soak.faults import FAULTS, small_disks
from tests.soak.load import Load
from tests.soak.referee import Referee
from tests.soak.report import Report
from tests.support.daemons import wait_for
from tests.support.line import NoLine, lines

QUIET = "no failure"
AT_REST = "coming to rest"
RECOVER_WITHIN = 90.0  # seconds
REST_WITHIN = 120.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Until so many `seconds` have passed; `once`: each kind of failure once, however long that takes."""

    seconds: float = 0.0
    once: bool = False


class Soak:
    """What is going on, for whoever has to say during which failure something was noticed."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.during = QUIET

    def broken(self, what: str) -> None:
        self.report.broken(self.during, what)


def soak(folder: Path, servers: int, length: Length, rng: random.Random, report: Report) -> None:
    """Play on so many ZooKeeper servers, and put what came of it into the report."""
    state = Soak(report)
    with ExitStack() as stack:
        without = {"disks": stack.enter_context(small_disks(folder))}
        try:
            between = stack.enter_context(lines(len(NAMES), random.Random(rng.random())))
        except NoLine as error:
            between, without["line"] = (), str(error)
        made = stack.enter_context(crew(folder, servers, between))
        referee = Referee(made, state.broken)
        referee.plant()
        load = Load(made.place.zookeeper, rng, state.broken)
        wait_for(lambda: made.yard.in_service(1), "the image is in service", RECOVER_WITHIN)
        load.start()
        referee.start()
        try:
            for kind in _kinds(length, rng, without, report):
                state.during = kind
                _strike(kind, made, load, rng, report)
                state.during = QUIET
            _come_to_rest(made, load, referee, state)
        finally:
            load.drain()
            load.stop()
            referee.stop()
        report.counted["requests"] += load.asked
        report.counted["nodes used"] += len(load.uses)
        report.counted["jobs that lost their own ZooKeeper"] += load.interrupted
        if "Traceback" in made.place.logs(f"{SMALL_DISK}/launcher") + made.place.logs("builder"):
            report.broken("all of it", "SOUND: there is a traceback in a log")


def _kinds(length: Length, rng: random.Random, without: Mapping[str, str], report: Report) -> Iterator[str]:
    """Yield what is struck next. `without`: first words of kinds that cannot be made here, and why, if there is why."""
    reasons = {kind: why for kind in FAULTS for word, why in without.items() if why and kind.startswith(word)}
    report.left_out |= reasons
    kinds = [kind for kind in FAULTS if kind not in reasons]
    until = time.monotonic() + length.seconds
    for number in itertools.count():
        if number % len(kinds) == 0:
            rng.shuffle(kinds)
        if number >= len(kinds) if length.once else time.monotonic() >= until:
            return
        yield kinds[number % len(kinds)]


def _strike(kind: str, crew: Crew, load: Load, rng: random.Random, report: Report) -> None:
    """Let one failure happen, wait until nobody feels it any more, and write down how long that took."""
    struck = time.monotonic()
    FAULTS[kind](crew, rng)
    images = kind.startswith(("builder", "disks"))

    def over() -> bool:
        return not load.late() and (not images or _images_are_done(crew))

    try:
        wait_for(over, f"nobody feels this any more: {kind}", RECOVER_WITHIN)
    except TimeoutError as error:
        report.broken(kind, f"BACK: {error}")
        return
    end = time.monotonic() if images else load.last_late(struck)
    report.felt[kind].append(0.0 if end is None else end - struck)
    print(f"{kind}: {report.felt[kind][-1]:.1f} s", flush=True)


def _images_are_done(crew: Crew) -> bool:
    """Tell whether what was asked for by hand is in service everywhere; a failed build stays listed for a while."""
    states = [state for state in crew.yard.states() if state != "failed"]
    return not crew.yard.requested() and states == ["ready"] * 3 * BUILDS


def _come_to_rest(crew: Crew, load: Load, referee: Referee, state: Soak) -> None:
    state.during = AT_REST
    load.drain()
    # The session of a scheduler that lost its connection may have lasted, and with it locks of jobs that gave up.
    load.stop()
    begun = time.monotonic()
    # Those of jobs that lost their own connection: Zuul deletes such requests when it comes back.
    for path in crew.place.children(paths.REQUESTS):
        call(crew.yard.store, [Commit((Delete(path),))])
    try:
        wait_for(lambda: not referee.at_rest(), "rest", REST_WITHIN)
        state.report.felt[AT_REST].append(time.monotonic() - begun)
    except TimeoutError:
        state.broken(referee.at_rest())
    referee.judge(load.uses)
