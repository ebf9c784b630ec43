"""Why a request waits: each pool's verdict, the limit that binds, who is ahead, when, and what would help."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodepool_ng.explain.answer import Answer, Why
from nodepool_ng.explain.estimate import Estimate, Waiting, draw, estimate, needs_of, seen
from nodepool_ng.explain.scene import Scene, span
from nodepool_ng.explain.told import BOOT, PoolTold, Verdict
from nodepool_ng.model.lifecycle import REQUEST_STATES, RequestState
from nodepool_ng.model.quota import NONE, Resources, left, total
from nodepool_ng.model.reason import Code
from nodepool_ng.model.request import NodeRequest

KEYS = {
    "instances": "max-servers",
    "cores": "max-cores",
    "ram": "max-ram",
    "volumes": "max-volumes",
    "volume-gb": "max-volume-gb",
}
"""The words of the configuration for a pool's limits."""
IN_UNITS = {"ram": "ram in MiB", "volume-gb": "volumes in GB"}
"""What quotas are counted in, where it is not pieces."""
MOST_CHANGES = 3
MOST_AHEAD = 5
_FOR_ROOM = {Code.POOL_LIMIT, Code.PROVIDER_QUOTA, Code.CONCURRENCY, Code.TENANT_LIMIT, Code.BACKOFF}
"""Reasons that pass by themselves, as others finish."""


@dataclass(frozen=True, slots=True)
class _Change:
    size: float
    sentence: str


def explain_request(scene: Scene, request: NodeRequest) -> Answer:
    """Return why a request is in the state it is in."""
    facts = [
        ("asked for", ", ".join(request.labels) or "nothing"),
        ("by", request.requestor or "nobody knows"),
        ("since", span(scene.now - (request.created_time or request.state_time))),
    ]
    if request.provider:
        facts.append(("prefers provider", request.provider))
    if request.tenant_name:
        facts.append(("tenant", request.tenant_name))
    match request.state:
        case RequestState.REQUESTED:
            return _waiting(scene, request, tuple(facts))
        case RequestState.PENDING:
            return _pending(scene, request, tuple(facts))
    why = tuple(Why("", "declined", f"declined by {pool}") for pool in request.declined_by)
    summary = f"{request.state}: {REQUEST_STATES[request.state]}"
    return Answer(kind="request", name=request.id, summary=summary, facts=tuple(facts), why=why)


def _pending(scene: Scene, request: NodeRequest, facts: tuple[tuple[str, str], ...]) -> Answer:
    """A request that a launcher holds: its nodes are being made."""
    import random

    mine = [node for node in scene.nodes.values() if node.allocated_to == request.id]
    rng = random.Random(0)
    draws = []
    for _ in range(50):
        rests = []
        for node in mine:
            known = seen(scene.told.pools, f"{node.provider}/{node.pool}", BOOT, node.label)
            age = max(scene.now - (node.created_time or node.state_time), 0.0)
            if node.state in ("init", "building") and known:
                rests.append(draw(known, rng, age) - age)
        draws.append(max(rests, default=0.0))
    draws.sort()
    coming = any(draws)
    why = tuple(
        Why(
            f"{node.provider}/{node.pool}", "node", f"node {node.id} is {node.state} for {_ago(scene, node.state_time)}"
        )
        for node in sorted(mine, key=lambda node: node.id)
    )
    return Answer(
        kind="request",
        name=request.id,
        summary=f"pending: {REQUEST_STATES[RequestState.PENDING]}",
        facts=facts,
        why=why,
        estimate=Estimate(draws[5], draws[25], draws[45]) if coming else None,
        unknown="" if coming else "no node like these has become ready since the launcher started",
    )


def _waiting(scene: Scene, request: NodeRequest, facts: tuple[tuple[str, str], ...]) -> Answer:
    verdicts = scene.told.waiting.get(request.id, ())
    why = tuple(Why(one.place, one.code, one.sentence) for one in verdicts if one.code != Code.AHEAD)
    declined = len(request.declined_by)
    if declined:
        why += (Why("", "declined", f"declined by {declined} of {len(scene.pools())} pools"),)
    queue = [entry for one in scene.waiting() if (entry := _entry(scene, one)) is not None]
    place = next((at for at, (one, _) in enumerate(queue) if one.id == request.id), None)
    ahead = queue[:place] if place is not None else []
    mine = queue[place][1] if place is not None else None
    rivals = [one for one, entry in ahead if mine and set(entry.pools) & set(mine.pools)]
    found = None
    unknown = _unknown(scene, request, verdicts)
    if not unknown and place is not None:
        entries = [entry for _, entry in queue[: place + 1]]
        settings = scene.settings
        nodes = tuple(scene.nodes.values())
        found = estimate(entries, scene.told.pools, nodes, scene.now, settings.max_hold_age)
        unknown = "" if found else "nothing like it has been seen since the launchers started"
    return Answer(
        kind="request",
        name=request.id,
        summary=_summary(verdicts, len(rivals)),
        facts=facts,
        why=why,
        binding=tuple(_binding(scene, verdicts)),
        ahead=_ahead(scene, rivals),
        estimate=found,
        unknown=unknown,
        changes=_changes(scene, request, verdicts, [entry for _, entry in ahead], mine),
    )


def _summary(verdicts: tuple[Verdict, ...], rivals: int) -> str:
    if not verdicts:
        return "waits, and no launcher has told yet why: one is told of every two seconds at most"
    behind = f", behind {rivals} other{'s' if rivals > 1 else ''}" if rivals else ""
    pools = len({one.place for one in verdicts if one.place})
    return f"waits{behind}; {pools} pool{'s' if pools != 1 else ''} could not serve it so far"


