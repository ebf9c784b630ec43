"""Commands about builds of images."""

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.options import znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import Wishes, show_list, with_wishes
from nodepool_ng.listing.operators import WIDE_BUILDS
from nodepool_ng.listing.rows import BUILDS, BuildRow
from nodepool_ng.listing.table import Table, printable
from nodepool_ng.model.ids import BuildId, ImageName
from nodepool_ng.model.image import Build, build_moved
from nodepool_ng.model.lifecycle import ImageEvent, ImageState
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged, decode_build, encode_build
from nodepool_ng.zk.store import Failure, Problem, Set

WRITE_TRIES = 5


@click.command("dib-image-list")
@with_wishes("label", "state")
@click.pass_obj
def list_builds(session: Session, wishes: Wishes) -> None:
    """List the builds of images."""

    def look(connection: Connection) -> tuple[Table[BuildRow], tuple[Damaged, ...]]:
        found = seen.images(connection.ask)
        now = session.now()
        rows = tuple(BuildRow(build, found.flags[build.image].paused, now) for build in found.builds)
        return Table(WIDE_BUILDS if wishes.wide else BUILDS, rows), found.damaged

    show_list(session, look, wishes, paths.IMAGES)


@click.command("dib-image-delete")
@click.argument("build", metavar="IMAGE-BUILD", callback=znode_name)
@click.pass_obj
def delete_build(session: Session, build: str) -> None:
    """Have a build deleted, with all of its uploads and files; builders do it."""
    image, dash, number = build.rpartition("-")
    if not (image and dash and number):
        raise Failed(f"{build} is not the id of a build: it is the image's name, a dash and the build's id.")
    name, id = ImageName(image), BuildId(number)
    path = paths.build(name, id)
    with session.connected() as connection:
        for _ in range(WRITE_TRIES):
            got = connection.get(path)
            record = decode_build(name, id, got.data) if got else None
            if isinstance(record, Damaged):
                raise Failed(f"The record of this build is damaged, so it is left alone: {printable(record.reason)}.")
            if got is None or not isinstance(record, Build):
                raise session.declined(f"There is no build {build}.")
            if record.state is ImageState.BUILDING:
                raise session.declined("It is still being built, so it cannot be deleted now.")
            after = build_moved(record, ImageEvent.UNWANTED, session.now())
            match connection.commit(Set(path, encode_build(after), got.stat.version)):
                case Failure(Problem.BAD_VERSION | Problem.NO_NODE):
                    continue
                case Failure() as failure:
                    raise Failed(f"{failure}.")
            return
    raise Failed("The record of this build is being changed over and over; nothing was changed by this command.")
