"""What the launcher counts: events of its reconciler, calls to clouds, and what a look at everything shows."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as NoAnswer

from nodepool_ng.drivers import Swept
from nodepool_ng.launcher.outcome import Done, Lost, Outcome, SweptUp
from nodepool_ng.launcher.showcase import Showcase
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.ids import NodeId, ProviderName, RequestId, Seconds
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Trouble
from nodepool_ng.model.view import View
from nodepool_ng.telemetry import events, gauges
from nodepool_ng.telemetry.meter import Meter
from nodepool_ng.telemetry.sample import Sample
from nodepool_ng.telemetry.statsd import Statsd
from nodepool_ng.zk import paths
from nodepool_ng.zk.changes import Change

INTERNALS_EVERY = 10
"""Looks between two reports on the launcher itself."""
PATIENCE: Seconds = 5.0

_log = logging.getLogger("nodepool.statistics")


class Measures:
    """The witness that turns outcomes into numbers."""

    def __init__(self, meter: Meter, hostname: str) -> None:
        self._meter = meter
        self._hostname = hostname

    def planned(self, took: Seconds) -> None:
        self._meter.tell(events.planned(self._hostname, took))

    def begun(self, world: World, action: do.Action) -> None:
        pass

    def changed(self, world: World, change: Change) -> None:
        pass

    def ended(self, world: World, action: do.Action, outcome: Outcome) -> None:
        match outcome:
            case Done():
                self._meter.tell(_done(world, action))
            case SweptUp(swept) if isinstance(action, do.SweepNetwork):
                self._meter.tell(_swept(action.provider, swept))
            case Lost():
                self._meter.tell(events.action_lost(self._hostname, type(action).__name__))
            case _:
                pass


def _done(world: World, action: do.Action) -> Iterator[Sample]:
    match action:
        case do.RecordReady(node=node):
            yield from _launched(world, node, events.READY)
        case do.Fulfil(request=request, nodes=nodes, booted=booted):
            for up in booted:
                yield from _launched(world, up.node, events.READY)
            yield from _served(world, request, nodes[0] if nodes else None, warm=False)
        case do.HandOut(request=request, nodes=nodes):
            yield from _served(world, request, nodes[0] if nodes else None, warm=True)
        case do.Decline(fail=True):
            yield from events.request_failed()
        case do.RetryNode(node=node, why=why) | do.RetireNode(node=node, why=why) if why.code in _FAILURES:
            yield from _launched(world, node, events.error(why.trouble or Trouble.UNKNOWN))
        case do.DeleteServer(provider=provider, server=server, why=why) if why.code is Code.LEAK:
            asked = world.clouds.delete_backoff.get(server)
            if asked is None or asked.failures == 1:
                yield from events.leaked(provider, "instances")
        case _:
            pass


def _swept(provider: ProviderName, swept: Swept) -> Iterator[Sample]:
    for kind, count in (("ports", swept.ports), ("floatingips", swept.floating_ips), ("volumes", swept.volumes)):
        if count:
            yield from events.leaked(provider, kind, count)


_FAILURES = (Code.ATTEMPT_FAILED, Code.LAUNCH_FAILED)


def _launched(world: World, node_id: NodeId, result: str) -> Iterator[Sample]:
    node = world.census.nodes.get(node_id)
    if node is None or node.provider is None:
        return
    took = max(world.now - (node.created_time or world.now), 0.0)
    yield from events.launched(
        result, took, provider=node.provider, az=node.az, requestor=node.requestor, image=_image(node)
    )


def _image(node: Node) -> str | None:
    """Return the name of the image; the record has the path of an upload, or the name of a cloud's own image."""
    at = paths.parse(node.image_id) if node.image_id else None
    return at.image if isinstance(at, paths.UploadAt) else node.image_id


def _served(world: World, request_id: RequestId, first: NodeId | None, *, warm: bool) -> Iterator[Sample]:
    entry = world.picture.requests.get(request_id)
    node = world.census.nodes.get(first) if first else None
    if entry is None or node is None or node.provider is None:
        return
    request = entry.record
    label = request.labels[0] if len(set(request.labels)) == 1 else events.SEVERAL
    waited = max(world.now - (request.created_time or world.now), 0.0)
    yield from events.request_served(waited, provider=node.provider, label=label, warm=warm)


def observer(
    meter: Meter, provider: ProviderName, prefix: str | None
) -> Callable[[str, str, str, int | None, float], None]:
    """Return what a driver tells of its calls."""

    def observe(service: str, method: str, name: str, status: int | None, seconds: float) -> None:
        meter.tell(events.api_call(prefix, provider, service, method, name, status, seconds))

    return observe


class Counting:
    """Looks once a second and sends gauges to statsd. Numbers of the whole installation are sent by the elected
    launcher only, when they change and every ten seconds anyway; others keep silent."""

    def __init__(self, showcase: Showcase, statsd: Statsd, hostname: str) -> None:
        self._showcase = showcase
        self._statsd = statsd
        self._hostname = hostname
        self._looks = 0
        self._sent: tuple[object, ...] = ()

    def look(self) -> None:
        """To be called each second, on any thread but the reconciler's."""
        try:
            view = self._showcase.look().result(PATIENCE)
        except NoAnswer:
            _log.error("The reconciler has not answered for %g s", PATIENCE)
            return
        due = self._looks % INTERNALS_EVERY == 0
        self._looks += 1
        told = list(gauges.launcher(view))
        if due:
            told += gauges.internals(view, self._hostname)
        if view.elected and view.complete:
            told += self._of_all(view, due)
        self._statsd.tell(told)

    def _of_all(self, view: View, due: bool) -> tuple[Sample, ...]:
        samples = tuple(gauges.installation(view))
        values = tuple((one.value, *one.labels.values()) for one in samples if one.metric.unit != "s")
        if values == self._sent and not due:
            return ()
        self._sent = values
        return samples
