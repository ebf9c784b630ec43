"""Commands that stop launchers from creating and deleting servers, and let them go on."""

import click

from nodepool_ng.cli.options import znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.listing.table import printable
from nodepool_ng.model.freeze import Freeze, forbidden
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import encode_freeze
from nodepool_ng.zk.store import Commit, Create, Delete, Failure, Problem, Set


@click.command()
@click.argument("provider", callback=znode_name)
@click.option("--creates", is_flag=True, help="Only stop creating servers.")
@click.option("--deletes", is_flag=True, help="Only stop deleting servers.")
@click.pass_obj
def freeze(session: Session, provider: str, creates: bool, deletes: bool) -> None:
    """Stop creating and deleting servers in PROVIDER, or in all of them ("all"), at once.

    Nodes that are ready are handed out all the same. The order outlives restarts; "thaw" takes it back. Of several
    orders the last one counts.
    """
    _known(session, provider)
    order = Freeze(creates=creates or not deletes, deletes=deletes or not creates)
    path, data = paths.freeze(provider), encode_freeze(order)
    with session.connected() as connection:
        connection.ensure(paths.FREEZES)
        put(connection, path, data)
    what = forbidden(order)
    click.echo(f"Frozen: no servers are {what} in {_where(provider)} until `nodepool thaw {printable(provider)}`.")


@click.command()
@click.argument("provider", callback=znode_name)
@click.pass_obj
def thaw(session: Session, provider: str) -> None:
    """Let launchers go on in PROVIDER, or in all of them ("all"), after a freeze."""
    with session.connected() as connection:
        answer = connection.commit(Delete(paths.freeze(provider)))
        everywhere = provider != paths.ALL and connection.get(paths.freeze(paths.ALL)) is not None
    if isinstance(answer, Failure) and answer.problem is not Problem.NO_NODE:
        raise Failed(f"{answer}.")
    still = " Everything is still frozen by `nodepool freeze all`." if everywhere else ""
    if isinstance(answer, Failure):
        raise session.declined(f"There is no order to freeze {_where(provider)}.{still}")
    click.echo(f"Thawed: launchers go on in {_where(provider)}.{still}")


def _known(session: Session, provider: str) -> None:
    if provider != paths.ALL and provider not in session.settings.providers:
        raise Failed(f"There is no provider {printable(provider)} in {session.config}.")


def put(connection: Connection, path: str, data: bytes) -> None:
    """Write a record, whether it was there or not."""
    made = connection.ask([Commit((Create(path, data),))])[0]
    if isinstance(made, Failure) and made.problem is Problem.NODE_EXISTS:
        made = connection.commit(Set(path, data))
    if isinstance(made, Failure):
        raise Failed(f"{made}.")


def _where(provider: str) -> str:
    return "all providers" if provider == paths.ALL else printable(provider)
