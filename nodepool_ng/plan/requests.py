"""Which request is served next, by which pool, with what; and which waits, or is declined, and why.

A request waits open for everybody until one pool can serve all of it. The first that has to wait reserves what it
needs in the pool that it would take, so that a large one is not starved by small ones behind it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from nodepool_ng.model.action import (
    AdoptNode,
    AdoptRequest,
    Booted,
    Claim,
    Decline,
    Fulfil,
    HandOut,
    Launch,
    LaunchNodes,
    Release,
    RetireNode,
    Unlock,
    request_subject,
)
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.component import Component
from nodepool_ng.model.ids import LabelName, NodeId, PoolId, RequestId, Seconds
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import left, shortage, total
from nodepool_ng.model.reason import Code, Reason, at
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.settings import Pool
from nodepool_ng.model.snapshot import Side, Snapshot
from nodepool_ng.plan.capacity import Ledger
from nodepool_ng.plan.launch import Do, Failed, NoRoom, Wait, progress
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.registry import Registry
from nodepool_ng.plan.serving import Offer, never, offer, pick_zone, spares_to_give_up

READY_ELSEWHERE_WAIT: Seconds = 2.0
"""How long a request is left to another pool that has ready nodes for it, before nodes are launched."""

_LAUNCHED = (NodeState.INIT, NodeState.BUILDING, NodeState.READY)


@dataclass(slots=True)
class Outcome:
    verdicts: dict[RequestId, tuple[Reason, ...]] = field(default_factory=dict)
    short: set[PoolKey] = field(default_factory=set)


def plan_requests(s: Snapshot, agenda: Agenda, ledger: Ledger) -> Outcome:
    """Add what is to be done for each open request, in their order."""
    registry = Registry(s)
    outcome = Outcome()
    waiting_alike: dict[object, tuple[Reason, ...]] = {}
    for request in sorted(_open(s, agenda), key=rank):
        side = s.request_locks.get(request.id)
        match request.state, side:
            case RequestState.PENDING, Side.OURS:
                _continue(s, agenda, ledger, registry, request)
            case RequestState.PENDING, None:
                _lost(s, agenda, request)
            case RequestState.REQUESTED, None:
                _serve(s, agenda, ledger, registry, request, outcome, waiting_alike)
            case RequestState.REQUESTED, Side.FOREIGN:
                outcome.verdicts[request.id] = (Reason(code=Code.LOCKED),)
            case _:
                pass
    return outcome


def _open(s: Snapshot, agenda: Agenda) -> list[NodeRequest]:
    """Return the requests to look at; locks that we hold on others are given back on the way."""
    waiting = []
    for request in s.requests.values():
        if request.state in (RequestState.REQUESTED, RequestState.PENDING) and agenda.free(request_subject(request.id)):
            waiting.append(request)
    for request_id, side in s.request_locks.items():
        held = s.requests.get(request_id)
        if side is Side.OURS and (held is None or held.state is not RequestState.PENDING):
            why = Reason(code=Code.NOT_NEEDED if held else Code.REQUEST_GONE, request=request_id)
            agenda.add(Unlock(request=request_id, why=why))
    return waiting


def _lost(s: Snapshot, agenda: Agenda, request: NodeRequest) -> None:
    """A pending request that nobody holds: go on with it if its nodes are ours, else put it back after a while."""
    nodes = s.nodes.of_request(request.id)
    if any(node.provider in s.leased and node.attempt is not None for node in nodes):
        agenda.add(AdoptRequest(request=request.id, why=Reason(code=Code.ADOPTED, request=request.id)))
        return
    since = s.unlocked_since.get(request.id, s.now)
    if s.now >= since + s.registry_settle:
        agenda.add(Release(request=request.id, why=Reason(code=Code.ABANDONED, request=request.id)))
    else:
        agenda.look_again(since + s.registry_settle)


def _continue(s: Snapshot, agenda: Agenda, ledger: Ledger, registry: Registry, request: NodeRequest) -> None:
    """The next step of a request that we hold."""
    nodes = [node for node in s.nodes.of_request(request.id) if node.state in _LAUNCHED and node.provider in s.leased]
    pool = _pool_of(s, nodes)
    if pool is None:
        agenda.add(Release(request=request.id, why=Reason(code=Code.NOT_NEEDED, request=request.id)))
        return
    booted: dict[NodeId, Booted] = {}
    for node in list(nodes):
        if s.node_locks.get(node.id) is not Side.OURS or node.state is NodeState.INIT:
            agenda.add(AdoptNode(node=node.id, why=Reason(code=Code.ADOPTED, request=request.id)))
        elif node.state is NodeState.BUILDING:
            match progress(s, node):
                case Wait(until):
                    agenda.look_again(until)
                case Do(action):
                    agenda.add(action)
                case Booted() as up:
                    booted[node.id] = up
                case Failed(reason):
                    _give_up(s, agenda, registry, request, pool, reason)
                    return
                case NoRoom(reason):
                    agenda.add(RetireNode(node=node.id, expect=node.state, why=reason))
                    nodes.remove(node)
    order = _assign(request.labels, nodes)
    missing = tuple(label for label, node in zip(request.labels, order, strict=True) if node is None)
    if missing:
        _replace(s, agenda, ledger, request, pool, nodes, missing)
        return
    done = [node for node in order if node is not None]
    if all(
        node.id in booted or (node.state is NodeState.READY and s.node_locks.get(node.id) is Side.OURS) for node in done
    ):
        agenda.add(
            Fulfil(
                request=request.id,
                nodes=tuple(node.id for node in done),
                booted=tuple(booted[node.id] for node in done if node.id in booted),
                why=Reason(code=Code.UP, provider=pool.provider, pool=pool.name, request=request.id),
            )
        )


def _pool_of(s: Snapshot, nodes: list[Node]) -> Pool | None:
    for node in nodes:
        provider = s.settings.providers.get(node.provider) if node.provider else None
        if provider is not None and node.pool is not None and node.pool in provider.pools:
            return provider.pools[node.pool]
    return None


def _assign(labels: tuple[LabelName, ...], nodes: list[Node]) -> list[Node | None]:
    """Match nodes to the labels of a request, in the labels' order, ready ones first."""
    unused = sorted(nodes, key=lambda node: (node.state is not NodeState.READY, node.id))
    order: list[Node | None] = []
    for label in labels:
        node = next((node for node in unused if label in node.labels), None)
        if node is not None:
            unused.remove(node)
        order.append(node)
    return order


