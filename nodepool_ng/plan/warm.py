"""Keeps the warm pool filled: `min-ready` is demand of the lowest priority in the same pass.

`min-ready` is one target for the whole installation. The places to fill are numbered, and each belongs to one
registered pool, the one that rendezvous hashing names among those that have the label and are not paused. Every
launcher comes to the same division without talking to another, and a pool that goes or fills up leaves its places
to the others.
"""

from nodepool_ng.model.action import Launch, LaunchNodes
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import LabelName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import Label, Pool
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.capacity import Ledger
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.registry import Registry, rendezvous
from nodepool_ng.plan.serving import never, pick_zone


def plan_warm(s: Snapshot, agenda: Agenda, ledger: Ledger) -> set[PoolKey]:
    """Add launches for labels with too few ready nodes; return the pools that lack the room for theirs."""
    wanted = [label for label in s.settings.labels.values() if label.min_ready > 0]
    if not wanted:
        return set()
    have = _have(s)
    registry = Registry(s)
    short: set[PoolKey] = set()
    for label in sorted(wanted, key=lambda label: label.name):
        short |= _fill(s, agenda, ledger, registry, label, have.get(label.name, {}))
    return short


def _have(s: Snapshot) -> dict[LabelName, dict[PoolKey, int]]:
    """Count per label and pool the nodes that are ready and free, or on their way to be."""
    have: dict[LabelName, dict[PoolKey, int]] = {}
    for node in s.nodes.in_state(NodeState.READY, NodeState.INIT, NodeState.BUILDING):
        if node.allocated_to is None and node.provider and node.pool:
            for label in node.labels:
                pools = have.setdefault(label, {})
                pools[node.provider, node.pool] = pools.get((node.provider, node.pool), 0) + 1
    return have


def _fill(
    s: Snapshot, agenda: Agenda, ledger: Ledger, registry: Registry, label: Label, have: dict[PoolKey, int]
) -> set[PoolKey]:
    flying = _in_flight(s, label.name)
    ready = sum(have.values())
    missing = label.min_ready - ready - sum(flying.values())
    if missing <= 0:
        return set()
    short: set[PoolKey] = set()
    for key, share in sorted(_shares(s, ledger, registry, label).items()):
        if key in s.pool_ids and key[0] in s.leased and key not in flying:
            pool = s.settings.providers[key[0]].pools[key[1]]
            count = min(missing, share - have.get(key, 0))
            started = _launch(s, agenda, ledger, pool, label, ready, count)
            missing -= started
            if started < count:
                short.add(key)
    return short


def _shares(s: Snapshot, ledger: Ledger, registry: Registry, label: Label) -> dict[PoolKey, int]:
    """Divide the places of a label among the pools that can fill them; lower priority numbers have them all."""
    eligible: dict[PoolKey, int] = {}
    for component in registry.supporting(frozenset({label.name})):
        assert component.provider_name is not None
        assert component.name is not None
        key = (component.provider_name, component.name)
        if key in s.pool_ids and key[0] in s.leased:
            pool = s.settings.providers[key[0]].pools[key[1]]
            facts = s.facts.get(key[0])
            ready = facts is not None and facts.limits_read is not None and facts.full_listed is not None
            if label.name not in pool.labels or not ready or never(s, ledger, pool, (label.name,)) is not None:
                continue
        elif component.paused:
            continue
        eligible[key] = component.priority
    best = min(eligible.values(), default=0)
    places = [key for key, priority in eligible.items() if priority == best]
    shares: dict[PoolKey, int] = {}
    for place in range(label.min_ready if places else 0):
        key = max(places, key=lambda k: (rendezvous(f"{label.name}/{place}", f"{k[0]}/{k[1]}"), k))
        shares[key] = shares.get(key, 0) + 1
    return shares


def _in_flight(s: Snapshot, label: LabelName) -> dict[PoolKey, int]:
    """Count warm launches whose records are not seen yet."""
    counts: dict[PoolKey, int] = {}
    for action in set(s.in_flight.values()):
        if isinstance(action, LaunchNodes) and action.request is None and action.launches[0].label == label:
            key = (action.provider, action.pool)
            counts[key] = counts.get(key, 0) + len(action.launches)
    return counts


def _launch(s: Snapshot, agenda: Agenda, ledger: Ledger, pool: Pool, label: Label, ready: int, count: int) -> int:
    """Launch up to `count` nodes, as many as there is room for; return how many."""
    facts = s.facts[pool.provider]
    needs = facts.labels[label.name].needs if label.name in facts.labels else Resources()
    launches: list[Launch] = []
    for number in range(count):
        obstacle = ledger.obstacle(pool, (label.name,), needs)
        if obstacle is not None:
            if obstacle.code is Code.BACKOFF:
                agenda.look_again(s.now + obstacle.wanted)
            break
        zone = pick_zone(s, pool, f"{label.name}/{len(s.nodes.nodes)}/{number}")
        launches.append(Launch(label=label.name, zone=zone, needs=needs))
        ledger.take(pool.key, needs, 1)
    if launches:
        why = Reason(
            code=Code.WARM, provider=pool.provider, pool=pool.name, label=label.name, used=ready, limit=label.min_ready
        )
        agenda.add(LaunchNodes(request=None, provider=pool.provider, pool=pool.name, launches=tuple(launches), why=why))
    return len(launches)
