"""Commands about uploads: builds of images as the providers have them."""

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.options import znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import Wishes, show_list, with_wishes
from nodepool_ng.listing.operators import WIDE_UPLOADS
from nodepool_ng.listing.rows import UPLOADS, UploadRow
from nodepool_ng.listing.table import Table, printable
from nodepool_ng.model.ids import BuildId, ImageName, ProviderName, UploadId
from nodepool_ng.model.image import Upload, upload_moved
from nodepool_ng.model.lifecycle import ImageEvent, ImageState
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged, decode_upload, encode_upload
from nodepool_ng.zk.store import Failure, Problem, Set

WRITE_TRIES = 5


@click.command("image-list")
@with_wishes("label", "provider", "state")
@click.pass_obj
def list_uploads(session: Session, wishes: Wishes) -> None:
    """List the uploads of images to providers."""

    def look(connection: Connection) -> tuple[Table[UploadRow], tuple[Damaged, ...]]:
        found = seen.images(connection.ask)
        now = session.now()
        columns = WIDE_UPLOADS if wishes.wide else UPLOADS
        return Table(columns, tuple(UploadRow(upload, now) for upload in found.uploads)), found.damaged

    show_list(session, look, wishes, paths.IMAGES)


@click.command("image-delete")
@click.option("--provider", required=True, callback=znode_name, help="Where the upload is.")
@click.option("--image", required=True, callback=znode_name, help="The image's name.")
@click.option("--upload-id", required=True, callback=znode_name, help="The upload's number.")
@click.option("--build-id", required=True, callback=znode_name, help="The build that was uploaded.")
@click.pass_obj
def delete_upload(session: Session, provider: str, image: str, upload_id: str, build_id: str) -> None:
    """Have one upload deleted from its provider; a builder does it."""
    name, build, at, number = ImageName(image), BuildId(build_id), ProviderName(provider), UploadId(upload_id)
    path = paths.upload(name, build, at, number)
    with session.connected() as connection:
        for _ in range(WRITE_TRIES):
            got = connection.get(path)
            upload = decode_upload(name, build, at, number, got.data) if got else None
            if isinstance(upload, Damaged):
                raise Failed(f"The record of this upload is damaged, so it is left alone: {printable(upload.reason)}.")
            if got is None or not isinstance(upload, Upload):
                raise session.declined(f"There is no upload {number} of {name}, build {build}, in {provider}.")
            if upload.state is ImageState.UPLOADING:
                raise session.declined("It is still being uploaded, so it cannot be deleted now.")
            after = upload_moved(upload, ImageEvent.UNWANTED, session.now())
            match connection.commit(Set(path, encode_upload(after), got.stat.version)):
                case Failure(Problem.BAD_VERSION | Problem.NO_NODE):
                    continue
                case Failure() as failure:
                    raise Failed(f"{failure}.")
            return
    raise Failed("The record of this upload is being changed over and over; nothing was changed by this command.")