def _replace(
    s: Snapshot,
    agenda: Agenda,
    ledger: Ledger,
    request: NodeRequest,
    pool: Pool,
    nodes: list[Node],
    missing: tuple[LabelName, ...],
) -> None:
    """Launch again what a claimed request lost, or let go of it where there is no room any more."""
    facts = s.facts.get(pool.provider)
    known = facts is not None and all(label in facts.labels and label in pool.labels for label in missing)
    zone = next((node.az for node in nodes if node.az), None) or pick_zone(s, pool, request.id)
    launches = tuple(
        Launch(label=label, zone=zone, needs=facts.labels[label].needs) for label in missing if facts and known
    )
    needs = total(launch.needs for launch in launches)
    if not known or never(s, ledger, pool, missing) or ledger.obstacle(pool, missing, needs):
        agenda.add(Release(request=request.id, why=Reason(code=Code.NOT_NEEDED, request=request.id)))
        return
    why = Reason(code=Code.ASKED_FOR, request=request.id)
    taken = agenda.add(
        LaunchNodes(request=request.id, provider=pool.provider, pool=pool.name, launches=launches, why=why)
    )
    if taken:
        ledger.take(pool.key, needs, len(launches))


def _give_up(s: Snapshot, agenda: Agenda, registry: Registry, request: NodeRequest, pool: Pool, reason: Reason) -> None:
    """A launch failed for good: this pool declines, another one may do better."""
    _decline(s, agenda, registry, request, {pool.key: reason})


