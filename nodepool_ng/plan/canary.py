"""Canaries: a node for each upload that has yet to prove itself, in each provider, and what it proves.

A canary is never anybody's: it is not ready at any time, is not counted as warm, and goes as soon as it has shown
whether it comes up. It competes for capacity like everything else, after requests and before the warm pool.
"""

from collections.abc import Iterator

from nodepool_ng.model.action import Booted, CheckCanary, JudgeUpload, LaunchNodes, RetireNode, warm_subject
from nodepool_ng.model.gate import SLACK, SLOWER, Gate, GateState, gate_of, proves
from nodepool_ng.model.ids import ImageName, ProviderName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import Pool, PoolLabel
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.desk import Desk
from nodepool_ng.plan.launch import Ask, Do, Failed, NoRoom, Wait, ask, progress
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.serving import launches, pick_zone

_ALIVE = (NodeState.INIT, NodeState.BUILDING, NodeState.DELETING)


def plan_canaries(desk: Desk) -> None:
    """Launch a canary for every upload that waits for one, where there is room."""
    s = desk.s
    if not s.at_gate:
        return
    there = {proves(node) for node in s.nodes.in_state(*_ALIVE)}
    there |= {action.canary for action in s.in_flight.values() if isinstance(action, LaunchNodes)}
    for (image, provider), path in sorted(s.at_gate.items()):
        if provider in s.leased and path not in there:
            _launch(desk, image, provider, path)


def _launch(desk: Desk, image: ImageName, provider: ProviderName, path: str) -> None:
    for pool, label in _places(desk.s, image, provider):
        needs = desk.ledger.cost(pool.key, (label.name,))
        if isinstance(needs, str) or not desk.agenda.free(warm_subject(pool.provider, pool.name, label.name)):
            continue
        obstacle = desk.ledger.obstacle(pool, (label.name,), needs)
        if obstacle is not None:
            if obstacle.code is Code.BACKOFF:
                desk.agenda.look_again(desk.s.now + obstacle.wanted)
            else:
                desk.short.add(pool.key)
            continue
        started = launches(desk.s, pool, (label.name,), pick_zone(desk.s, pool, path))
        desk.ledger.take(pool.key, needs, 1)
        why = Reason(code=Code.CANARY, provider=provider, pool=pool.name, label=label.name, detail=image)
        desk.agenda.add(
            LaunchNodes(request=None, provider=provider, pool=pool.name, launches=started[:1], why=why, canary=path)
        )
        return


def _places(s: Snapshot, image: ImageName, provider: ProviderName) -> Iterator[tuple[Pool, PoolLabel]]:
    """Yield pools and labels that use an image, those first that are preferred."""
    configured = s.settings.providers.get(provider)
    pools = configured.pools.values() if configured and configured.max_concurrency != 0 else ()
    for pool in sorted(pools, key=lambda pool: (pool.priority, pool.name)):
        for _, label in sorted(pool.labels.items()):
            if label.diskimage == image and not pool.disabled:
                yield pool, label


def plan_canary(s: Snapshot, agenda: Agenda, node: Node, path: str) -> None:
    """Add the next step of a canary that is being built under our lock."""
    if path not in s.at_gate.values():
        agenda.add(RetireNode(node=node.id, expect=node.state, why=_why(node, Code.NOT_NEEDED)))
        return
    match progress(s, node):
        case Wait(until):
            agenda.look_again(until)
        case Do(action):
            agenda.add(action)
        case Ask():
            ask(agenda, node)
        case Booted() as booted:
            _came_up(s, agenda, node, path, booted)
        case Failed(reason):
            agenda.add(_judged(s, node, path, Gate(state=GateState.FAILED, since=s.now, why=reason.detail)))
        case NoRoom(reason):
            # That proves nothing. It is tried again after the label's back-off, as for every other node.
            agenda.add(RetireNode(node=node.id, expect=node.state, why=reason))


def _came_up(s: Snapshot, agenda: Agenda, node: Node, path: str, booted: Booted) -> None:
    took = s.now - node.state_time
    command = _check_of(s, path)
    checked = s.checked.get(node.id)
    if why := _suspicious(s, node, path, booted, took):
        agenda.add(_judged(s, node, path, Gate(state=GateState.FAILED, since=s.now, why=why, seconds=took)))
    elif command and checked is None:
        provider = s.settings.providers[node.provider] if node.provider else None
        agenda.add(
            CheckCanary(
                node=node.id,
                server=booted.server,
                host_keys=booted.host_keys,
                command=command,
                timeout=provider.launch_timeout if provider else SLACK,
                why=_why(node, Code.CANARY),
            )
        )
    else:
        took = checked.booted_after if checked is not None else took
        failed = checked.trouble if checked is not None else None
        state = GateState.PASSED if failed is None else GateState.FAILED
        gate = Gate(state=state, since=s.now, why=failed or "", seconds=took, keys=booted.host_keys)
        agenda.add(_judged(s, node, path, gate))


def _suspicious(s: Snapshot, node: Node, path: str, booted: Booted, took: float) -> str | None:
    """Return what is wrong with a canary that came up."""
    known = {key for other in s.nodes.nodes.values() if other.id != node.id for key in other.host_keys}
    before = next((s.uploads.get(key) for key, one in s.at_gate.items() if one == path), None)
    last = gate_of(before) if before is not None else None
    if booted.host_keys and not known.isdisjoint({*booted.host_keys}):
        return "its host keys are those of another node: they are part of the image, and not made at first boot"
    if last is not None and last.keys and not {*last.keys}.isdisjoint(booted.host_keys):
        return "its host keys are those of the canary before: they are part of the image, and not made at first boot"
    slow = last is not None and last.seconds is not None and took > SLOWER * last.seconds + SLACK
    if slow and node.id not in s.checked:
        assert last is not None
        return f"it came up after {took:.0f} s, the one before after {last.seconds:.0f} s"
    return None


def _check_of(s: Snapshot, path: str) -> str | None:
    image = next((image for (image, _), one in s.at_gate.items() if one == path), None)
    configured = s.settings.diskimages.get(image) if image else None
    return configured.check if configured else None


def _judged(s: Snapshot, node: Node, path: str, gate: Gate) -> JudgeUpload:
    code = Code.CANARY_PASSED if gate.state is GateState.PASSED else Code.CANARY_FAILED
    why = Reason(code=code, provider=node.provider, pool=node.pool, label=node.label, detail=gate.why)
    return JudgeUpload(node=node.id, upload=path, gate=gate, why=why)


def _why(node: Node, code: Code) -> Reason:
    return Reason(code=code, provider=node.provider, pool=node.pool, label=node.label, detail="its image")
