"""Everything at a glance: rows about pools, requests, nodes and images, as a live view shows them; pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nodepool_ng.explain.scene import Scene, span
from nodepool_ng.explain.told import PoolTold
from nodepool_ng.model.lifecycle import ImageState, NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import CORES, INSTANCES, RAM
from nodepool_ng.model.reason import Code
from nodepool_ng.model.request import NodeRequest, rank

WIDE = 12
_ORDER = {
    NodeState.FAILED: 0,
    NodeState.BUILDING: 1,
    NodeState.INIT: 1,
    NodeState.IN_USE: 2,
    NodeState.READY: 3,
    NodeState.HOLD: 4,
}


@dataclass(frozen=True, slots=True)
class Row:
    """`key` is what an operator calls it; `cells` are texts, one for each column."""

    key: str
    cells: tuple[str, ...]


POOLS = ("Pool", "Nodes", "Servers", "Waiting", "Cores", "RAM", "Remarks")
REQUESTS = ("Request", "State", "Labels", "Age", "By", "Waits for")
NODES = ("Node", "State", "Age", "Label", "Pool", "Address", "Given to", "Comment")
IMAGES = ("Image", "Builds", "Newest ready", "Under way", "Remarks")


def pools(scene: Scene) -> Iterator[Row]:
    """Yield a row for each pool: its nodes, how full its limits are, and what is wrong with it."""
    counts: dict[str, Counter[str]] = {}
    for node in scene.nodes.values():
        counts.setdefault(f"{node.provider}/{node.pool}", Counter())[node.state] += 1
    waiting = Counter(
        place
        for found in scene.told.waiting.values()
        for place in {one.place for one in found if one.code != Code.AHEAD}
    )
    for name in sorted({*scene.pool_names(), *counts}):
        provider = name.partition("/")[0]
        told, minded = scene.told.pools.get(name), scene.told.providers.get(provider)
        remarks = [line.partition(":")[0] for line in scene.orders(provider, name)]
        remarks += [text for text in (minded.error, minded.alarm) if text] if minded else []
        if told is None:
            remarks.append("no launcher of this version minds it")
        states = ", ".join(f"{count} {state}" for state, count in sorted(counts.get(name, Counter()).items()))
        servers, cores, ram = (bar(told, resource) if told else "" for resource in (INSTANCES, CORES, RAM))
        asked = str(waiting[name] or "")
        yield Row(name, (name, states or "none", servers, asked, cores, ram, "; ".join(remarks)))


def bar(pool: PoolTold, resource: str) -> str:
    """Return how full the tighter one of limit and quota is, drawn, and in figures."""
    found = []
    if (limit := pool.limits.amounts.get(resource)) is not None:
        found.append((pool.used.get(resource), limit))
    if (limit := pool.quota.amounts.get(resource)) is not None:
        found.append((limit - pool.provider_room.get(resource), limit))
    if not found:
        return _amount(resource, pool.used.get(resource)) if pool.used.get(resource) else ""
    used, limit = max(found, key=lambda one: one[0] / one[1] if one[1] else 1.0)
    return f"{drawn(used / limit if limit else 1.0)} {_amount(resource, used).split()[0]}/{_amount(resource, limit)}"


def _amount(resource: str, amount: float) -> str:
    return f"{amount / 1024:.3g} GiB" if resource == RAM else f"{amount:g}"


def drawn(share: float) -> str:
    """Return a bar that is full where `share` is 1."""
    full = round(min(max(share, 0.0), 1.0) * WIDE)
    return f"{'█' * full}{'░' * (WIDE - full)}"


def requests(scene: Scene) -> Iterator[Row]:
    """Yield a row for each open request, in the order in which they are served."""
    for one in sorted(scene.requests.values(), key=rank):
        if one.state in (RequestState.REQUESTED, RequestState.PENDING):
            age = span(scene.now - (one.created_time or one.state_time))
            labels = ", ".join(f"{n}× {label}" if n > 1 else label for label, n in Counter(one.labels).items())
            yield Row(one.id, (one.id, one.state, labels, age, one.requestor or "", _waits(scene, one)))


def _waits(scene: Scene, request: NodeRequest) -> str:
    if request.state is RequestState.PENDING:
        states = Counter(node.state for node in scene.nodes.values() if node.allocated_to == request.id)
        return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    found = [one for one in scene.told.waiting.get(request.id, ()) if one.code != Code.AHEAD]
    return "; ".join(f"{one.place} {one.sentence}".strip() for one in found) or "not judged yet"


def nodes(scene: Scene) -> Iterator[Row]:
    """Yield a row for each node, those first that something happens to."""
    for node in sorted(scene.nodes.values(), key=lambda node: (_ORDER.get(node.state, 5), node.id)):
        yield Row(node.id, _node(scene, node))


def _node(scene: Scene, node: Node) -> tuple[str, ...]:
    return (
        node.id,
        node.state,
        span(scene.now - node.state_time),
        ",".join(node.labels),
        f"{node.provider}/{node.pool}",
        node.interface_ip or "",
        node.allocated_to or "",
        node.comment or "",
    )


def images(scene: Scene) -> Iterator[Row]:
    """Yield a row for each image: how old it is, and what is being built and uploaded."""
    names = {*scene.settings.diskimages, *(one.image for one in scene.builds), *scene.paused}
    for name in sorted(names):
        builds = [one for one in scene.builds if one.image == name]
        states = Counter(one.state for one in builds)
        ready = max((one.state_time for one in builds if one.state is ImageState.READY), default=None)
        under_way = [
            f"built for {span(scene.now - one.state_time)} on {one.builder}"
            for one in builds
            if one.state is ImageState.BUILDING
        ]
        under_way += [
            f"uploaded to {one.provider} for {span(scene.now - one.state_time)}"
            for one in scene.uploads
            if one.image == name and one.state is ImageState.UPLOADING
        ]
        remarks = [line.partition(":")[0] for line in scene.orders("", None, name)]
        remarks += ["paused"] if name in scene.paused else []
        remarks += ["a build was asked for"] if name in scene.asked else []
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        age = span(scene.now - ready) if ready is not None else "none"
        yield Row(name, (name, told or "none", age, "; ".join(under_way), "; ".join(remarks)))


def headline(scene: Scene) -> str:
    """Return the state of everything in a line."""
    states = Counter(node.state for node in scene.nodes.values())
    waiting = len(scene.waiting())
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no nodes"
    launchers = len(scene.told.launchers)
    return f"{told} · {waiting} requests wait · {launchers} launcher{'s' if launchers != 1 else ''}"