def _serve(
    s: Snapshot,
    agenda: Agenda,
    ledger: Ledger,
    registry: Registry,
    request: NodeRequest,
    outcome: Outcome,
    waiting_alike: dict[object, tuple[Reason, ...]],
) -> None:
    """Serve a request that waits, or say why it goes on waiting."""
    shape = (request.labels, request.reuse, request.provider, request.tenant_name, request.declined_by)
    if shape in waiting_alike:
        outcome.verdicts[request.id] = waiting_alike[shape]
        return
    labels = frozenset(request.labels)
    candidates = [c for c in registry.supporting(labels) if c.id not in request.declined_by]
    impossible: dict[PoolKey, Reason] = {}
    possible: list[Pool] = []
    for key, pool_id in s.pool_ids.items():
        if key[0] not in s.leased or pool_id in request.declined_by:
            continue
        pool = s.settings.providers[key[0]].pools[key[1]]
        lacking = next((label for label in request.labels if label not in pool.labels), None)
        if lacking is not None:
            if not candidates:
                impossible[key] = Reason(code=Code.NO_SUCH_LABEL, provider=key[0], pool=key[1], label=lacking)
            continue
        reason = never(s, ledger, pool, request.labels)
        if reason is not None:
            impossible[key] = reason
        else:
            possible.append(pool)
    others = [c for c in candidates if c.id not in s.pool_ids.values()]
    useful = bool(impossible) and (not possible or bool(others))
    if useful and _decline(s, agenda, registry, request, impossible, outcome):
        return
    verdicts = list(impossible.values())
    yields = _yields(s, request, candidates)
    offers = []
    for pool in possible:
        yielding = yields(pool)
        if yielding is not None:
            verdicts.append(yielding)
        else:
            offers.append(offer(s, agenda, ledger, pool, request))
    verdicts += _take_best(s, agenda, ledger, request, offers, others, outcome)
    outcome.verdicts[request.id] = tuple(verdicts)
    if agenda.free(request_subject(request.id)):
        ahead = Reason(code=Code.AHEAD, request=request.id)
        waiting_alike[shape] = (*verdicts, ahead)


def _yields(s: Snapshot, request: NodeRequest, candidates: list[Component]) -> Callable[[Pool], Reason | None]:
    """Return the rule by which a pool leaves the request to another registered one."""
    preferred = request.provider if any(c.provider_name == request.provider for c in candidates) else None
    running = [c for c in candidates if not c.paused]
    best = min(running, key=lambda c: c.priority, default=None)

    def yielding(pool: Pool) -> Reason | None:
        if preferred is not None and pool.provider != preferred:
            return at(pool.key, Code.YIELD_PROVIDER, detail=preferred)
        if (
            preferred is None
            and best is not None
            and best.priority < pool.priority
            and best.id not in s.pool_ids.values()
        ):
            return at(pool.key, Code.YIELD_PRIORITY, detail=f"{best.provider_name}/{best.name}")
        return None

    return yielding


def _take_best(
    s: Snapshot,
    agenda: Agenda,
    ledger: Ledger,
    request: NodeRequest,
    offers: list[Offer],
    others: list[Component],
    outcome: Outcome,
) -> list[Reason]:
    """Start the best offer, or reserve for the one that can start soonest; return the reasons for waiting."""
    tenant = _tenant_obstacle(s, request, offers)
    if tenant is not None:
        return [tenant]
    startable = [o for o in offers if o.obstacle is None]
    if startable:
        best = min(startable, key=lambda o: (o.pool.priority, len(o.launches), -ledger.room(o.pool, o.needs)))
        waiting = _ready_elsewhere(s, request, others) if best.launches else None
        if waiting is not None:
            agenda.look_again(request.state_time + READY_ELSEWHERE_WAIT)
            return [waiting]
        _start(agenda, ledger, request, best)
        return []
    short = [o for o in offers if o.obstacle and o.obstacle.code in (Code.POOL_LIMIT, Code.PROVIDER_QUOTA)]
    if short:
        best = min(short, key=lambda o: (o.pool.priority, o.obstacle.wanted - o.obstacle.limit if o.obstacle else 0))
        spares = spares_to_give_up(s, agenda, ledger, best.pool, best)
        for node in spares:
            why = Reason(code=Code.SPARE, provider=node.provider, pool=node.pool, request=request.id)
            agenda.add(RetireNode(node=node.id, expect=NodeState.READY, why=why))
        ledger.reserve(best.pool.key, best.needs)
        outcome.short.update(o.pool.key for o in short)
    return [o.obstacle for o in offers if o.obstacle is not None]


