"""The witness that writes history: what happened to each node, request and image, and what this launcher did why."""

from collections.abc import Iterator
from typing import TypeAlias, TypeVar

from nodepool_ng.launcher.outcome import Outcome
from nodepool_ng.launcher.telling import names_of, what
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import INSTANCES
from nodepool_ng.model.reason import sentence
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.view import View
from nodepool_ng.telemetry.history import Demand, Event, History, PoolSample, Span
from nodepool_ng.zk import paths
from nodepool_ng.zk.changes import BuildChange, Change, Entry, NodeChange, RequestChange, UploadChange

T = TypeVar("T")
Told: TypeAlias = Event | Span | Demand
SAMPLE_EVERY: Seconds = 60.0
_QUIET = (do.ListServers, do.ReadCapacity, do.SweepNetwork, do.LookAtHost, do.Unlock, do.SweepLocks)
_BUSY = (NodeState.IN_USE, NodeState.USED)


class Recorder:
    """Hands events to the history; on the reconciler's thread, so it only passes on."""

    def __init__(self, history: History) -> None:
        self._history = history

    def planned(self, took: Seconds) -> None:
        pass

    def begun(self, world: World, action: do.Action) -> None:
        if isinstance(action, _QUIET):
            return
        words = f"{what(action)}: {sentence(action.why)}"
        for kind, name in names_of(action):
            self._history.tell(Event(time=world.now, kind=kind, name=name, event="action", detail=words))

    def ended(self, world: World, action: do.Action, outcome: Outcome) -> None:
        pass

    def changed(self, world: World, change: Change) -> None:
        match change:
            case NodeChange(before=before, after=after):
                told = _node(world, _of(before), _of(after))
            case RequestChange(before=before_request, after=after_request):
                told = _request(world, _of(before_request), _of(after_request))
            case BuildChange(before=before_build, after=after_build):
                told = _build(world, _of(before_build), _of(after_build))
            case UploadChange(before=before_upload, after=after_upload):
                told = _upload(world, _of(before_upload), _of(after_upload))
            case _:
                return
        for entry in told:
            self._history.tell(entry)


def _of(entry: Entry[T] | None) -> T | None:
    return entry.record if entry is not None else None


def _node(world: World, before: Node | None, after: Node | None) -> Iterator[Told]:
    known = after or before
    if known is None or (before and after and before.state is after.state):
        return
    if before is None and known.state_time < world.now - 60:
        return  # it was there before this launcher looked: nothing happened now
    detail = f"{','.join(known.labels)} in {known.provider}/{known.pool}"
    if known.allocated_to:
        detail += f", for request {known.allocated_to}"
    elif before is None and known.state is NodeState.INIT:
        detail += ", since min-ready wants one more"
    event = after.state.value if after else "gone"
    yield Event(time=world.now, kind="node", name=known.id, event=event, detail=detail)
    if before is None:
        return
    match before.state, after.state if after else None:
        case NodeState.BUILDING, NodeState.READY:
            yield _span(world, known, "boot", world.now - (known.created_time or known.state_time))
        case NodeState.IN_USE, NodeState.USED | NodeState.DELETING:
            used = world.now - before.state_time
            yield _span(world, known, "life", used)
            if known.allocated_to:
                yield Demand(time=world.now, request=known.allocated_to, seconds=used)
        case NodeState.DELETING, None:
            yield _span(world, known, "delete", world.now - before.state_time)


def _span(world: World, node: Node, stage: str, seconds: Seconds) -> Span:
    at = paths.parse(node.image_id) if node.image_id else None
    return Span(
        time=world.now,
        stage=stage,
        seconds=max(seconds, 0.0),
        provider=node.provider or "",
        pool=node.pool or "",
        label=node.label or "",
        image=at.image if isinstance(at, paths.UploadAt) else node.image_id or "",
        az=f"{node.provider} {node.az}" if node.az else "",
    )


def _request(world: World, before: NodeRequest | None, after: NodeRequest | None) -> Iterator[Told]:
    known = after or before
    if known is None:
        return
    declined = len(after.declined_by) if after else 0
    if before and after and before.state is after.state and len(before.declined_by) == declined:
        return
    if before is None and known.state_time < world.now - 60:
        return
    asked = known.created_time or known.state_time
    event = after.state.value if after else "gone"
    detail = f"for {','.join(known.labels)} by {known.requestor}"
    if after and after.nodes:
        detail += f", nodes {','.join(after.nodes)}"
    if declined:
        detail += f", declined by {declined} pools"
    yield Event(time=world.now, kind="request", name=known.id, event=event, detail=detail)
    if before is None:
        yield Demand(time=asked, request=known.id, labels=known.labels)
    elif after and after.state is RequestState.FULFILLED and before.state is not RequestState.FULFILLED:
        first = world.census.nodes.get(after.nodes[0]) if after.nodes else None
        yield Span(
            time=world.now,
            stage="wait",
            seconds=max(world.now - asked, 0.0),
            provider=(first.provider if first else None) or "",
            pool=(first.pool if first else None) or "",
            label=after.labels[0] if len(set(after.labels)) == 1 else "several",
        )


def _build(world: World, before: Build | None, after: Build | None) -> Iterator[Told]:
    known = after or before
    if known is None or (before and after and before.state is after.state):
        return
    if before is None and known.state_time < world.now - 60:
        return
    event = f"build {after.state.value if after else 'gone'}"
    detail = f"{known.image}-{known.id}" + (f" on {known.builder}" if known.builder else "")
    yield Event(time=world.now, kind="image", name=known.image, event=event, detail=detail)
    if before and after and before.state is ImageState.BUILDING and after.state is ImageState.READY:
        took = max(after.state_time - before.state_time, 0.0)
        yield Span(time=world.now, stage="build", seconds=took, image=known.image)


def _upload(world: World, before: Upload | None, after: Upload | None) -> Iterator[Told]:
    known = after or before
    if known is None or (before and after and before.state is after.state):
        return
    if before is None and known.state_time < world.now - 60:
        return
    event = f"upload {after.state.value if after else 'gone'}"
    detail = f"{known.image}-{known.build} number {known.id} in {known.provider}"
    yield Event(time=world.now, kind="image", name=known.image, event=event, detail=detail)
    if before and after and before.state is ImageState.UPLOADING and after.state is ImageState.READY:
        took = max(after.state_time - before.state_time, 0.0)
        yield Span(time=world.now, stage="upload", seconds=took, image=known.image, provider=known.provider)


def samples(view: View) -> Iterator[PoolSample]:
    """Yield how full each pool is that this launcher acts for."""
    counts: dict[tuple[str, str], list[int]] = {}
    for node in view.nodes.values():
        if node.provider and node.pool and node.provider in view.leased:
            count = counts.setdefault((node.provider, node.pool), [0, 0])
            count[0] += 1
            count[1] += node.state in _BUSY
    for name in view.leased:
        provider = view.settings.providers.get(name)
        for pool in provider.pools.values() if provider else ():
            nodes, busy = counts.get((name, pool.name), (0, 0))
            most = pool.limits.amounts.get(INSTANCES)
            yield PoolSample(time=view.now, provider=name, pool=pool.name, nodes=nodes, busy=busy, most=most)
