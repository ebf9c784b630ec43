"""A CI scheduler in virtual time: asks for nodes, uses them, gives them back, as Zuul does."""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from nodepool_ng.model.ids import LabelName, NodeId, RequestId, Seconds, Timestamp
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.sim.virtual.scripts import (
    Actor,
    Pause,
    Round,
    Script,
    UntilChanged,
    Wait,
    commit,
    lock,
    read_node,
    read_request,
)
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.memory import Tree
from nodepool_ng.zk.store import Commit, Committed, Create, Delete, Failure
from nodepool_ng.zk.writes import set_node, set_request

PRIORITY = "200"
LOCK_PATIENCE: Seconds = 30.0


class After(StrEnum):
    """What a client does with its nodes when the job is over."""

    RETURN = "returns"
    HOLD = "holds"
    DIE = "dies with"


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
    withdrawn: bool = False
    trouble: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.ended is not None or self.failed or self.withdrawn


class VirtualScheduler:
    """Runs jobs over one session. `jobs` keeps all of their stories."""

    def __init__(self, timeline: Timeline, tree: Tree, message_time: Seconds) -> None:
        self._timeline = timeline
        self._actor = Actor("scheduler", timeline, tree, message_time)
        self.jobs: list[Job] = []

    def run_job(
        self,
        labels: tuple[LabelName, ...],
        seconds: Seconds,
        *,
        after: After = After.RETURN,
        hold: Seconds = 0,
        priority: str = PRIORITY,
        **more: Any,
    ) -> Job:
        """Begin a job that needs nodes of these labels for so long; `more` are further fields of its request."""
        job = Job(labels=labels, asked=self._timeline.now())
        self.jobs.append(job)
        self._actor.run(self._job(job, seconds, after, hold, priority, more))
        return job

    def withdraw(self, job: Job) -> None:
        """Delete a job's request, as a client does that has lost interest: at any moment, without a lock."""
        if job.request is not None and job.served is None and not job.failed:
            self._actor.run(self._withdraw(job, job.request))

    def revise(self, job: Job, relative_priority: float) -> None:
        """Change the priority of a request that waits, as Zuul does: under its lock, and not when that is taken."""
        if job.request is not None and not job.over:
            self._actor.run(self._revise(job.request, relative_priority))

    def _withdraw(self, job: Job, request: RequestId) -> Script:
        job.withdrawn = True
        yield from commit(Delete(paths.request(request)))

    def _revise(self, request: RequestId, relative_priority: float) -> Script:
        contender = yield from lock(self._actor, paths.request_lock(request), 0.0)
        if contender is None:
            return
        found = yield from read_request(request)
        if found is not None and found[0].state is RequestState.REQUESTED:
            revised = replace(found[0], relative_priority=relative_priority)
            yield from commit(set_request(revised, found[1]))
        yield from commit(Delete(contender))

    def _job(
        self, job: Job, seconds: Seconds, after: After, hold: Seconds, priority: str, more: dict[str, Any]
    ) -> Script:
        now = self._timeline.now()
        wanted = NodeRequest(
            id=RequestId(""),
            state=RequestState.REQUESTED,
            state_time=now,
            labels=job.labels,
            requestor="scheduler",
            event_id="simulated",
            created_time=now,
            **more,
        )
        answer = yield from commit(Create(paths.new_request(priority), codec.encode_request(wanted), sequence=True))
        assert isinstance(answer, Committed)
        path = str(answer.results[0])
        job.request = RequestId(path.rpartition("/")[2])
        request = yield from self._finished(job, path)
        if request is None:
            return
        job.served = self._timeline.now()
        job.nodes = request.nodes
        nodes = yield from self._accept(job, request)
        yield from commit(Delete(path))
        yield from self._write(job, nodes, state=NodeState.IN_USE)
        yield Pause(seconds)
        match after:
            case After.RETURN:
                yield from self._write(job, nodes, state=NodeState.USED)
            case After.HOLD:
                yield from self._write(job, nodes, state=NodeState.HOLD, hold_expiration=int(hold), comment="held")
            case After.DIE:
                job.ended = self._timeline.now()
                self._actor.die()
                return
        yield Round(tuple(Commit((Delete(contender),)) for _, contender in nodes))
        job.ended = self._timeline.now()

    def _finished(self, job: Job, path: str) -> Generator[Wait, Any, NodeRequest | None]:
        """Wait for the request to be answered; a failed one is deleted, as Zuul does."""
        assert job.request is not None
        while True:
            found = yield from read_request(job.request)
            if found is None:
                if not job.withdrawn:
                    job.trouble.append("the request is gone")
                return None
            request = found[0]
            if request.state is RequestState.FULFILLED:
                job.withdrawn = False
                return request
            if request.state is RequestState.FAILED:
                job.failed = True
                yield from commit(Delete(path))
                return None
            yield UntilChanged(path)

    def _accept(self, job: Job, request: NodeRequest) -> Generator[Wait, Any, list[tuple[Node, str]]]:
        """Lock the nodes one by one, after a look at each; return nodes, as seen before, and contenders."""
        accepted = []
        for node_id in request.nodes:
            found = yield from read_node(node_id)
            if found is None:
                job.trouble.append(f"node {node_id} is gone")
                continue
            node, _ = found
            if node.allocated_to != request.id or node.state is not NodeState.READY:
                job.trouble.append(f"node {node_id} is {node.state} for {node.allocated_to}")
            contender = yield from lock(self._actor, paths.node_lock(node_id), LOCK_PATIENCE)
            if contender is None:
                job.trouble.append(f"node {node_id} is locked by somebody else")
            else:
                accepted.append((node, contender))
        return accepted

    def _write(self, job: Job, nodes: list[tuple[Node, str]], **changes: Any) -> Script:
        """Write the nodes unconditionally, as they were seen before they were locked, and changed so."""
        now = self._timeline.now()
        changed = [(node, replace(node, state_time=now, **changes)) for node, _ in nodes]
        answers = yield Round(tuple(Commit((set_node(new),)) for _, new in changed))
        for (node, _), answer in zip(changed, answers, strict=True):
            if isinstance(answer, Failure):
                job.trouble.append(f"node {node.id} cannot be written: {answer}")
