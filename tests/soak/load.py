"""A CI scheduler that asks at a steady pace, and writes down all that it was given and for how long.

It loses its own connection, too, when ZooKeeper fails. A job of such a moment is judged no further: its locks may be
gone, and then its nodes are nobody's.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nodepool_ng.demo.scheduler import NoAnswer, Refused, Scheduler, SchedulerError
from nodepool_ng.model.ids import NodeId, ProviderName
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import News, Problem, SessionNews, SessionState

PER_SECOND = 5.0
JOBS_AT_ONCE = 100
ANSWER_WITHIN = 120.0  # seconds
LATE = 3.0  # seconds; in quiet times no request takes that long
SHAPES: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("small",), None),
    (("small",), None),
    (("built",), None),
    (("small", "built"), None),
    (("small",), "south"),
    (("built",), "north"),
)
"""What is asked for, and from which provider alone."""
OUTAGE = (Problem.CONNECTION_LOST, Problem.SESSION_LOST, Problem.TIMED_OUT)


@dataclass(slots=True)
class Use:
    """A server in somebody's hands, in Unix seconds; `until` is the last moment at which it certainly was."""

    node: NodeId
    server: str
    since: float
    until: float


class _Noting(KazooStore):
    """A store that counts how often its connection was interrupted."""

    outages = 0

    def watch(self, roots: Sequence[str], on_news: Callable[[News], None]) -> None:
        def noting(news: News) -> None:
            if isinstance(news, SessionNews) and news.state is not SessionState.CONNECTED:
                self.outages += 1
            on_news(news)

        super().watch(roots, noting)


@dataclass(slots=True)
class _Asked:
    at: float
    answered: float | None = None


class Load:
    """Begins with `start`; `drain` has no more asked and waits for what is under way."""

    def __init__(self, zookeeper: ZooKeeperSettings, rng: random.Random, broken: Callable[[str], None]) -> None:
        self._rng = rng
        self._broken = broken
        self._store = _Noting(zookeeper)
        self._scheduler = Scheduler(self._store, name="soak", tenant="soak")
        self._pool = ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix="job")
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._asked: list[_Asked] = []
        self._clock = threading.Thread(target=self._tick, name="load")
        self.uses: list[Use] = []
        self.interrupted = 0

    def start(self) -> None:
        self._scheduler.start()
        self._clock.start()

    def drain(self) -> None:
        self._over.set()
        self._clock.join()
        self._pool.shutdown()

    def stop(self) -> None:
        self._scheduler.stop()

    @property
    def asked(self) -> int:
        return len(self._asked)

    def late(self) -> bool:
        """Tell whether a request has been waiting for longer than it would in quiet times."""
        now = time.monotonic()
        with self._lock:
            return any(one.answered is None and now - one.at > LATE for one in self._asked)

    def last_late(self, since: float) -> float | None:
        """Return when the last request was answered that waited too long at or after `since`, if any did."""
        with self._lock:
            answered = [(one.at, one.answered) for one in self._asked if one.answered is not None]
        return max((end for at, end in answered if end > since and end - at > LATE), default=None)

    def _tick(self) -> None:
        while not self._over.wait(self._rng.expovariate(PER_SECOND)):
            labels, provider = self._rng.choice(SHAPES)
            asked = _Asked(time.monotonic())
            with self._lock:
                self._asked.append(asked)
            self._pool.submit(self._job, asked, labels, provider, self._rng.uniform(0.2, 2.0))

    def _job(self, asked: _Asked, labels: tuple[str, ...], provider: str | None, seconds: float) -> None:
        outages = self._store.outages
        try:
            self._play(asked, labels, provider, seconds, outages)
        except NoAnswer as error:
            self._broken(f"KEPT: {error}")
        except Refused as error:
            self._broken(f"KEPT: {error}, although its pool was only disturbed")
        except SchedulerError as error:
            if self._store.outages != outages or any(problem.value in str(error) for problem in OUTAGE):
                self.interrupted += 1
            else:
                self._broken(f"ONCE: {error}")
        except Exception as error:  # noqa: BLE001 - the edge of a pool's thread: what went wrong here is told
            self._broken(f"the soak itself: {error!r}")
        finally:
            asked.answered = asked.answered or time.monotonic()

    def _play(self, asked: _Asked, labels: tuple[str, ...], provider: str | None, seconds: float, outages: int) -> None:
        name = None if provider is None else ProviderName(provider)
        answered = self._scheduler.wait(self._scheduler.ask(labels, provider=name), ANSWER_WITHIN)
        asked.answered = time.monotonic()
        lent = self._scheduler.take(answered)
        uses = [Use(each.node.id, str(each.node.external_id), time.time(), time.time()) for each in lent]
        if self._store.outages == outages:
            self.uses += uses
        lent = tuple(self._scheduler.use(each) for each in lent)
        self._over_or(seconds)
        for each, use in zip(lent, uses, strict=True):
            if self._store.outages == outages:
                use.until = time.time()
            self._scheduler.give_back(each)

    def _over_or(self, seconds: float) -> None:
        """Let the job run; at the end of the soak all jobs are cut short."""
        self._over.wait(seconds)