def _unknown(scene: Scene, request: NodeRequest, verdicts: tuple[Verdict, ...]) -> str:
    """Return why there can be no estimate; "" where there can."""
    if not scene.told.launchers:
        return "no launcher of this version is running"
    if not verdicts:
        return "no launcher has looked at it yet"
    if not any(one.code in _FOR_ROOM for one in verdicts):
        return "it does not wait for others to finish, so their pace does not tell"
    return ""


def _entry(scene: Scene, request: NodeRequest) -> tuple[NodeRequest, Waiting] | None:
    """Return a request as a part of the queue; None while it waits for something else than room."""
    verdicts = scene.told.waiting.get(request.id, ())
    places = [one.place for one in verdicts if one.code in _FOR_ROOM and one.place in scene.told.pools]
    pools = sorted(dict.fromkeys(places), key=lambda name: scene.told.pools[name].priority)
    if not pools:
        return None
    needs = {name: needs_of(request.labels, scene.told.pools[name]) for name in pools}
    return request, Waiting(labels=request.labels, pools=tuple(pools), needs=needs)


def _binding(scene: Scene, verdicts: Iterable[Verdict]) -> Iterator[str]:
    for one in dict.fromkeys(one for one in verdicts if one.code in (Code.POOL_LIMIT, Code.PROVIDER_QUOTA)):
        pool = scene.told.pools.get(one.place)
        if pool is None:
            continue
        if one.code == Code.POOL_LIMIT:
            limit, used = pool.limits.get(one.resource), pool.used.get(one.resource)
            yield f"{one.place}: {KEYS.get(one.resource, one.resource)} is {limit:g}, {used:g} in use"
        else:
            yield of_quota(pool, one.resource)


def of_quota(pool: PoolTold, resource: str) -> str:
    """Return how much of a provider's quota is used, and by whom."""
    limit, others = pool.quota.get(resource), pool.foreign.get(resource)
    used = limit - others - pool.provider_room.get(resource)
    beside = f", {others:g} by others" if others else ""
    what = IN_UNITS.get(resource, resource)
    return f"{pool.provider}: the quota of {what} is {limit:g}; {used:g} in use by us{beside}"


def _ahead(scene: Scene, rivals: list[NodeRequest]) -> tuple[str, ...]:
    told = tuple(
        f"{one.id}: {', '.join(one.labels)}, waiting for {_ago(scene, one.created_time or one.state_time)}"
        for one in rivals[:MOST_AHEAD]
    )
    more = len(rivals) - len(told)
    return (*told, f"and {more} more") if more > 0 else told


def _changes(
    scene: Scene,
    request: NodeRequest,
    verdicts: tuple[Verdict, ...],
    ahead: list[Waiting],
    mine: Waiting | None,
) -> tuple[str, ...]:
    """Return what an operator could change so that the request is served, the smallest change first."""
    found = []
    for one in dict.fromkeys(verdicts):
        match one.code:
            case Code.FROZEN:
                name = one.place.partition("/")[0]
                found.append(_Change(0, f"nodepool thaw {name if name in scene.freezes else 'all'}"))
            case Code.CORDONED:
                found.append(_Change(0, f"nodepool uncordon {one.detail.partition(' ')[2]}"))
            case Code.NO_IMAGE:
                found.append(_Change(5, f"upload its image to {one.place}: see `nodepool image-list`"))
            case Code.TENANT_LIMIT:
                lack = one.wanted - one.limit
                tenant = request.tenant_name
                found.append(_Change(lack, f"raise the limit of {one.resource} of tenant {tenant} by {lack:g}"))
            case Code.CONCURRENCY:
                name = one.place.partition("/")[0]
                more = one.used + len(request.labels)
                found.append(_Change(1, f"raise max-concurrency of provider {name} from {one.limit:g} to {more:g}"))
            case Code.NEVER_FITS:
                lack = one.wanted - one.limit
                found.append(_Change(lack, f"raise the limit of {one.resource} of {one.place} by {lack:g}"))
            case Code.POOL_DISABLED:
                found.append(_Change(3, f"set max-servers of {one.place} above 0"))
    for name in mine.pools if mine else ():
        pool = scene.told.pools[name]
        before = [entry.needs[name] for entry in ahead if entry.pools and entry.pools[0] == name]
        found += _room(pool, total(before) + (mine.needs[name] if mine else NONE))
    # A change that helps comes before one that has to go with another.
    found.sort(key=lambda change: change.size)
    return tuple(dict.fromkeys(change.sentence for change in found))[:MOST_CHANGES]


def _room(pool: PoolTold, needs: Resources) -> Iterator[_Change]:
    """Return what has to grow in a pool for `needs` to fit, as one change."""
    here, there = _lack(pool.room, needs), _lack(pool.provider_room, needs)
    parts = [
        f"raise {KEYS.get(name, name)} of pool {pool.name} from {pool.limits.get(name):g} to "
        f"{pool.limits.get(name) + lack:g}"
        for name, lack in here.items()
    ]
    parts += [f"raise the quota of {name} in provider {pool.provider} by {lack:g}" for name, lack in there.items()]
    if parts:
        sizes = [lack / (needs.get(name) or 1) for name, lack in (*here.items(), *there.items())]
        yield _Change(10 + len(parts) + max(sizes), ", and ".join(parts))


def _lack(room: Resources, needs: Resources) -> dict[str, float]:
    after = left(room, needs)
    return {name: -amount for name, amount in after.amounts.items() if amount < 0 < needs.get(name)}


def _ago(scene: Scene, since: float) -> str:
    return span(scene.now - since)
