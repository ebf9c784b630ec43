"""Bringing a file into Glance, and seeing that it arrived.

The file is streamed in pieces, so an upload takes no more memory than one piece. An upload that fails in any way
deletes what it created, as far as the cloud told us its id; what it did not tell carries our marks.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodepool_ng.drivers import DriverError, Image, ImageOrder, Misconfigured, Refused, Unavailable
from nodepool_ng.drivers.openstack.bodies import image_body
from nodepool_ng.drivers.openstack.calls import IMAGE, Door, listed
from nodepool_ng.drivers.openstack.wire import RawImage
from nodepool_ng.model.ids import BuildId, InstallationId, ProviderName, UploadId
from nodepool_ng.model.settings import CloudImage

log = logging.getLogger("nodepool.driver.openstack")

PIECE = 1 << 20  # bytes
FIRST_PAUSE = 0.25  # seconds between looks at an image that is not active yet; doubled up to
LONGEST_PAUSE = 10.0  # seconds
BEING_MADE = frozenset({"queued", "saving", "importing", "uploading"})


class Interrupted(Exception):
    """The file changed while it was sent, or the time is over. Not an OSError: requests would take it for its own."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file as the body of a request; every iteration starts from the beginning, so a repeated request is whole."""

    path: str
    size: int
    deadline: float
    """Of the monotonic clock."""
    progress: Callable[[int], None]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        with open(self.path, "rb", buffering=0) as file:
            while piece := file.read(PIECE):
                sent += len(piece)
                if sent > self.size:
                    raise Interrupted(f"{self.path} grew while it was uploaded")
                if time.monotonic() > self.deadline:
                    raise Interrupted("the upload took longer than image-upload-timeout")
                yield piece
                self.progress(sent)
        if sent < self.size:
            raise Interrupted(f"{self.path} shrank while it was uploaded")


def upload(door: Door, order: ImageOrder, timeout: float, progress: Callable[[int], None]) -> str:
    """Create an image, send its data, check them, wait until it is active and return its id.

    timeout: seconds for all of it. Raises Refused when the file cannot be read or arrived damaged, Unavailable
    when the time is over.
    """
    if door.traits().image_tasks:
        raise Misconfigured("the cloud is configured for image tasks (image_api_use_tasks), which are not supported")
    deadline = time.monotonic() + timeout
    try:
        size = os.stat(order.path).st_size
    except OSError as error:
        raise Refused(f"the image file cannot be read: {error}") from None
    if size == 0:
        raise Refused(f"the image file {order.path} is empty")
    body = image_body(order, door.traits().vendor_properties)
    image = str(door.call(IMAGE, "POST", "/images", json=body).member("id"))
    try:
        _send(door, image, FileBody(order.path, size, deadline, progress))
        _check(_active(door, image, deadline), order, size)
    except BaseException:
        _forget(door, image)
        raise
    return image


def find_image(door: Door, image: CloudImage) -> str | None:
    """Return the id of the newest active image of a name, or of the image that has the "name" as its id; None where
    there is no such image."""
    name = image.image_name or image.name
    found: list[RawImage] = listed(door, IMAGE, "/images", "images", {"name": name, "status": "active"})
    newest = max(found, key=lambda raw: raw.get("created_at", ""), default=None)
    if newest is not None:
        return newest["id"]
    answer = door.call(IMAGE, "GET", f"/images/{name}", fine=(400, 404))
    by_id: RawImage = answer.json() if answer.status < 400 else {}
    return by_id["id"] if by_id.get("status") == "active" else None


def list_images(door: Door) -> tuple[Image, ...]:
    """List the images that belong to our project, whatever their visibility."""
    project = door.traits().project
    query = {"owner": project} if project else None
    return tuple(image_of(raw) for raw in listed(door, IMAGE, "/images", "images", query))


def image_of(raw: RawImage) -> Image:
    """Return the image that an entry of Glance's list describes."""
    provider, build = raw.get("nodepool_provider_name"), raw.get("nodepool_build_id")
    number, installation = raw.get("nodepool_upload_id"), raw.get("nodepool_ng_installation_id")
    return Image(
        id=raw["id"],
        name=raw.get("name") or "",
        status=raw.get("status") or "",
        provider=ProviderName(provider) if provider is not None else None,
        build=BuildId(build) if build is not None else None,
        upload=UploadId(number) if number is not None else None,
        installation=InstallationId(installation) if installation is not None else None,
    )


def _send(door: Door, image: str, body: FileBody) -> None:
    headers = {"Content-Type": "application/octet-stream", "X-OpenStack-Image-Size": str(body.size)}
    patience = max(1.0, body.deadline - time.monotonic())
    try:
        door.call(IMAGE, "PUT", f"/images/{image}/file", data=body, headers=headers, timeout=patience)
    except Interrupted as reason:
        raise Unavailable(str(reason)) from None


def _active(door: Door, image: str, deadline: float) -> RawImage:
    pause = FIRST_PAUSE
    while True:
        raw: RawImage = door.call(IMAGE, "GET", f"/images/{image}").json()
        status = raw.get("status")
        if status == "active":
            return raw
        if status not in BEING_MADE:
            raise Refused(f"the image {image} became {status} instead of active")
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unavailable(f"the image {image} was still {status} after image-upload-timeout")
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)


def _check(raw: RawImage, order: ImageOrder, size: int) -> None:
    """Compare what Glance reports with what was sent; it reports an MD5 as `checksum`, or none."""
    reported: tuple[tuple[str, object, object], ...] = (
        ("size", raw.get("size"), size),
        ("md5", raw.get("checksum"), order.md5),
        ("sha256", raw.get("os_hash_value") if raw.get("os_hash_algo") == "sha256" else None, order.sha256),
    )
    for what, theirs, ours in reported:
        if theirs is not None and ours is not None and theirs != ours:
            raise Refused(f"the image arrived damaged: its {what} is {theirs}, the file's is {ours}")


def _forget(door: Door, image: str) -> None:
    try:
        door.call(IMAGE, "DELETE", f"/images/{image}", fine=(404,))
    except DriverError as error:
        log.warning("The image %s is left behind: %s", image, error)
