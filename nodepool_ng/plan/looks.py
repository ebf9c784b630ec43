"""When to look at the clouds again: they send no events."""

from nodepool_ng.model.action import ListServers, ReadCapacity
from nodepool_ng.model.ids import ProviderName, Seconds, Timestamp
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.server import ProviderFacts
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.leaks import suspicious
from nodepool_ng.plan.pace import Agenda

FULL_LIST_EVERY: Seconds = 60.0
LOOK_TWICE: Seconds = 10.0
"""When a server that may be a leak is looked for again: until it is gone it uses up quota."""
LIST_EVERY: Seconds = 1.0
"""While something is expected of a provider: servers that boot or go."""
LIST_FOR_REQUESTS_EVERY: Seconds = 0.5
"""While requests wait for servers that boot, the oldest of which may be up: `LIKELY` of the provider's quickest boot of
late has gone by. A provider without any is taken to be as quick as the quickest."""
LIKELY = 0.7
LIST_FOR_MANY_EVERY: Seconds = 0.25
"""The same while so `MANY` of them come up between two lists: what half a second is to one, it is to all of these."""
MANY = 10
LIST_FOR_RETURNING_EVERY: Seconds = 5.0
"""While machines are on their way back that nobody can have yet."""
CAPACITY_EVERY: Seconds = 300.0


def plan_looks(s: Snapshot, agenda: Agenda) -> None:
    """Add the lists and capacity readings that are due, and remember when the next ones will be."""
    expecting = {node.provider for node in s.nodes.in_state(NodeState.INIT, NodeState.BUILDING, NodeState.DELETING)}
    awaited = _awaited(s)
    for provider in sorted(s.leased):
        if provider in s.without_cloud:
            continue
        facts = s.facts.get(provider)
        backoff = s.provider_backoff.get(provider)
        if backoff is not None and backoff.until > s.now:
            agenda.look_again(backoff.until)
            continue
        read = facts.limits_read if facts else None
        if read is None or s.now >= read + CAPACITY_EVERY:
            agenda.add(ReadCapacity(provider=provider, why=_due(provider)))
        else:
            agenda.look_again(read + CAPACITY_EVERY)
        listed = facts.listed if facts else None
        full = facts.full_listed if facts else None
        if facts is None or listed is None or full is None or s.now >= full + _full_every(s, facts):
            agenda.add(ListServers(provider=provider, since=None, why=_due(provider)))
            continue
        agenda.look_again(full + _full_every(s, facts))
        if provider in awaited:
            every = LIST_FOR_MANY_EVERY if facts.risen >= MANY else LIST_FOR_REQUESTS_EVERY
            due = max(listed + every, min(listed + LIST_EVERY, awaited[provider]))
        elif provider in expecting:
            due = listed + LIST_EVERY
        elif s.away.get(provider):
            due = listed + LIST_FOR_RETURNING_EVERY
        else:
            continue
        due = max(due, listed + facts.list_every)
        if s.now >= due:
            agenda.add(ListServers(provider=provider, since=listed, why=_due(provider)))
        else:
            agenda.look_again(due)


def _awaited(s: Snapshot) -> dict[ProviderName, Timestamp]:
    """Return the providers that have requests wait for servers, and when the first of these may be up."""
    found: dict[ProviderName, Timestamp] = {}
    quickest = min(s.quickest_boots.values(), default=0.0)
    for node in s.nodes.in_state(NodeState.BUILDING):
        if node.provider is not None and node.allocated_to in s.requests:
            likely = (node.created_time or 0.0) + LIKELY * s.quickest_boots.get(node.provider, quickest)
            found[node.provider] = min(found.get(node.provider, likely), likely)
    return found


def _full_every(s: Snapshot, facts: ProviderFacts) -> Seconds:
    doubt = any(suspicious(s, facts, server) for where, server in s.suspects if where == facts.provider)
    return LOOK_TWICE if doubt else FULL_LIST_EVERY


def _due(provider: ProviderName) -> Reason:
    return Reason(code=Code.DUE, provider=provider)
