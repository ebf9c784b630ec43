"""The next step of a request that we hold: its nodes are launched, replaced, handed over, or all of it is let go."""

from collections.abc import Mapping

from nodepool_ng.model.action import (
    Action,
    AdoptNode,
    Booted,
    Fulfil,
    LaunchNodes,
    Release,
    RetireNode,
    node_subject,
)
from nodepool_ng.model.ids import LabelName, NodeId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import Pool
from nodepool_ng.model.snapshot import Side
from nodepool_ng.plan.declining import decline
from nodepool_ng.plan.desk import Desk
from nodepool_ng.plan.launch import Ask, Do, Failed, NoRoom, Progress, Wait, ask, progress
from nodepool_ng.plan.nodes import never_asked
from nodepool_ng.plan.serving import launches, never, pick_zone
from nodepool_ng.plan.shelf import matched

_LIVE = (NodeState.INIT, NodeState.BUILDING, NodeState.READY)


def go_on(desk: Desk, request: NodeRequest) -> None:
    """Add the next steps of a request that we hold."""
    s = desk.s
    nodes = [node for node in s.nodes.of_request(request.id) if node.state in _LIVE and node.provider in s.leased]
    pool = _pool_of(desk, nodes)
    if pool is None:
        desk.agenda.add(_released(request))
        return
    bereft = [node for node in nodes if node.id in s.bereft and node.state is NodeState.READY] if s.bereft else None
    if bereft:
        _drop(desk, request, bereft)
        return
    if len(nodes) == len(request.labels) and not any(desk.agenda.free(node_subject(node.id)) for node in nodes):
        return  # something is under way for each of them; there will be news of all
    steps = {node.id: progress(s, node) for node in nodes if _is_building(desk, node)}
    boots = [node_id for node_id, step in steps.items() if isinstance(step, Wait)]
    if len(boots) == len(nodes) == len(request.labels):
        for node in nodes:
            _step(desk, node, steps[node.id])
        return  # nothing is missing, and all of them boot
    failed = next((step.reason for step in steps.values() if isinstance(step, Failed)), None)
    if failed is not None:
        _give_up(desk, request, pool, nodes, steps, failed)
        return
    for node in nodes:
        if node.id in steps:
            _step(desk, node, steps[node.id])
        elif s.node_locks.get(node.id) is None or node.state is NodeState.INIT:
            desk.agenda.add(AdoptNode(node=node.id, why=Reason(code=Code.ADOPTED, request=request.id)))
    if any(isinstance(step, NoRoom) for step in steps.values()):
        return
    booted = {node_id: step for node_id, step in steps.items() if isinstance(step, Booted)}
    if booted:
        desk.ledger.landed(pool.provider, len(booted))
    if len(nodes) == len(request.labels) and len(booted) < len(steps):
        return  # nothing is missing, and not everything is up
    order = matched(
        request.labels,
        sorted(nodes, key=lambda node: (node.state is not NodeState.READY, node.id not in booted, node.id)),
    )
    missing = tuple(label for label, node in zip(request.labels, order, strict=True) if node is None)
    if missing:
        _replace(desk, request, pool, nodes, missing)
    else:
        _hand_over(desk, request, pool, [node for node in order if node is not None], booted)


def rests(desk: Desk, request: NodeRequest) -> bool:
    """Tell whether an earlier plan found nothing to do for any of the request's nodes, and there was no news since."""
    s = desk.s
    nodes = s.nodes.by_request.get(request.id)
    if nodes is None or len(nodes) != len(request.labels):
        return False
    until = min([s.resting.get(node_id, s.now) for node_id in nodes])
    if until <= s.now:
        return False
    desk.agenda.look_again(until)
    return True


def _drop(desk: Desk, request: NodeRequest, bereft: list[Node]) -> None:
    """Delete ready nodes that lost their servers while they were waiting for the others; they are replaced next."""
    for node in bereft:
        why = Reason(code=Code.SERVER_LOST, provider=node.provider, pool=node.pool, request=request.id)
        desk.agenda.add(RetireNode(node=node.id, expect=NodeState.READY, why=why))


