"""Commands about providers: what ZooKeeper has of one, forgetting it, and permitting a big sweep."""

from collections.abc import Mapping, Sequence

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.notices import tell_notices
from nodepool_ng.cli.options import with_written_format, znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import rendered
from nodepool_ng.listing.rows import SERVERS_OF_PROVIDER, UPLOADS_OF_PROVIDER, ServerOfNode, UploadsOfBuild
from nodepool_ng.listing.table import Format, Table, printable, values, written
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Commit, Delete, Failure

ERASE_TRIES = 5


@click.command()
@click.argument("provider")
@with_written_format
@click.pass_obj
def info(session: Session, provider: str, format: Format | None) -> None:
    """Show what ZooKeeper has of a provider: uploads and nodes."""
    with session.connected() as connection:
        images = seen.images(connection.ask)
        nodes = seen.nodes(connection.ask)
        tell_notices(connection.ask, provider)
    uploads: dict[tuple[str, str], UploadsOfBuild] = {}
    for upload in images.uploads:
        if upload.provider == provider:
            before = uploads.get((upload.image, upload.build))
            numbers = (*(before.uploads if before else ()), upload.id)
            uploads[upload.image, upload.build] = UploadsOfBuild(upload.image, upload.build, numbers)
    servers = tuple(ServerOfNode(node.id, node.external_id) for node in nodes.nodes if node.provider == provider)
    of_images, of_nodes = Table(UPLOADS_OF_PROVIDER, tuple(uploads.values())), Table(SERVERS_OF_PROVIDER, servers)
    if format is None or format.for_people:
        click.echo(f"ZooKeeper data for provider {printable(provider)}\n\nImage data:")
        click.echo(rendered(of_images, format))
        click.echo("\nNodes:")
        click.echo(rendered(of_nodes, format))
    else:
        found = {"images": values(of_images), "nodes": values(of_nodes)}
        click.echo(written({"provider": provider, **found}, format))
    session.report((*images.damaged, *nodes.damaged))


@click.command()
@click.argument("provider", callback=znode_name)
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(session: Session, provider: str, force: bool) -> None:
    """Forget a provider: remove all its nodes and uploads from ZooKeeper, but nothing from its cloud.

    For a provider that was taken out of the configuration before its nodes and images were gone.
    """
    name = ProviderName(provider)
    with session.connected() as connection:
        nodes = seen.nodes(connection.ask)
        images = seen.images(connection.ask)
        session.report((*nodes.damaged, *images.damaged))
        node_paths = [paths.node(node.id) for node in nodes.nodes if node.provider == name]
        uploads = sum(upload.provider == name for upload in images.uploads)
        builds = list(seen.below(connection.ask, seen.builds_in(images, name)))
        if not node_paths and not builds:
            raise session.declined(f"ZooKeeper has nothing of the provider {name}.")
        if not force and not _confirmed(name, len(node_paths), uploads):
            raise session.declined("Nothing was erased.")
        _erase(connection, [*builds, *node_paths])
    click.echo(f"Erased of {name}: nodes {len(node_paths)}, uploads {uploads}.")


@click.command()
@click.argument("provider")
@click.pass_obj
def confirm(session: Session, provider: str) -> None:
    """Permit a sweep that the launcher stopped because it would delete very much of a provider."""
    name = ProviderName(provider)
    if name not in session.settings.providers:
        raise Failed(f"There is no provider {printable(name)} in {session.config}.")
    with session.connected() as connection:
        connection.ensure(paths.confirmed(name))
    click.echo(f"Confirmed: what the launcher found to delete in {printable(name)} will be deleted.")


def _confirmed(name: ProviderName, nodes: int, uploads: int) -> bool:
    """Ask the operator; no answer at all is a no."""
    click.echo(
        f"This removes {nodes} nodes and {uploads} uploads of {name} from ZooKeeper, locked or not. Servers and images "
        "in the cloud stay, and nothing will clean them up. No launcher or builder may have this provider any more."
    )
    try:
        answer = input("Erase? [N/y] ")
    except EOFError:
        click.echo()
        return False
    return answer in ("y", "Y")


def _erase(connection: Connection, roots: Sequence[str]) -> None:
    """Remove whole subtrees, each in one transaction; what changes meanwhile is read again."""
    failures: Sequence[Failure] = ()
    for _ in range(ERASE_TRIES):
        trees: Mapping[str, tuple[str, ...]] = seen.below(connection.ask, roots)
        if not trees:
            return
        done = connection.ask([Commit(tuple(map(Delete, tree))) for tree in trees.values()])
        failures = [answer for answer in done if isinstance(answer, Failure)]
        if not failures:
            return
    raise Failed(f"Not everything could be erased, since somebody still uses it: {failures[0]}.")
