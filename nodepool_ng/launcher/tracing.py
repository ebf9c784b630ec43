"""The witness that makes spans of requests, where the CI system told which span they belong to."""

from collections.abc import Iterator, Sequence

from nodepool_ng.launcher.outcome import Done, Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.ids import NodeId, RequestId, Seconds
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.telemetry.tracing import Stretch, Traces
from nodepool_ng.zk.changes import Change


class Tracer:
    """Hands spans to OpenTelemetry, which sends them from a thread of its own."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def planned(self, took: Seconds) -> None:
        pass

    def begun(self, world: World, action: do.Action) -> None:
        pass

    def changed(self, world: World, change: Change) -> None:
        pass

    def ended(self, world: World, action: do.Action, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            return
        match action:
            case do.HandOut(request=request, nodes=nodes):
                self._tell(world, request, nodes, "warm")
            case do.Fulfil(request=request, nodes=nodes):
                self._tell(world, request, nodes, "cold")
            case do.Decline(request=request, fail=True):
                self._tell(world, request, (), "failed")
            case _:
                pass

    def _tell(self, world: World, id: RequestId, nodes: Sequence[NodeId], result: str) -> None:
        entry = world.picture.requests.get(id)
        data = entry.record.requestor_data if entry is not None else None
        parent = data.get("span_info") if isinstance(data, dict) else None
        if entry is not None and parent is not None:
            self._traces.tell(parent, stretch(world, entry.record, nodes, result))


def stretch(world: World, request: NodeRequest, nodes: Sequence[NodeId], result: str) -> Stretch:
    """Return how long a request waited, and how long each launch for it took."""
    return Stretch(
        name="nodepool: request",
        begin=request.created_time or request.state_time,
        end=world.now,
        failed=result == "failed",
        attributes={
            "nodepool.request": request.id,
            "nodepool.labels": list(request.labels),
            "nodepool.result": result,
            "nodepool.declined_by": list(request.declined_by),
        },
        parts=tuple(_launches(world, request, nodes)),
    )


def _launches(world: World, request: NodeRequest, nodes: Sequence[NodeId]) -> Iterator[Stretch]:
    asked = request.created_time or request.state_time
    for id in nodes:
        node = world.census.nodes.get(id)
        if node is None or node.created_time is None or node.created_time < asked:
            continue  # it was ready before
        yield Stretch(
            name="nodepool: launch",
            begin=node.created_time,
            end=world.now if node.state_time < node.created_time else node.state_time,
            attributes={
                "nodepool.node": node.id,
                "nodepool.provider": node.provider or "",
                "nodepool.pool": node.pool or "",
                "nodepool.label": node.label or "",
                "nodepool.zone": node.az or "",
                "nodepool.attempts": node.attempts,
            },
        )
