"""Commands that keep new work away from a provider, a pool or an image, and empty a provider or pool."""

import click

from nodepool_ng.cli import notes
from nodepool_ng.cli.asking import make_sure, yes_option
from nodepool_ng.cli.freezing import put
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.seen import nodes as read_nodes
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.listing.table import printable
from nodepool_ng.model.cordon import Cordon, CordonKey, CordonKind
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.settings import Settings
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import encode_cordon
from nodepool_ng.zk.store import Delete, Failure, Problem

LOOK_EVERY: Seconds = 30.0
"""Counting again is caused by changes; this is for the case that one was missed."""

_WHAT = click.argument("what", metavar="PROVIDER|PROVIDER/POOL|IMAGE")
_REASON = click.option("--reason", metavar="TEXT", help="Why; others see it.")


@click.command()
@_WHAT
@_REASON
@click.pass_obj
def cordon(session: Session, what: str, reason: str | None) -> None:
    """Give nothing new to a provider, a pool or an image: no launches, no ready nodes handed out.

    What is under way goes on, jobs keep their nodes, and requests go to other pools or wait. The order outlives
    restarts; "uncordon" takes it back.
    """
    key = _key(session.settings, what)
    _order(session, key, reason, drain=False)
    click.echo(
        f"Cordoned: the {key[0]} {printable(what)} gets nothing new until `nodepool uncordon {printable(what)}`."
    )


@click.command()
@_WHAT
@click.pass_obj
def uncordon(session: Session, what: str) -> None:
    """End a cordon or drain."""
    kinds = [CordonKind.POOL] if "/" in what else [CordonKind.PROVIDER, CordonKind.IMAGE]
    ended = []
    with session.connected() as connection:
        for kind in kinds:
            answer = connection.commit(Delete(paths.cordon(kind, what)))
            if not isinstance(answer, Failure):
                ended.append(kind)
            elif answer.problem is not Problem.NO_NODE:
                raise Failed(f"{answer}.")
    if not ended:
        raise session.declined(f"{printable(what)} was not cordoned.")
    click.echo(f"Uncordoned: the {' and the '.join(ended)} {printable(what)}.")


@click.command()
@click.argument("what", metavar="PROVIDER|PROVIDER/POOL")
@_REASON
@click.option("--wait", is_flag=True, help="Wait until nothing is left there but held nodes.")
@yes_option
@click.pass_obj
def drain(session: Session, what: str, reason: str | None, wait: bool, yes: bool) -> None:
    """Empty a provider or pool: nothing new, ready nodes are deleted, nodes of jobs when these are over.

    "uncordon" ends it.
    """
    key = _key(session.settings, what)
    if key[0] is CordonKind.IMAGE:
        raise Failed(f"An image cannot be drained: cordon it, and delete its nodes. {printable(what)} is an image.")
    with session.connected(paths.NODES) as connection:
        there = _there(connection, key)
        ready = sum(node.free for node in there)
        name = printable(what)
        make_sure(session, f"{name} has {len(there)} nodes; {ready} that are ready are deleted at once.", yes=yes)
        _put(session, connection, key, reason, drain=True)
        click.echo(f"Draining the {key[0]} {name}: {_left(there)}. End it with `nodepool uncordon {name}`.")
        while wait and any(node.state is not NodeState.HOLD for node in there):
            connection.wait_for_change(LOOK_EVERY)
            before, there = there, _there(connection, key)
            if _left(there) != _left(before):
                click.echo(_left(there))
    if wait:
        click.echo("Drained.")


def _key(settings: Settings, what: str) -> CordonKey:
    """Return what an operator means by a name; raises `Failed` for one that nothing or several things have."""
    provider, slash, pool = what.partition("/")
    found: list[CordonKind] = []
    providers = {str(name): one for name, one in settings.providers.items()}
    if slash:
        if provider in providers and pool in {str(name) for name in providers[provider].pools}:
            found.append(CordonKind.POOL)
    else:
        found += [CordonKind.PROVIDER] if what in providers else []
        found += [CordonKind.IMAGE] if what in {str(name) for name in settings.diskimages} else []
    match found:
        case [kind]:
            return kind, what
        case []:
            raise Failed(f"There is no provider, pool (PROVIDER/POOL) or diskimage {printable(what)} configured here.")
    raise Failed(f"Both a provider and a diskimage are called {printable(what)}; a pool can be named: {what}/POOL.")


def _order(session: Session, key: CordonKey, reason: str | None, *, drain: bool) -> None:
    with session.connected() as connection:
        _put(session, connection, key, reason, drain=drain)


def _put(session: Session, connection: Connection, key: CordonKey, reason: str | None, *, drain: bool) -> None:
    session.reason = reason or ""
    order = Cordon(drain=drain, by=notes.person(), reason=reason or "", since=round(session.now(), 3))
    connection.ensure(paths.CORDONS)
    put(connection, paths.cordon(*key), encode_cordon(order))


def _there(connection: Connection, key: CordonKey) -> list[Node]:
    names = (key[1],) if key[0] is CordonKind.PROVIDER else tuple(key[1].split("/", 1))
    return [
        node
        for node in read_nodes(connection.ask).nodes
        if node.provider == names[0] and (len(names) == 1 or node.pool == names[1])
    ]


def _left(nodes: list[Node]) -> str:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.state] = counts.get(node.state, 0) + 1
    return "; ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no nodes"