def _pool_of(desk: Desk, nodes: list[Node]) -> Pool | None:
    for node in nodes:
        provider = desk.s.settings.providers.get(node.provider) if node.provider else None
        if provider is not None and node.pool is not None and node.pool in provider.pools:
            return provider.pools[node.pool]
    return None


def _is_building(desk: Desk, node: Node) -> bool:
    return node.state is NodeState.BUILDING and desk.s.node_locks.get(node.id) is Side.OURS


def _step(desk: Desk, node: Node, step: Progress) -> None:
    match step:
        case Wait(until, firm=True):
            desk.agenda.rest(node.id, until)
        case Wait(until):
            desk.agenda.look_again(until)
        case Do(action):
            desk.agenda.add(action)
        case Ask():
            ask(desk.agenda, node)
        case NoRoom(reason):
            desk.agenda.add(RetireNode(node=node.id, expect=node.state, why=reason))
        case _:
            pass


def _hand_over(
    desk: Desk, request: NodeRequest, pool: Pool, nodes: list[Node], booted: Mapping[NodeId, Booted]
) -> None:
    """Fulfil the request once every node is up and its lock is ours to give away."""
    for node in nodes:
        up = node.id in booted or node.state is NodeState.READY
        if not up or desk.s.node_locks.get(node.id) is not Side.OURS:
            return
    why = Reason(code=Code.UP, provider=pool.provider, pool=pool.name, request=request.id)
    ids = tuple(node.id for node in nodes)
    desk.agenda.add(
        Fulfil(request=request.id, nodes=ids, booted=tuple(booted[node] for node in ids if node in booted), why=why)
    )


def _replace(desk: Desk, request: NodeRequest, pool: Pool, nodes: list[Node], missing: tuple[LabelName, ...]) -> None:
    """Launch again what a claimed request lost, or let go of it where there is no room any more."""
    s = desk.s
    needs = desk.ledger.cost(pool.key, missing)
    if any(label not in pool.labels for label in missing) or never(s, desk.ledger, pool, missing) is not None:
        _let_go(desk, nodes, _released(request))
        return
    if isinstance(needs, str):
        if pool.provider in s.facts and s.facts[pool.provider].error is not None:
            _let_go(desk, nodes, _released(request))
        return
    zone = next((node.az for node in nodes if node.az), None) or pick_zone(s, pool, request.id)
    obstacle = desk.ledger.obstacle(pool, missing, needs)
    if obstacle is not None:
        if obstacle.code is not Code.CONCURRENCY:
            _let_go(desk, nodes, _released(request))
        return
    why = Reason(code=Code.ASKED_FOR, request=request.id)
    if desk.agenda.add(
        LaunchNodes(
            request=request.id,
            provider=pool.provider,
            pool=pool.name,
            launches=launches(s, pool, missing, zone),
            why=why,
        )
    ):
        desk.ledger.take(pool.key, needs, len(missing))


def _give_up(
    desk: Desk,
    request: NodeRequest,
    pool: Pool,
    nodes: list[Node],
    steps: Mapping[NodeId, Progress],
    reason: Reason,
) -> None:
    """A launch failed for good: this pool declines, another one may do better."""
    others = [node for node in nodes if not isinstance(steps.get(node.id), Failed)]
    if _idle(desk, others):
        _retire_idle(desk, others)
    elif not decline(desk, request, {pool.key: reason}):
        desk.agenda.add(_released(request))


def _let_go(desk: Desk, nodes: list[Node], action: Action) -> None:
    """Put a request back, but first drop what no cloud was asked for yet: it would be launched for nobody."""
    if _idle(desk, nodes):
        _retire_idle(desk, nodes)
    else:
        desk.agenda.add(action)


def _idle(desk: Desk, nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if _is_building(desk, node) and never_asked(desk.s, node)]


def _retire_idle(desk: Desk, nodes: list[Node]) -> None:
    for node in _idle(desk, nodes):
        why = Reason(code=Code.NOT_NEEDED, provider=node.provider, pool=node.pool, label=node.label)
        desk.agenda.add(RetireNode(node=node.id, expect=node.state, why=why))


def _released(request: NodeRequest) -> Release:
    return Release(request=request.id, why=Reason(code=Code.NOT_NEEDED, request=request.id))
