"""A CI scheduler at the other end of ZooKeeper: it does what Zuul does, in Zuul's order, with Zuul's keys.

It asks with a persistent request, hears of the answer by a watch, checks that the nodes are its own, locks them in
order, deletes the request; later it writes `in-use`, then `used` or `hold`, and lets go. It knows nothing of launchers.

Calls block, so each belongs to one thread; several threads may share a `Scheduler`.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nodepool_ng.model.ids import Json, LabelName, NodeId, ProviderName, RequestId, Seconds, TenantName
from nodepool_ng.model.lifecycle import NodeEvent, RequestState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import locks, paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.codec import Damaged, Ghost, decode_node, decode_request
from nodepool_ng.zk.locks import Behind, Held, Owned
from nodepool_ng.zk.store import (
    Answer,
    Answers,
    Changed,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Kind,
    Names,
    News,
    SessionNews,
    SessionState,
    Store,
    Verb,
)
from nodepool_ng.zk.writes import set_node

NORMAL = "200"
"""The priority of ordinary jobs; Zuul has 100, 200 and 300, the lowest first."""
CONNECT_TIMEOUT = 20.0  # seconds
LOCK_TIMEOUT = 30.0  # seconds, for each node, as in Zuul
DONE = frozenset({RequestState.FULFILLED, RequestState.FAILED})


class SchedulerError(Exception):
    """What was to be done could not be; the text says why."""


class NoAnswer(SchedulerError):
    """Neither nodes nor a refusal came in time."""


class Refused(SchedulerError):
    """The request failed: nobody can serve it."""


class NotOurs(SchedulerError):
    """A node of a fulfilled request is allocated to somebody else, locked by somebody else, or gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When something became true, on this process's monotonic clock, in seconds.

    `answered` is when the watch told of the write that answered the request, not when its record had been read.
    """

    sent: float
    written: float
    answered: float

    @property
    def took(self) -> Seconds:
        """From the request being in ZooKeeper to the watch event that it is answered."""
        return self.answered - self.written


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that is fulfilled, or has failed, and how long that took."""

    request: NodeRequest
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A node that we hold the lock of; `node` is what we last read or wrote."""

    node: Node
    held: Held


class Scheduler:
    """One CI system's session. Everything it asked for and was lent ends with `stop`, except held nodes and requests
    that were never cancelled, which stay as those of a crashed Zuul would."""

    def __init__(self, store: Store, name: str = "nodepool_ng demo", tenant: str = "demo") -> None:
        self._store = store
        self._name = name
        self._tenant = TenantName(tenant)
        self._changed = threading.Condition()
        self._changes = 0
        self._connected = False
        self._open: dict[RequestId, _Open] = {}

    def start(self, timeout: Seconds = CONNECT_TIMEOUT) -> None:
        """Connect; raise `SchedulerError` when that takes longer than `timeout`."""
        self._store.watch((paths.REQUESTS, paths.NODES), self._hear)
        self._store.start()
        self.wait_connected(timeout)

    def wait_connected(self, timeout: Seconds = CONNECT_TIMEOUT) -> None:
        """Wait until ZooKeeper is there, or there again; raise `SchedulerError` when that takes longer."""
        if not self._wait(lambda: self._connected, timeout):
            raise SchedulerError(f"no connection to ZooKeeper within {timeout:.0f} s")

    def stop(self) -> None:
        self._store.stop()

    def ask(
        self,
        labels: Sequence[str],
        *,
        priority: str = NORMAL,
        relative_priority: int = 0,
        provider: ProviderName | None = None,
        job: str = "demo-job",
    ) -> RequestId:
        """Write a request for one node of each label, repeats allowed, all in one pool. Returns at once when it is
        written; raises `SchedulerError` when it could not be."""
        record = request_record(
            [LabelName(label) for label in labels],
            name=self._name,
            tenant=self._tenant,
            now=time.time(),
            relative_priority=relative_priority,
            provider=provider,
            job=job,
        )
        opened: list[RequestId] = []
        failed: list[Answer] = []
        sent = time.monotonic()

        def written(answers: Answers) -> None:
            # On the connection's thread, which has the answer before it has any later news of the request.
            match answers[0]:
                case Committed((str(path), *_)):
                    id = RequestId(path.rpartition("/")[2])
                    with self._changed:
                        self._open[id] = _Open(sent=sent, written=time.monotonic())
                        opened.append(id)
                        self._changed.notify_all()
                case other:
                    with self._changed:
                        failed.append(other)
                        self._changed.notify_all()

        data = json.dumps(record).encode()
        self._store.submit([Commit((Create(paths.new_request(priority), data, sequence=True),))], written)
        self._wait(lambda: bool(opened or failed), CONNECT_TIMEOUT)
        if not opened:
            raise SchedulerError(f"the request could not be written: {failed[0] if failed else 'no answer'}")
        return opened[0]

    def wait(self, id: RequestId, timeout: Seconds) -> Answered:
        """Wait until a request of ours is fulfilled.

        Raises:
            NoAnswer: it was neither fulfilled nor failed within `timeout`; it stays, see `cancel`.
            Refused: it has failed; it is deleted then, as Zuul does.
        """
        state = self._open[id]
        if not self._wait(lambda: state.answer is not None, timeout):
            raise NoAnswer(f"request {id} has no answer after {timeout:.0f} s")
        assert state.answer is not None
        if state.answer.request.state is RequestState.FAILED:
            self.cancel(id)
            raise Refused(f"request {id} failed: declined by {', '.join(state.answer.request.declined_by) or 'nobody'}")
        return state.answer

    def take(self, answered: Answered) -> tuple[Lent, ...]:
        """Take over the nodes of a fulfilled request, in order: read, check, lock; then delete the request.

        Raises:
            NotOurs: one of them cannot be had; the others are let go of and the request is deleted all the same.
        """
        request = answered.request
        lent: list[Lent] = []
        try:
            for id in request.nodes:
                node = self._read(id)
                if node.allocated_to != request.id:
                    raise NotOurs(f"node {id} is allocated to {node.allocated_to}, not to {request.id}")
                lent.append(Lent(node=node, held=self._lock(id)))
        except NotOurs:
            self._round([Commit((locks.release(each.held),)) for each in lent])
            raise
        finally:
            self.cancel(request.id)
        return tuple(lent)

    def use(self, lent: Lent, project: str = "example/project") -> Lent:
        """Write that a job runs on the node. Raises `SchedulerError` when the lock is lost."""
        user_data: Json = {"zuul_system": self._name, "project_name": project}
        return self._write(lent, NodeEvent.TAKEN, user_data=user_data)

    def give_back(self, lent: Lent) -> None:
        """Write that the node is used, and let go of it. Raises `SchedulerError` when the lock is lost."""
        self._write(lent, NodeEvent.RETURNED, release=True)

    def hold(self, lent: Lent, job: str, reason: str, expiration: int | None = None) -> None:
        """Keep the node for a human and let go of it; `expiration` is in seconds.

        Raises `SchedulerError` when the lock is lost.
        """
        limit = {} if expiration is None else {"hold_expiration": expiration}
        self._write(lent, NodeEvent.HELD, release=True, hold_job=job, comment=reason, **limit)

    def release(self, lent: Lent) -> None:
        """Let go of a node without having used it."""
        self._round([Commit((locks.release(lent.held),))])

    def cancel(self, id: RequestId) -> None:
        """Delete a request, whatever its state, and forget it."""
        self._round([Commit((Delete(paths.request(id)),))])
        with self._changed:
            self._open.pop(id, None)

    def _hear(self, news: News) -> None:
        """Hear of changes and of the connection, on the connection's thread."""
        now = time.monotonic()
        with self._changed:
            match news:
                case Changed(path, kind):
                    self._changes += 1
                    folder, _, name = path.rpartition("/")
                    if folder == paths.REQUESTS and kind is not Kind.DELETED:
                        self._look(RequestId(name), now)
                case SessionNews(state):
                    self._connected = state is SessionState.CONNECTED
                    for id in tuple(self._open) if self._connected else ():
                        self._look(id, now)
            self._changed.notify_all()

    def _look(self, id: RequestId, heard: float) -> None:
        """Read a request of ours again."""
        state = self._open.get(id)
        if state is None or state.answer is not None:
            return
        state.heard = heard

        def read(answers: Answers) -> None:
            # ZooKeeper tells of a change before it shows it: the last that we heard is what answered the request.
            match answers[0]:
                case Got(data):
                    request = decode_request(id, data)
                    if isinstance(request, NodeRequest) and request.state in DONE:
                        timing = Timing(sent=state.sent, written=state.written, answered=state.heard)
                        with self._changed:
                            state.answer = state.answer or Answered(request=request, timing=timing)
                            self._changed.notify_all()

        self._store.submit([Get(paths.request(id))], read)

    def _wait(self, condition: Callable[[], bool], timeout: Seconds) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def _read(self, id: NodeId) -> Node:
        match self._round([Get(paths.node(id))])[0]:
            case Got(data):
                node = decode_node(id, data)
                if isinstance(node, Damaged | Ghost):
                    raise NotOurs(f"the record of node {id} cannot be used")
                return node
            case other:
                raise NotOurs(f"node {id} cannot be read: {other}")

    def _lock(self, id: NodeId) -> Held:
        """Take a node's lock, waiting for whoever has it."""
        directory, token = paths.node_lock(id), locks.new_token()
        deadline = time.monotonic() + LOCK_TIMEOUT
        answers = self._round(locks.contend(directory, self._name, token))
        verdict = locks.judge_answers(answers, directory, token, self._store.session)
        while isinstance(verdict, Behind):
            with self._changed:
                seen = self._changes
            listed = self._round([Children(directory)])[0]
            verdict = locks.judge(listed.names if isinstance(listed, Names) else (), verdict.held)
            if isinstance(verdict, Behind) and not self._wait(
                lambda seen=seen: self._changes != seen,  # type: ignore[misc]
                deadline - time.monotonic(),
            ):
                self._round([Commit((locks.release(verdict.held),))])
                raise NotOurs(f"node {id} is still locked by somebody else after {LOCK_TIMEOUT:.0f} s")
        if isinstance(verdict, Owned):
            return verdict.held
        raise NotOurs(f"node {id} cannot be locked: {verdict}")

    def _write(self, lent: Lent, event: NodeEvent, *, release: bool = False, **changes: object) -> Lent:
        # Zuul puts the id into the record, too, and keeps what it does not know.
        extra: Mapping[str, Json] = {**lent.node.extra, "id": lent.node.id}
        node = moved(lent.node, event, time.time(), extra=extra, **changes)
        verbs: list[Verb] = [Commit((locks.guard(lent.held), set_node(node)))]
        if release:
            verbs.append(Commit((locks.release(lent.held),)))
        written = self._round(verbs)[0]
        if isinstance(written, Failure):
            raise SchedulerError(f"node {node.id} is no longer ours: {written}")
        return replace(lent, node=node)

    def _round(self, verbs: Sequence[Verb]) -> Answers:
        return call(self._store, verbs) if verbs else ()


class _Open:
    """A request that was written and not deleted yet."""

    __slots__ = ("answer", "heard", "sent", "written")

    def __init__(self, sent: float, written: float) -> None:
        self.sent = sent
        self.written = written
        self.heard = written
        self.answer: Answered | None = None


def request_record(
    labels: Sequence[LabelName],
    *,
    name: str,
    tenant: TenantName,
    now: float,
    relative_priority: int = 0,
    provider: ProviderName | None = None,
    job: str = "demo-job",
) -> dict[str, Json]:
    """Return a new request with just the keys that Zuul writes: none for the answer, none about reuse."""
    return {
        "node_types": list(labels),
        "requestor": name,
        "requestor_data": {
            "build_set_uuid": uuid.uuid4().hex,
            "tenant_name": tenant,
            "pipeline_name": "check",
            "job_uuid": uuid.uuid4().hex,
            "job_name": job,
            "span_info": None,
        },
        "created_time": now,
        "tenant_name": tenant,
        "provider": provider,
        "relative_priority": relative_priority,
        "event_id": uuid.uuid4().hex,
        "state": RequestState.REQUESTED.value,
        "state_time": now,
    }