def _tenant_obstacle(s: Snapshot, request: NodeRequest, offers: list[Offer]) -> Reason | None:
    """Return why the tenant may not have more now. Ready nodes count like launched ones: all of it becomes his."""
    limits = s.settings.tenant_limits.get(request.tenant_name) if request.tenant_name else None
    if limits is None or not offers or request.tenant_name is None:
        return None
    facts = s.facts.get(offers[0].pool.provider)
    needs = total(facts.labels[label].needs for label in request.labels if facts and label in facts.labels)
    missing = shortage(left(limits, s.nodes.used_by_tenant(request.tenant_name)), needs)
    if missing is None:
        return None
    return Reason(code=Code.TENANT_LIMIT, resource=missing.resource, limit=max(missing.limit, 0), wanted=missing.wanted)


def _ready_elsewhere(s: Snapshot, request: NodeRequest, others: list[Component]) -> Reason | None:
    """Return that another live pool has enough ready nodes, for as long as it may be waited for."""
    if not request.reuse or s.now >= request.state_time + READY_ELSEWHERE_WAIT:
        return None
    for other in others:
        if other.provider_name is None or other.name is None or other.paused:
            continue
        spare = s.nodes.spare.get((other.provider_name, other.name), {})
        if all(node is not None for node in _assign(request.labels, list(spare.values()))):
            return Reason(code=Code.YIELD_READY, detail=f"{other.provider_name}/{other.name}")
    return None


def _start(agenda: Agenda, ledger: Ledger, request: NodeRequest, best: Offer) -> None:
    provider, pool = best.pool.key
    why = at(best.pool.key, Code.ASKED_FOR, request=request.id)
    if not best.launches:
        agenda.add(HandOut(request=request.id, provider=provider, pool=pool, nodes=best.nodes, why=why))
        return
    claim = Claim(request=request.id, provider=provider, pool=pool, nodes=best.nodes, launches=best.launches, why=why)
    if agenda.add(claim):
        ledger.take(best.pool.key, best.needs, len(best.launches))


def _decline(
    s: Snapshot,
    agenda: Agenda,
    registry: Registry,
    request: NodeRequest,
    impossible: dict[PoolKey, Reason],
    outcome: Outcome | None = None,
) -> bool:
    """Decline for the pools that cannot; tell whether that was done. The last decline waits for a quiet registry."""
    ids: dict[PoolId, None] = {}
    for key in impossible:
        ids.update(dict.fromkeys((s.pool_ids[key], *registry.answered_for(key))))
    new = tuple(pool for pool in ids if pool not in request.declined_by)
    if not new:
        return False
    fail = registry.ids <= {*request.declined_by, *new}
    settled = s.registry_changed + s.registry_settle
    if fail and s.now < settled:
        agenda.look_again(settled)
        if outcome is not None:
            unsettled = Reason(code=Code.REGISTRY_UNSETTLED, used=s.now - s.registry_changed, limit=s.registry_settle)
            outcome.verdicts[request.id] = (*impossible.values(), unsettled)
        return True
    because = tuple(impossible.values())
    return agenda.add(Decline(request=request.id, pools=new, fail=fail, because=because, why=because[0]))
