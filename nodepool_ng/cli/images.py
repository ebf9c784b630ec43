"""Commands about images: whether they are built, and when."""

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.options import znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import Wishes, show_list, with_wishes
from nodepool_ng.listing.rows import IMAGES, BuildRequest, ImageRow
from nodepool_ng.listing.table import Table
from nodepool_ng.model.ids import ImageName
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.store import Delete, Failure, Problem


@click.command("image-status")
@with_wishes("label")
@click.pass_obj
def status(session: Session, wishes: Wishes) -> None:
    """List the images, whether they are paused and whether a build was asked for."""

    def look(connection: Connection) -> tuple[Table[ImageRow], tuple[Damaged, ...]]:
        found = seen.images(connection.ask)
        now = session.now()
        rows = [ImageRow(name, f.paused, _request(f), f.requested, now) for name, f in found.flags.items()]
        return Table(IMAGES, tuple(rows)), ()

    show_list(session, look, wishes, paths.IMAGES)


@click.command("image-build")
@click.argument("image", callback=znode_name)
@click.option("--dry", is_flag=True, help="Build it here and now, with its log on stdout, and publish nothing.")
@click.option("--output", metavar="FOLDER", help="With --dry: keep the files there; otherwise they go again.")
@click.pass_obj
def request_build(session: Session, image: str, dry: bool, output: str | None) -> None:
    """Ask for a new build of an image."""
    name = ImageName(image)
    if output is not None and not dry:
        raise click.UsageError("--output goes with --dry: otherwise builders keep their files themselves.")
    configured = session.settings.diskimages.get(name)
    if configured is None:
        raise Failed(f"There is no diskimage {name} in {session.config}.")
    if dry:
        # only who builds pays for what that takes to import
        from nodepool_ng.cli.image_dry import build_dry

        build_dry(session.settings, name, output)
        return
    if configured.pause:
        raise Failed(f"The diskimage {name} is paused in {session.config}, so nobody would build it.")
    with session.connected() as connection:
        connection.ensure(paths.build_requested(name))
        if connection.get(paths.paused(name)):
            click.echo(f"{name} is paused: it will be built after `nodepool image-unpause {name}`.", err=True)


@click.command("image-pause")
@click.argument("image", callback=znode_name)
@click.pass_obj
def pause(session: Session, image: str) -> None:
    """Stop building an image until it is un-paused; uploads go on."""
    name = ImageName(image)
    with session.connected() as connection:
        if name not in session.settings.diskimages and connection.get(paths.image(name)) is None:
            raise Failed(f"There is no image {name}, neither in {session.config} nor in ZooKeeper.")
        connection.ensure(paths.paused(name))


@click.command("image-unpause")
@click.argument("image", callback=znode_name)
@click.pass_obj
def unpause(session: Session, image: str) -> None:
    """Let an image be built again."""
    with session.connected() as connection:
        done = connection.commit(Delete(paths.paused(ImageName(image))))
    if isinstance(done, Failure) and done.problem is not Problem.NO_NODE:
        raise Failed(f"{done}.")


def _request(flags: seen.Flags) -> BuildRequest | None:
    if flags.requested is None:
        return None
    return BuildRequest.BUILDING if flags.building else BuildRequest.PENDING
