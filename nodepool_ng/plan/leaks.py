"""Servers of ours that nothing stands for: leaks and duplicates. What is not provably ours is not looked at."""

from collections.abc import Iterable

from nodepool_ng.model.action import ForgetConfirmation, node_subject
from nodepool_ng.model.ids import NodeId, ProviderName, Seconds, ServerId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.server import ProviderFacts, Server, ServerStatus
from nodepool_ng.model.snapshot import QUARANTINED_AFTER, Snapshot
from nodepool_ng.plan.launch import own_server
from nodepool_ng.plan.nodes import delete_server, of_another_life
from nodepool_ng.plan.pace import Agenda

CONFIRMED_FOR: Seconds = 600.0
SWEEP_MAX_COUNT = 5
SWEEP_MAX_SHARE = 0.1
"""A sweep that would delete more than both stops: it looks like the right configuration on the wrong ZooKeeper."""


def plan_leaks(s: Snapshot, agenda: Agenda) -> dict[ProviderName, str]:
    """Add deletions of leaked and duplicate servers; return a sentence for each provider where a sweep was
    stopped because it would take too many."""
    alarms = {}
    for provider in sorted(s.leased):
        facts = s.facts.get(provider)
        if facts is None or facts.full_listed is None:
            continue
        doubtful = _doubtful(s, facts)
        strangers = _strangers(s, provider, facts, doubtful)
        _duplicates(s, agenda, provider, facts, doubtful)
        suspects = (facts.servers.get(server) for where, server in s.suspects if where == provider)
        there = [server for server in suspects if server is not None]
        leaks = [*(server for server in there if is_leak(s, facts, server)), *strangers]
        stuck = "; ".join(filter(None, (facts.trouble, _stuck(s, facts))))
        if stuck:
            alarms[provider] = stuck
        if provider in s.sweeps_confirmed and not any(marked(s, provider, server) for server in there):
            _forget(s, agenda, provider)
        if len(leaks) > SWEEP_MAX_COUNT and provider not in s.sweeps_confirmed:
            all_of_it = sum(server.provider == provider for server in facts.servers.values())
            if len(leaks) > SWEEP_MAX_SHARE * all_of_it:
                alarms[provider] = f"{stuck}; " if stuck else ""
                alarms[provider] += (
                    f"{len(leaks)} of {all_of_it} servers would be deleted as leaks; "
                    f"nothing is deleted until `nodepool confirm {provider}` says so"
                )
                continue
        for server in leaks:
            delete_server(s, agenda, provider, server, None, Reason(code=Code.LEAK, provider=provider))
    return alarms


def _stuck(s: Snapshot, facts: ProviderFacts) -> str:
    """Return a sentence about servers that the cloud does not delete; "" when there are none. They go on being counted,
    shown and, now and then, asked for."""
    stuck = sorted(
        server
        for server, backoff in s.delete_backoff.items()
        if backoff.failures >= QUARANTINED_AFTER and server in facts.servers
    )
    if not stuck:
        return ""
    named = ", ".join(stuck[:5]) + (", …" if len(stuck) > 5 else "")
    return f"{len(stuck)} servers are not deleted although the cloud was asked again and again: {named}"


def _forget(s: Snapshot, agenda: Agenda, provider: ProviderName) -> None:
    """Take a permission back once there is nothing left to sweep; but not at once, since a builder may need it too."""
    over = s.sweeps_confirmed[provider] + CONFIRMED_FOR
    if s.now >= over:
        agenda.add(ForgetConfirmation(provider=provider, why=Reason(code=Code.NOT_NEEDED, provider=provider)))
    else:
        agenda.look_again(over)


def is_leak(s: Snapshot, facts: ProviderFacts, server: Server) -> bool:
    """Tell whether a server is ours, has no record, and had none already at an earlier full list.

    Ours means: made by this installation for this provider; or made by Nodepool 11 for a node that had a record in
    this very tree since we started.
    """
    first = s.suspects.get((facts.provider, server.id))
    seen_before = first is not None and facts.full_listed is not None and first < facts.full_listed
    return seen_before and _without_record(s, facts, server)


def suspicious(s: Snapshot, facts: ProviderFacts, id: ServerId) -> bool:
    """Tell whether one more full list would show a server to be a leak: the newest was the first without its record."""
    server, first = facts.servers.get(id), s.suspects.get((facts.provider, id))
    newest = first is not None and facts.full_listed is not None and first >= facts.full_listed
    return newest and server is not None and _without_record(s, facts, server)


def _without_record(s: Snapshot, facts: ProviderFacts, server: Server) -> bool:
    if not marked(s, facts.provider, server) or server.status is ServerStatus.DELETED:
        return False
    return server.node not in s.nodes.nodes and server.node not in s.unreadable


def marked(s: Snapshot, provider: ProviderName, server: Server) -> bool:
    """Tell whether a server's metadata say that it is ours; servers rebuilt or copied by others lack some of it."""
    if server.provider != provider or server.node is None:
        return False
    return server.installation == s.installation or (server.installation is None and server.node in s.recorded)


def _strangers(s: Snapshot, provider: ProviderName, facts: ProviderFacts, doubtful: Iterable[NodeId]) -> list[Server]:
    """Return servers whose nodes' numbers were given out a second time."""
    suspects = [facts.servers[server] for where, server in s.suspects if where == provider and server in facts.servers]
    found = {server.id: server for server in suspects}
    found |= {server.id: server for node_id in doubtful for server in facts.by_node[node_id]}
    nodes = s.nodes.nodes
    return [
        server
        for server in found.values()
        if server.provider == provider
        and server.status is not ServerStatus.DELETED
        and server.node in nodes
        and of_another_life(s, server, nodes[server.node])
    ]


def _doubtful(s: Snapshot, facts: ProviderFacts) -> list[NodeId]:
    """Return nodes that have several servers, or one that may not be theirs. A node that rests has none but its own,
    or several."""
    building = s.nodes.by_state[NodeState.BUILDING].keys() - s.resting.keys()
    return sorted({*facts.several, *(node_id for node_id in building if node_id in facts.by_node)})


def _duplicates(
    s: Snapshot, agenda: Agenda, provider: ProviderName, facts: ProviderFacts, doubtful: Iterable[NodeId]
) -> None:
    """Add deletions of servers that another one took the place of, strangers aside.

    That a node has a single server which is not its attempt's matters only while it is being built: later its own one
    went, and the other goes with the record.

    While the cloud's answer to a create is on its way, nobody knows which of two servers it names.
    """
    for node_id in doubtful:
        node = s.nodes.nodes.get(node_id)
        if node is None or node.provider != provider or node.attempt is None:
            continue
        if node.state in (NodeState.DELETING, NodeState.DELETED) or node_subject(node_id) in s.in_flight:
            continue
        keep = own_server(s, node)
        for server in facts.by_node[node_id]:
            kept = server.id == node.external_id or (keep is not None and server.id == keep.id)
            if kept or of_another_life(s, server, node):
                continue
            if server.installation == s.installation and server.provider == provider:
                delete_server(s, agenda, provider, server, node, Reason(code=Code.DUPLICATE, provider=provider))
