"""Many CI jobs on one thread: each asks, waits, takes its nodes, runs for a while and gives them back, as Zuul does.

The order of writes is that of `nodepool_ng.demo.scheduler`, which is for few jobs and blocks. Here a job is a
generator that yields what it waits for: verbs for ZooKeeper, seconds, or the answer to its request.
"""

import heapq
import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodepool_ng.demo.scheduler import NORMAL, request_record
from nodepool_ng.model.ids import LabelName, NodeId, RequestId, TenantName
from nodepool_ng.model.lifecycle import NodeEvent, RequestState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk import locks, paths
from nodepool_ng.zk.blocking import CALL_TIMEOUT, call
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.codec import decode_node, decode_request, encode_node
from nodepool_ng.zk.locks import Behind, Owned
from nodepool_ng.zk.store import (
    Changed,
    Commit,
    Committed,
    Create,
    Delete,
    Get,
    Got,
    Kind,
    News,
    SessionNews,
    SessionState,
    Set,
    Verb,
)

LOCK_AGAIN = 0.01  # seconds
DONE = frozenset({RequestState.FULFILLED, RequestState.FAILED})


@dataclass(slots=True, kw_only=True)
class Life:
    """One job, with instants on the monotonic clock. `answered` is when the watch told of it."""

    labels: tuple[LabelName, ...]
    seconds: float
    written: float = 0.0
    answered: float = 0.0
    ended: float = 0.0
    failed: str = ""
    nodes: list[NodeId] = field(default_factory=list)

    @property
    def took(self) -> float:
        """Seconds from the request being in ZooKeeper to the event of its answer."""
        return self.answered - self.written


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a job yields to wait for the answer to its request; it is sent the request."""

    id: RequestId


class JobFailed(Exception):
    """A job did not get what it asked for; the text says why."""


class Jobs:
    """A CI system. `ask` may be called from any thread; `lives` are all jobs, in the order of asking."""

    def __init__(self, settings: ZooKeeperSettings, name: str = "bench") -> None:
        self._store = KazooStore(settings)
        self._name = name
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._connected = threading.Event()
        self._waiting: dict[RequestId, tuple[Life, Generator[Any, Any, None]]] = {}
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._over = threading.Condition()
        self._going = 0
        self.lives: list[Life] = []

    def start(self) -> "Jobs":
        self._store.watch((paths.REQUESTS,), self._hear)
        self._store.start()
        if not self._connected.wait(30):
            raise JobFailed("no connection to ZooKeeper")
        # As Zuul does: launchers need not have been there.
        call(self._store, [Commit((Create(path),)) for path in (paths.ROOT, paths.REQUESTS)])
        self._thread.start()
        return self

    def stop(self) -> None:
        self._inbox.put(None)
        self._thread.join()
        self._store.stop()

    def ask(
        self,
        labels: Sequence[str],
        seconds: float = 0.0,
        then: Callable[[Life], None] | None = None,
        *,
        use: bool = True,
        count: int = 1,
    ) -> list[Life]:
        """Start `count` equal jobs that run so long; `then` is called at the end of each, on the jobs' thread. Jobs
        that do not `use` their nodes give them back untouched."""
        made = [Life(labels=tuple(map(LabelName, labels)), seconds=seconds) for _ in range(count)]
        with self._over:
            self._going += len(made)
            self.lives += made
        for life in made:
            self._inbox.put(lambda life=life: self._advance(life, self._job(life, use, then), None))  # type: ignore[misc]
        return made

    def wait(self, lives: Sequence[Life], timeout: float = 300.0) -> None:
        """Wait until these jobs have ended; raise `JobFailed` for one that has failed."""
        with self._over:
            if not self._over.wait_for(lambda: all(life.ended for life in lives), timeout):
                open_ones = sum(not life.answered for life in lives)
                raise JobFailed(f"after {timeout:.0f} s {open_ones} of {len(lives)} requests have no answer")
        failed = next((life.failed for life in lives if life.failed), "")
        if failed:
            raise JobFailed(failed)

    def wait_answered(self, lives: Sequence[Life], timeout: float = 300.0) -> None:
        """Wait until these requests were answered; their jobs may go on."""
        with self._over:
            if not self._over.wait_for(lambda: all(life.answered for life in lives), timeout):
                missing = sum(not life.answered for life in lives)
                raise JobFailed(f"after {timeout:.0f} s {missing} of {len(lives)} requests have no answer")

    def _job(
        self, life: Life, use: bool, then: Callable[[Life], None] | None
    ) -> Generator[Sequence[Verb] | float | _Answer, Any, None]:
        record = request_record(life.labels, name=self._name, tenant=TenantName("bench"), now=time.time())
        data = json.dumps(record).encode()
        (made,) = yield [Commit((Create(paths.new_request(NORMAL), data, sequence=True),))]
        if not isinstance(made, Committed):
            raise JobFailed(f"a request could not be written: {made}")
        id = RequestId(str(made.results[0]).rpartition("/")[2])
        request: NodeRequest = yield _Answer(id)
        if request.state is RequestState.FAILED:
            yield [Commit((Delete(paths.request(id)),))]
            raise JobFailed(f"request {id} failed")
        life.nodes = list(request.nodes)
        held = []
        for node_id in request.nodes:
            held.append((yield from self._take(node_id, id)))
        yield [Commit((Delete(paths.request(id)),))]
        if use:
            held = yield from self._write(held, NodeEvent.TAKEN)
            yield life.seconds
            yield from self._write(held, NodeEvent.RETURNED)
        yield [Commit((Delete(lock),)) for _, lock in held]
        life.ended = time.monotonic()
        if then is not None:
            then(life)

    def _take(self, id: NodeId, request: RequestId) -> Generator[Any, Any, tuple[Node, str]]:
        directory, token = paths.node_lock(id), locks.new_token()
        (got,) = yield [Get(paths.node(id))]
        node = decode_node(id, got.data) if isinstance(got, Got) else None
        if not isinstance(node, Node) or node.allocated_to != request:
            raise JobFailed(f"node {id} of request {request} is not its own: {got}")
        answers = yield list(locks.contend(directory, self._name, token, exists=True))
        verdict = locks.judge_answers(answers, directory, token, 0)
        while isinstance(verdict, Behind):
            yield LOCK_AGAIN
            (listed,) = yield list(locks.contend(directory, self._name, token))[-1:]
            verdict = locks.judge(listed.names, verdict.held)
        if not isinstance(verdict, Owned):
            raise JobFailed(f"node {id} cannot be locked: {verdict}")
        return node, verdict.held.path

    def _write(self, held: list[tuple[Node, str]], event: NodeEvent) -> Generator[Any, Any, list[tuple[Node, str]]]:
        written = [(moved(node, event, time.time()), lock) for node, lock in held]
        answers = yield [Commit((Set(paths.node(node.id), encode_node(node)),)) for node, _ in written]
        for answer in answers:
            if not isinstance(answer, Committed):
                raise JobFailed(f"a node could not be written: {answer}")
        return written

    def _advance(self, life: Life, job: Generator[Any, Any, None], answer: Any) -> None:
        try:
            step = job.send(answer)
        except (StopIteration, JobFailed) as end:
            with self._over:
                if isinstance(end, JobFailed):
                    life.failed = str(end)
                    life.ended = life.answered = time.monotonic()
                self._going -= 1
                self._over.notify_all()
            return
        match step:
            case float() | int():
                due = time.monotonic() + step
                heapq.heappush(self._timers, (due, next(self._numbers), lambda: self._advance(life, job, None)))
            case _Answer(id):
                self._waiting[id] = (life, job)
            case verbs:
                self._store.submit(verbs, lambda answers: self._answered(life, job, answers))

    def _answered(self, life: Life, job: Generator[Any, Any, None], answers: Any) -> None:
        """Go on with a job; on the connection's thread, which is where a request's instant of writing is taken."""
        if not life.written:
            life.written = time.monotonic()
        self._inbox.put(lambda: self._advance(life, job, answers))

    def _hear(self, news: News) -> None:
        match news:
            case Changed(path, Kind.CHANGED):
                heard = time.monotonic()
                id = RequestId(path.rpartition("/")[2])
                self._inbox.put(lambda: self._look(id, heard))
            case SessionNews(SessionState.CONNECTED):
                self._connected.set()

    def _look(self, id: RequestId, heard: float) -> None:
        if id in self._waiting:
            self._store.submit(
                [Get(paths.request(id))], lambda answers: self._inbox.put(lambda: self._read(id, heard, answers[0]))
            )

    def _read(self, id: RequestId, heard: float, got: object) -> None:
        request = decode_request(id, got.data) if isinstance(got, Got) else None
        if isinstance(request, NodeRequest) and request.state in DONE and id in self._waiting:
            life, job = self._waiting.pop(id)
            life.answered = heard
            with self._over:
                self._over.notify_all()
            self._advance(life, job, request)

    def _run(self) -> None:
        while True:
            due = self._timers[0][0] - time.monotonic() if self._timers else CALL_TIMEOUT
            try:
                step = self._inbox.get(timeout=max(due, 0.0)) if due > 0 else self._inbox.get_nowait()
            except queue.Empty:
                step = _nothing
            if step is None:
                return
            step()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()


def _nothing() -> None:
    """What is to be done when only time has passed."""
