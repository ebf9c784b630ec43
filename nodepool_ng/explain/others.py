"""Why a node, a label, an image or a provider is what it is."""

from collections import Counter
from collections.abc import Iterator

from nodepool_ng.explain.answer import Answer, Why
from nodepool_ng.explain.scene import Scene, span
from nodepool_ng.explain.told import BOOT, DELETE, LIFE, PoolTold
from nodepool_ng.explain.waiting import KEYS, of_quota
from nodepool_ng.model.cordon import CordonKind
from nodepool_ng.model.ids import ImageName, LabelName
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import NODE_STATES, ImageState, NodeState
from nodepool_ng.model.node import HELD_BY, Node, hold_limit
from nodepool_ng.model.reason import Code

_STAGES = {BOOT: "boots in", LIFE: "is used for", DELETE: "is deleted in"}
_ON_THEIR_WAY_OUT = (NodeState.USED, NodeState.DELETING, NodeState.DELETED, NodeState.FAILED, NodeState.ABORTED)


def explain_node(scene: Scene, node: Node) -> Answer:
    age = scene.now - node.state_time
    where = f"{node.provider}/{node.pool}"
    facts = [
        ("state", f"{node.state} for {span(age)}"),
        ("label", ", ".join(node.labels)),
        ("place", where + (f", zone {node.az}" if node.az else "")),
        ("server", node.server_id or "none yet"),
        ("lock", "held by somebody" if node.id in scene.locked else "free"),
    ]
    if node.allocated_to:
        request = scene.requests.get(node.allocated_to)
        facts.append(("given to", f"{node.allocated_to}{'' if request else ', which is over'}"))
    if node.comment:
        facts.append(("comment", node.comment))
    return Answer(
        kind="node",
        name=node.id,
        summary=NODE_STATES[node.state],
        facts=tuple(facts),
        why=tuple(_why_node(scene, node, age)),
    )


def _why_node(scene: Scene, node: Node, age: float) -> Iterator[Why]:
    where = f"{node.provider}/{node.pool}"
    pool = scene.told.pools.get(where)
    provider = scene.told.providers.get(str(node.provider))
    for order in scene.orders(str(node.provider), where):
        yield Why(where, "order", order)
    if provider is not None and provider.error:
        yield Why(provider.name, Code.CLOUD_UNKNOWN, f"the cloud does not answer as it should: {provider.error}")
    match node.state:
        case NodeState.READY if node.allocated_to is None:
            label = scene.settings.labels.get(node.label) if node.label else None
            if label is not None and label.max_ready_age:
                left = label.max_ready_age - age
                yield Why(
                    where, Code.TOO_OLD, f"it waits for a request and is replaced in {span(left)} (max-ready-age)"
                )
            else:
                yield Why(where, Code.WARM, "it waits for a request")
        case NodeState.READY:
            yield Why(where, Code.ASKED_FOR, "it waits for its client to lock it")
        case NodeState.INIT | NodeState.BUILDING:
            yield Why(where, Code.DUE, f"attempt {max(node.attempts, 1)}{_usual(pool, BOOT, node.label)}")
        case NodeState.HOLD:
            yield from _held(scene, node, age)
        case NodeState.IN_USE:
            yield Why(where, Code.ASKED_FOR, f"a client runs a job on it{_usual(pool, LIFE, node.label)}")
        case state if state in _ON_THEIR_WAY_OUT:
            yield Why(where, Code.NOT_NEEDED, f"its server is being deleted{_usual(pool, DELETE, node.label)}")
    if node.state is not NodeState.HOLD and provider is None and pool is None:
        yield Why(where, Code.SILENT, "no launcher tells that it acts for this provider: start one that has it")


def _held(scene: Scene, node: Node, age: float) -> Iterator[Why]:
    by = node.extra.get(HELD_BY)
    job = f" for job {node.hold_job}" if node.hold_job else ""
    limit = hold_limit(node, scene.settings.max_hold_age)
    until = f"it is deleted in {span(limit - age)}" if limit else "it stays until somebody ends it"
    yield Why("", Code.BY_HAND, f"held{f' by {by}' if by else ''}{job}; {until}: `nodepool unhold {node.id}`")


def _usual(pool: PoolTold | None, stage: str, label: str | None) -> str:
    known = pool.spans.get(stage, {}).get(label or "") if pool else None
    if not known:
        return ""
    early, late = span(known[1]), span(known[9])
    spread = f" (from {early} to {late})" if early != late else ""
    return f"; such a node {_STAGES[stage]} {span(known[5])}{spread}"


