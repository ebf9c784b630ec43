"""What the demo's CI scheduler does with nodes: asks, takes over, looks whether they are what their records say."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncssh

from nodepool_ng.demo.scheduler import Lent, Scheduler, Timing
from nodepool_ng.model.ids import LabelName, NodeId, Seconds
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest

ANSWER_TIMEOUT = 90.0  # seconds; a cold set needs a boot
CONNECT_TIMEOUT = 20.0  # seconds
HOLD = 3600  # seconds


@dataclass(slots=True, kw_only=True)
class Job:
    """A job, what it was given, and what came of that. `strangers` are nodes that did not show the host key of
    their record."""

    name: str
    labels: tuple[LabelName, ...]
    request: NodeRequest
    timing: Timing
    lent: tuple[Lent, ...]
    strangers: tuple[NodeId, ...] = ()
    held: list[NodeId] = field(default_factory=list)
    used: list[NodeId] = field(default_factory=list)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(each.node for each in self.lent)


def begin(scheduler: Scheduler, name: str, labels: Sequence[LabelName]) -> Job:
    """Ask for nodes and take them over. Raises what `Scheduler.wait` and `Scheduler.take` raise."""
    answered = scheduler.wait(scheduler.ask(labels, job=name), ANSWER_TIMEOUT)
    lent = scheduler.take(answered)
    return Job(name=name, labels=tuple(labels), request=answered.request, timing=answered.timing, lent=lent)


def work(scheduler: Scheduler, job: Job, *, ssh: bool) -> None:
    """Run the job: say so in the records, and with `ssh` connect to every node."""
    job.lent = tuple(scheduler.use(each) for each in job.lent)
    if ssh:
        job.strangers = asyncio.run(_strangers(job.nodes))


def end(scheduler: Scheduler, job: Job, *, hold_last: bool = False) -> None:
    """Give the nodes back; with `hold_last`, keep the last one for a human."""
    kept = job.lent[-1:] if hold_last else ()
    for each in job.lent[: len(job.lent) - len(kept)]:
        scheduler.give_back(each)
        job.used.append(each.node.id)
    for each in kept:
        scheduler.hold(each, f"demo example/project {job.name} .*", "The job failed, somebody wants to look", HOLD)
        job.held.append(each.node.id)


def span(seconds: Seconds) -> str:
    """Return a duration as people say it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


async def _strangers(nodes: Sequence[Node]) -> tuple[NodeId, ...]:
    keys = await asyncio.gather(*map(_host_key, nodes))
    return tuple(node.id for node, key in zip(nodes, keys, strict=True) if key not in node.host_keys)


async def _host_key(node: Node) -> str:
    """Return the host key that a node shows, as its record has them; empty when it shows none."""
    port = node.connection_port if isinstance(node.connection_port, int) else 22
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            key = await asyncssh.get_server_host_key(node.interface_ip or "", port)
    except (OSError, asyncssh.Error, TimeoutError):
        return ""
    return "" if key is None else " ".join(key.export_public_key().decode().split()[:2])
