"""A CI scheduler in virtual time: asks for nodes, uses them, gives them back, as Zuul does.

A job is written as a script, a generator that yields what it waits for.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from nodepool_ng.model.ids import LabelName, NodeId, RequestId, Seconds, Timestamp
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.store import (
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
    Names,
    News,
    Set,
    Verb,
)

PRIORITY = "200"


@dataclass(frozen=True, slots=True)
class Round:
    verbs: tuple[Verb, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class UntilChanged:
    path: str


Wait: TypeAlias = Round | Pause | UntilChanged
Script: TypeAlias = Generator[Wait, Any, None]


@dataclass(slots=True)
class Job:
    """One job's story; instants are Unix time, None for what has not come yet."""

    labels: tuple[LabelName, ...]
    asked: Timestamp
    request: RequestId | None = None
    served: Timestamp | None = None
    nodes: tuple[NodeId, ...] = ()
    ended: Timestamp | None = None
    failed: bool = False
    trouble: list[str] = field(default_factory=list)


class VirtualScheduler:
    """Runs jobs over one session. `jobs` keeps all of their stories."""

    def __init__(self, timeline: Timeline, tree: Tree, message_time: Seconds) -> None:
        self._timeline = timeline
        self._store = MemoryStore(tree, lambda: message_time)
        self._store.watch((paths.REQUESTS,), self._hear)
        self._store.start()
        self._waiting: dict[str, list[Script]] = {}
        self._changed: set[str] = set()
        self._token = 0
        self.jobs: list[Job] = []

    def run_job(self, labels: tuple[LabelName, ...], seconds: Seconds, **more: Any) -> Job:
        """Begin a job that needs nodes of these labels for so long."""
        job = Job(labels=labels, asked=self._timeline.now())
        self.jobs.append(job)
        self._advance(self._job(job, seconds, more), None)
        return job

    def withdraw(self, request: RequestId) -> None:
        """Delete a request, as a client does that has lost interest: at any moment, without a lock."""
        self._advance(self._delete(request), None)

    def _delete(self, request: RequestId) -> Script:
        yield Round((Commit((Delete(paths.request(request)),)),))

    def _job(self, job: Job, seconds: Seconds, more: dict[str, Any]) -> Script:
        wanted = NodeRequest(
            id=RequestId(""),
            state=RequestState.REQUESTED,
            state_time=self._timeline.now(),
            labels=job.labels,
            requestor="scheduler",
            event_id="simulated",
            created_time=self._timeline.now(),
            **more,
        )
        made = Create(paths.new_request(PRIORITY), codec.encode_request(wanted), sequence=True)
        (answer,) = yield Round((Commit((made,)),))
        assert isinstance(answer, Committed)
        path = str(answer.results[0])
        job.request = RequestId(path.rpartition("/")[2])
        request = yield from self._finished(job, path)
        if request is None:
            return
        job.served = self._timeline.now()
        job.nodes = request.nodes
        nodes = yield from self._accept(job, request)
        yield Round((Commit((Delete(path),)),))
        yield from self._write(nodes, NodeState.IN_USE)
        yield Pause(seconds)
        yield from self._write(nodes, NodeState.USED)
        yield Round(tuple(Commit((Delete(lock),)) for _, _, lock in nodes))
        job.ended = self._timeline.now()

    def _finished(self, job: Job, path: str) -> Generator[Wait, Any, NodeRequest | None]:
        """Wait for the request to be answered; a failed one is deleted, as Zuul does."""
        while True:
            (got,) = yield Round((Get(path),))
            request = (
                codec.decode_request(RequestId(path.rpartition("/")[2]), got.data) if isinstance(got, Got) else None
            )
            if not isinstance(request, NodeRequest):
                job.trouble.append("the request is gone")
                return None
            if request.state is RequestState.FULFILLED:
                return request
            if request.state is RequestState.FAILED:
                job.failed = True
                yield Round((Commit((Delete(path),)),))
                return None
            yield UntilChanged(path)

    def _accept(self, job: Job, request: NodeRequest) -> Generator[Wait, Any, list[tuple[Node, int, str]]]:
        """Lock the nodes one by one, after a look at each; return node, version and contender."""
        accepted = []
        for node_id in request.nodes:
            self._token += 1
            directory = paths.node_lock(node_id)
            contender = Create(f"{directory}/{self._token:032x}__lock__", ephemeral=True, sequence=True)
            got, made, names = yield Round((Get(paths.node(node_id)), Commit((contender,)), Children(directory)))
            node = codec.decode_node(node_id, got.data) if isinstance(got, Got) else None
            if not isinstance(node, Node) or not isinstance(made, Committed) or not isinstance(names, Names):
                job.trouble.append(f"node {node_id} is gone")
                continue
            mine = str(made.results[0])
            if node.allocated_to != request.id or node.state is not NodeState.READY:
                job.trouble.append(f"node {node_id} is {node.state} for {node.allocated_to}")
            if min(names.names, key=lambda name: name[-10:]) != mine.rpartition("/")[2]:
                job.trouble.append(f"node {node_id} is locked by somebody else")
            accepted.append((node, got.stat.version, mine))
        return accepted

    def _write(self, nodes: list[tuple[Node, int, str]], state: NodeState) -> Script:
        """Write the nodes' state unconditionally, from the look before they were locked."""
        now = self._timeline.now()
        yield Round(
            tuple(
                Commit((Set(paths.node(node.id), codec.encode_node(replace(node, state=state, state_time=now))),))
                for node, _, _ in nodes
            )
        )

    def _advance(self, script: Script, answer: Any) -> None:
        try:
            wait = script.send(answer)
        except StopIteration:
            return
        match wait:
            case Round(verbs):
                if verbs:
                    self._store.submit(verbs, lambda answers: self._answered(script, answers))
                else:
                    self._timeline.schedule(0.0, lambda: self._advance(script, ()))
            case Pause(seconds):
                self._timeline.schedule(seconds, lambda: self._advance(script, None))
            case UntilChanged(path):
                self._waiting.setdefault(path, []).append(script)

    def _answered(self, script: Script, answers: Answers) -> None:
        failure = next((one for one in answers if isinstance(one, Failure)), None)
        if failure is not None and self.jobs:
            self.jobs[-1].trouble.append(str(failure))
        self._advance(script, answers)

    def _hear(self, news: News) -> None:
        if isinstance(news, Changed):
            for script in self._waiting.pop(news.path, []):
                self._advance(script, None)