def explain_label(scene: Scene, name: LabelName) -> Answer | None:
    """Return None where neither configuration, pools nor nodes know the label."""
    configured = scene.settings.labels.get(name)
    nodes = [node for node in scene.nodes.values() if name in node.labels]
    offering = [one for one in scene.pools() if name in one.supported_labels]
    if configured is None and not nodes and not offering:
        return None
    states = Counter(node.state for node in nodes)
    waiting = [one for one in scene.waiting() if name in one.labels]
    wanted = configured.min_ready if configured else 0
    facts = [
        ("nodes", ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"),
        ("min-ready", f"{wanted}"),
        ("requests that wait for it", str(len(waiting))),
    ]
    free = sum(node.free for node in nodes)
    coming = states[NodeState.BUILDING] + states[NodeState.INIT]
    summary = f"{free} of {wanted} ready nodes, {coming} on their way" if wanted else f"{free} ready nodes; none wanted"
    if not offering:
        summary = "no registered pool has it: every request for it fails"
    why = [_label_in(scene, name, place) for place in sorted({f"{c.provider_name}/{c.name}" for c in offering})]
    return Answer(kind="label", name=name, summary=summary, facts=tuple(facts), why=tuple(why))


def _label_in(scene: Scene, name: LabelName, place: str) -> Why:
    pool = scene.told.pools.get(place)
    provider, _, pool_name = place.partition("/")
    settings = scene.settings.providers.get(provider)  # type: ignore[call-overload]
    configured = settings.pools.get(pool_name) if settings else None
    image = configured.labels[name].diskimage if configured and name in configured.labels else None
    orders = scene.orders(provider, place, image)
    if orders:
        return Why(place, Code.CORDONED, orders[0])
    if image is not None and not any(
        one.image == image and one.provider == provider and one.state is ImageState.READY for one in scene.uploads
    ):
        return Why(place, Code.NO_IMAGE, f"its image {image} has no ready upload there: `nodepool explain {image}`")
    if pool is None:
        return Why(place, Code.SILENT, "no launcher of this version tells of it")
    if name in pool.broken:
        return Why(place, Code.LABEL_BROKEN, pool.broken[name])
    told = scene.told.providers.get(provider)
    if told is not None and told.error:
        return Why(place, Code.CLOUD_UNKNOWN, f"the cloud does not answer as it should: {told.error}")
    needs = pool.costs.get(name)
    if needs is None:
        return Why(place, Code.CLOUD_UNKNOWN, "the cloud has not told yet what a node of it takes")
    shares = [
        (room.get(resource) // amount, what, resource)
        for room, what in ((pool.room, "the pool's limit"), (pool.provider_room, "the provider's quota"))
        for resource, amount in needs.amounts.items()
        if amount > 0 and resource in room.amounts
    ]
    times, what, resource = min(shares, default=(float("inf"), "", ""))
    usual = _usual(pool, BOOT, name)
    if times == float("inf"):
        return Why(place, Code.UP, f"nothing limits it{usual}")
    code = Code.UP if times >= 1 else Code.POOL_LIMIT
    return Why(place, code, f"room for {max(times, 0):.0f} more, limited by {what} of {resource}{usual}")


def explain_image(scene: Scene, name: ImageName) -> Answer | None:
    """Return None where neither configuration nor records know the image."""
    configured = scene.settings.diskimages.get(name)
    builds = sorted((one for one in scene.builds if one.image == name), key=lambda one: one.state_time, reverse=True)
    uploads = [one for one in scene.uploads if one.image == name]
    if configured is None and not builds and not uploads and name not in scene.paused:
        return None
    ready = next((one for one in builds if one.state is ImageState.READY), None)
    states = Counter(one.state for one in builds)
    facts = [("builds", ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none")]
    if configured is not None:
        facts.append(("is rebuilt after", span(configured.rebuild_age)))
    if ready is not None:
        facts.append(("serves", f"build {ready.id}, {span(scene.now - ready.state_time)} old"))
    labels = sorted({label for label, _ in _labels_of(scene, name)})
    facts.append(("labels that boot from it", ", ".join(labels) or "none"))
    why = [*_why_built(scene, name, builds, ready), *_why_uploaded(scene, name, uploads, ready)]
    summary = "there is a ready build" if ready else "there is no ready build, so nothing new boots from it"
    return Answer(kind="image", name=name, summary=summary, facts=tuple(facts), why=tuple(why))


def _labels_of(scene: Scene, name: ImageName) -> Iterator[tuple[str, str]]:
    for provider in scene.settings.providers.values():
        for pool in provider.pools.values():
            for label in pool.labels.values():
                if label.diskimage == name:
                    yield label.name, f"{provider.name}/{pool.name}"


def _why_built(scene: Scene, name: ImageName, builds: list[Build], ready: Build | None) -> Iterator[Why]:
    configured = scene.settings.diskimages.get(name)
    for order in scene.orders("", None, name):
        yield Why("", Code.CORDONED, order)
    if name in scene.paused:
        yield Why("", Code.PAUSED, f"it is not built: paused until `nodepool image-unpause {name}`")
    if configured is not None and configured.pause:
        yield Why("", Code.PAUSED, "it is not built: the configuration has pause: true")
    if configured is None:
        yield Why(
            "", Code.NOT_CONFIGURED, "the configuration given here does not have it: builders remove what is left"
        )
    if name in scene.asked:
        yield Why("", Code.ORDERED, f"a build was asked for {span(scene.now - scene.asked[name])} ago")
    building = next((one for one in builds if one.state is ImageState.BUILDING), None)
    if building is not None:
        took = span(scene.now - building.state_time)
        yield Why("", Code.BUSY, f"build {building.id} has been under way for {took} on {building.builder}")
    failed = [
        one for one in builds if one.state is ImageState.FAILED and (not ready or one.state_time > ready.state_time)
    ]
    if failed:
        ago = span(scene.now - failed[0].state_time)
        yield Why(
            "", Code.FAILED, f"the last {len(failed)} failed, {ago} ago on {failed[0].builder}: see its build log"
        )
    if ready is not None and configured is not None and building is None:
        left = configured.rebuild_age - (scene.now - ready.state_time)
        word = f"the next build is due in {span(left)}" if left > 0 else f"a build has been due for {span(-left)}"
        yield Why("", Code.NOT_DUE if left > 0 else Code.REBUILD_AGE, word)


def _why_uploaded(scene: Scene, name: ImageName, uploads: list[Upload], ready: Build | None) -> Iterator[Why]:
    wanted = {str(one.name) for one in scene.settings.providers.values() if name in one.images}
    for provider in sorted(wanted | {str(one.provider) for one in uploads}):
        there = sorted((one for one in uploads if one.provider == provider), key=lambda one: -one.state_time)
        good = next((one for one in there if one.state is ImageState.READY), None)
        coming = next((one for one in there if one.state is ImageState.UPLOADING), None)
        words = []
        if good is None:
            words.append("no ready upload: its labels are declined there")
        elif ready is not None and good.build != ready.id:
            words.append(f"an older build serves, uploaded {span(scene.now - good.state_time)} ago")
        else:
            words.append(f"uploaded {span(scene.now - good.state_time)} ago")
        if coming is not None:
            words.append(f"build {coming.build} has been on its way for {span(scene.now - coming.state_time)}")
        yield Why(provider, Code.NO_IMAGE if good is None else Code.UP, "; ".join(words))


def explain_provider(scene: Scene, name: str) -> Answer | None:
    """Return None where neither configuration, pools nor nodes know the provider."""
    told = scene.told.providers.get(name)
    pools = [place for place in scene.pool_names() if place.partition("/")[0] == name]
    nodes = [node for node in scene.nodes.values() if node.provider == name]
    if told is None and not pools and not nodes and name not in {str(one) for one in scene.settings.providers}:
        return None
    states = Counter(node.state for node in nodes)
    facts = [("nodes", ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none")]
    if told is not None:
        limit = f" of {told.concurrency} at most" if told.concurrency >= 0 else ""
        facts += [("minded by", told.launcher), ("launches under way", f"{told.launching}{limit}")]
        if told.calls_per_second is not None:
            facts.append(("asked at most", f"{told.calls_per_second:g} times a second"))
    waits = sum(any(one.place.partition("/")[0] == name for one in found) for found in scene.told.waiting.values())
    facts.append(("requests that wait here", str(waits)))
    summary = "works" if told is not None else "no launcher tells that it acts for it: start one that has it configured"
    why = []
    if told is not None and told.error:
        summary = "cannot be used at the moment"
        why.append(Why(name, Code.CLOUD_UNKNOWN, told.error))
    if told is not None and told.alarm:
        why.append(Why(name, "alarm", told.alarm))
    why += [Why(name, "order", order) for order in scene.orders(name)]
    for place in pools:
        if (CordonKind.POOL, place) in scene.cordons:
            why += [Why(place, "order", order) for order in scene.orders("", place)]
    bars = [line for place in pools if (pool := scene.told.pools.get(place)) for line in _bars(pool)]
    return Answer(
        kind="provider",
        name=name,
        summary=summary,
        facts=tuple(facts),
        why=tuple(why),
        binding=tuple(dict.fromkeys(bars)),
    )


def _bars(pool: PoolTold) -> Iterator[str]:
    for resource, limit in pool.limits.amounts.items():
        mark = ", something waits for it" if pool.short and resource == pool.binding else ""
        yield f"{pool.name}: {KEYS.get(resource, resource)} is {limit:g}, {pool.used.get(resource):g} in use{mark}"
    yield from (of_quota(pool, resource) for resource in pool.quota.amounts)
