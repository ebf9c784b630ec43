"""Cuts nodes of other providers into slots.

A metastatic provider is a client of its own installation: it requests nodes with the backing label, takes them as a
scheduler would, and gives their slots to the nodes that were asked of itself. Which slots are in use is in the records
of these nodes, so nothing is kept here but the time since which a backing node is idle.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nodepool_ng.model.backing import BackingNode, Cut, owned_by
from nodepool_ng.model.backing_action import (
    AskForBacking,
    ReleaseBacking,
    TakeBacking,
    TakeSlot,
    UnlockBacking,
    WithdrawBacking,
)
from nodepool_ng.model.ids import LabelName, NodeId, ProviderName, Timestamp
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.settings import METASTATIC, Backing
from nodepool_ng.model.snapshot import AttemptState, Side, Snapshot, freeze_of
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.registry import SOFTWARE


@dataclass(slots=True)
class _Slice:
    """One label of a metastatic provider: who waits for a slot, and the requests that are to bring more of them."""

    provider: ProviderName
    label: LabelName
    backing: Backing
    waiting: list[Node] = field(default_factory=list)
    asked: list[NodeRequest] = field(default_factory=list)

    def reason(self, code: Code, **more: object) -> Reason:
        return Reason(code=code, provider=self.provider, label=self.label, **more)  # type: ignore[arg-type]


def plan_metastatic(s: Snapshot, agenda: Agenda) -> None:
    """Add what is to be done about backing nodes: requested, taken, cut, let go."""
    configured = {name for name, provider in s.settings.providers.items() if provider.driver == METASTATIC}
    if not configured and not s.backings and not s.kept:
        return
    for node in sorted(s.kept):
        agenda.add(UnlockBacking(node=node, why=Reason(code=Code.NOT_NEEDED)))
    asked = _asked(s)
    for name in sorted(s.leased):
        if name in configured or name in s.backings:
            _provider(s, agenda, name, asked.get(name, []))


def _asked(s: Snapshot) -> dict[ProviderName, list[NodeRequest]]:
    """Return the requests of metastatic providers, the oldest first. Those of Nodepool 11 end with its launcher."""
    found: dict[ProviderName, list[NodeRequest]] = {}
    for request in sorted(s.requests.values(), key=lambda request: request.id):
        provider = owned_by(request.requestor)
        if provider is not None and _label_of(request) is not None:
            found.setdefault(provider, []).append(request)
    return found


def _provider(s: Snapshot, agenda: Agenda, name: ProviderName, asked: list[NodeRequest]) -> None:
    slices = _slices(s, name)
    for request in asked:
        mine = _slice_of(slices, request)
        if mine is None:
            why = Reason(code=Code.NOT_CONFIGURED, provider=name)
            agenda.add(WithdrawBacking(request=request.id, provider=name, why=why))
        else:
            mine.asked.append(request)
    begun = {(a.backing, a.slot) for a in s.in_flight.values() if isinstance(a, TakeSlot) and _of(s, a, name)}
    for node in _waiting(s, name):
        if node.label in slices:
            slices[node.label].waiting.append(node)
    for mine in slices.values():
        begun |= _give_slots(s, agenda, mine, begun)
        _mind_requests(s, agenda, mine)
    for backing in _backings(s, name):
        if not backing.used and not any(place == backing.id for place, _ in begun):
            _idle(s, agenda, name, backing, slices.get(backing.cut.label))


def _backings(s: Snapshot, name: ProviderName) -> tuple[BackingNode, ...]:
    """Return the backing nodes that are ours to use: those that a launcher of Nodepool 11 took are its own as long as
    one is there for the provider."""
    found = s.backings.get(name, ())
    elsewhere = any(each.provider_name == name and each.software != SOFTWARE for each in s.components.values())
    return tuple(backing for backing in found if backing.by_us) if elsewhere else found


def _slices(s: Snapshot, name: ProviderName) -> dict[LabelName, _Slice]:
    provider = s.settings.providers.get(name)
    labels = (label for pool in provider.pools.values() for label in pool.labels.values()) if provider else ()
    return {label.name: _Slice(name, label.name, label.backing) for label in labels if label.backing is not None}


def _slice_of(slices: dict[LabelName, _Slice], request: NodeRequest) -> _Slice | None:
    """Return the label that a request for a backing node was made for, if that still wants such nodes."""
    mine = slices.get(_label_of(request) or LabelName(""))
    return mine if mine is not None and request.labels == (mine.backing.label,) else None


def _label_of(request: NodeRequest) -> LabelName | None:
    told = request.requestor_data
    label = told.get("label") if isinstance(told, dict) else None
    return LabelName(label) if isinstance(label, str) else None


def _of(s: Snapshot, action: TakeSlot, name: ProviderName) -> bool:
    node = s.nodes.nodes.get(action.node)
    return node is not None and node.provider == name


def _waiting(s: Snapshot, name: ProviderName) -> list[Node]:
    """Return the nodes that we are building and that have no slot, in the order in which they are to get one."""
    facts = s.facts.get(name)
    served = facts.by_node if facts is not None else {}
    found = []
    for node in s.nodes.in_state(NodeState.BUILDING):
        if node.provider != name or s.node_locks.get(node.id) is not Side.OURS or node.id in served:
            continue
        attempt = s.attempts.get(node.attempt) if node.attempt else None
        if attempt is None or attempt.state is not AttemptState.REFUSED:
            found.append(node)

    def urgency(node: Node) -> tuple[bool, tuple[str, float, str], NodeId]:
        request = s.requests.get(node.allocated_to) if node.allocated_to else None
        return (True, ("", 0.0, ""), node.id) if request is None else (False, rank(request), node.id)

    return sorted(found, key=urgency)


def _give_slots(s: Snapshot, agenda: Agenda, mine: _Slice, begun: set[tuple[NodeId, int]]) -> set[tuple[NodeId, int]]:
    """Give free slots to those that wait; return what was given. Who got one waits no more."""
    free = _free(s, mine, begun)
    given = set()
    still = []
    flying = {a.node for a in s.in_flight.values() if isinstance(a, TakeSlot)}
    for node in mine.waiting:
        if node.id in flying:
            continue
        place = next(free, None)
        if place is None:
            still.append(node)
            continue
        why = mine.reason(Code.ASKED_FOR if node.allocated_to else Code.DUE, request=node.allocated_to)
        agenda.add(TakeSlot(node=node.id, backing=place[0], slot=place[1], why=why))
        given.add(place)
    mine.waiting = still
    return given


def _free(s: Snapshot, mine: _Slice, begun: set[tuple[NodeId, int]]) -> Iterator[tuple[NodeId, int]]:
    for backing in _backings(s, mine.provider):
        if backing.cut.label != mine.label or backing.cut.failed or _too_old(s, mine, backing):
            continue
        for slot in range(backing.cut.slots):
            if slot not in backing.used and (backing.id, slot) not in begun:
                yield backing.id, slot


def _too_old(s: Snapshot, mine: _Slice, backing: BackingNode) -> bool:
    most = mine.backing.max_age
    return most is not None and s.now >= backing.cut.launched + most


def _mind_requests(s: Snapshot, agenda: Agenda, mine: _Slice) -> None:
    """Take what was brought, give up what failed, and have as many requests open as those that wait need."""
    wanted = -(-len(mine.waiting) // mine.backing.slots)
    open_ones = 0
    for request in mine.asked:
        if request.state is RequestState.FAILED:
            lot = mine.waiting[: mine.backing.slots]
            mine.waiting = mine.waiting[mine.backing.slots :]
            wanted = max(wanted - 1, 0)
            failed = tuple(node.attempt for node in lot if node.attempt is not None)
            why = mine.reason(Code.LAUNCH_FAILED, detail=_because(request))
            agenda.add(WithdrawBacking(request=request.id, provider=mine.provider, failed=failed, why=why))
        elif open_ones >= wanted:
            why = mine.reason(Code.NOT_NEEDED)
            agenda.add(WithdrawBacking(request=request.id, provider=mine.provider, why=why))
        else:
            open_ones += 1
            if request.state is RequestState.FULFILLED and request.nodes:
                cut = Cut(provider=mine.provider, label=mine.label, slots=mine.backing.slots, launched=s.now)
                why = mine.reason(Code.SLOTS_WANTED, wanted=len(mine.waiting))
                agenda.add(TakeBacking(request=request.id, node=request.nodes[0], cut=cut, why=why))
    if open_ones < wanted and not freeze_of(s, mine.provider).creates:
        why = mine.reason(Code.SLOTS_WANTED, wanted=len(mine.waiting))
        count = wanted - open_ones
        agenda.add(
            AskForBacking(provider=mine.provider, label=mine.label, backing=mine.backing.label, count=count, why=why)
        )


def _because(request: NodeRequest) -> str:
    told = request.failed_because
    reasons = [str(each) for each in told] if isinstance(told, list) else []
    return f"no backing node could be had: {'; '.join(reasons) or 'no reason given'}"


def _idle(s: Snapshot, agenda: Agenda, name: ProviderName, backing: BackingNode, mine: _Slice | None) -> None:
    """Let go of a backing node whose time is over."""
    due: Timestamp = s.now
    if mine is not None and not backing.cut.failed and not _too_old(s, mine, backing):
        idle_since = s.now if backing.idle_since is None else backing.idle_since
        due = max(idle_since + mine.backing.grace_time, backing.cut.launched + mine.backing.min_retention_time)
        if mine.backing.max_age is not None:
            due = min(due, backing.cut.launched + mine.backing.max_age)
    if s.now < due:
        agenda.look_again(due)
        return
    why = Reason(code=Code.IDLE, provider=name, label=backing.cut.label)
    agenda.add(ReleaseBacking(node=backing.id, provider=name, why=why))
