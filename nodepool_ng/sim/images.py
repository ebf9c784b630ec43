"""The images of a region: made empty, filled, used, deleted. The bytes themselves are never kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from nodepool_ng.sim.calls import Call, Fate
from nodepool_ng.sim.gate import Gate
from nodepool_ng.sim.ids import id_of, new_id
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import NEVER, Caller
from nodepool_ng.sim.settings import Fault


class ImageStatus(StrEnum):
    """Glance's words for what an image is."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is known of an image's bytes once they have passed."""

    size: int
    md5: str
    sha512: str
    format: str | None = None
    """The disk format that they show, None where nobody looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image; times in seconds, min_ram in MiB, min_disk in GiB."""

    id: str
    name: str
    project: str
    created: float
    updated: float
    visibility: str = "private"
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str]
    saving: bool = False
    content: Content | None = None
    active_from: float = NEVER
    deleted: float = NEVER

    def status(self, now: float) -> ImageStatus:
        """Return what the image is at this time."""
        if self.active_from <= now:
            return ImageStatus.ACTIVE
        return ImageStatus.SAVING if self.saving else ImageStatus.QUEUED


class Images:
    """All images of a region; deleted ones are remembered in `deleted`."""

    def __init__(self, gate: Gate, region: str) -> None:
        self._gate = gate
        self.rows: dict[str, Image] = {}
        self.deleted: list[Image] = []
        for each in gate.settings.images:
            image = Image(
                id=each.id or id_of("image", region, each.name),
                name=each.name,
                project="",
                created=0.0,
                updated=0.0,
                visibility="public",
                disk_format="qcow2",
                container_format="bare",
                min_disk=each.min_disk,
                properties=each.properties,
                content=Content(size=each.size, md5="0" * 32, sha512="0" * 128),
                active_from=-NEVER,
            )
            self.rows[image.id] = image

    def list(self, caller: Caller, *, now: float) -> tuple[Image, ...]:
        """Return the images the caller can see, newest first."""
        with self._gate.passing(Call.IMAGE_LIST, now):
            return tuple(image for image in reversed(self.rows.values()) if _visible(image, caller))

    def get(self, caller: Caller, image_id: str, *, now: float) -> Image:
        """Return one image."""
        with self._gate.passing(Call.IMAGE_GET, now):
            return self._seen(caller, image_id)

    def create(self, caller: Caller, wanted: Mapping[str, object], *, now: float) -> Image:
        """Make an image without bytes from Glance's flat description; unknown keys are its properties."""
        with self._gate.passing(Call.IMAGE_CREATE, now):
            image_id = str(wanted.get("id") or new_id(self._gate.rng))
            if image_id in self.rows:
                raise Refused(409, f"Image ID {image_id} already exists!")
            _check(wanted)
            return self._put(_changed(_blank(image_id, caller.project, now), wanted, now))

    def begin_upload(self, caller: Caller, image_id: str, *, now: float) -> Fault | None:
        """Say that bytes are coming; give what is returned to `end_upload`."""
        fault = self._gate.enter(Call.IMAGE_UPLOAD, now)
        with self._gate.counting(Call.IMAGE_UPLOAD):
            image = self._own(caller, image_id)
            if image.saving or image.content is not None:
                raise Refused(409, f"Image status transition from {image.status(now)} to saving is not allowed")
            self._put(replace(image, saving=True, updated=now))
        return fault

    def end_upload(self, image_id: str, content: Content, fault: Fault | None, *, now: float) -> None:
        """Say that all bytes have come; the image is active after the region's image_activation."""
        image = self.rows.get(image_id)
        if image is None:
            raise Refused(410, f"Image {image_id} was deleted during its upload.")
        if image.disk_format in _TOLD_APART and content.format not in (None, image.disk_format):
            self._put(replace(image, saving=False, updated=now))
            raise Refused(
                415,
                "The request media type application/octet-stream is not supported by this server. "
                f"Image disk_format {image.disk_format} does not match stream data {content.format}",
            )
        stuck = fault is not None and fault.fate is Fate.STUCK
        active = NEVER if stuck else now + self._gate.settings.image_activation.draw(self._gate.rng)
        self._put(replace(image, content=content, active_from=active, updated=now))
        self._gate.leave(Call.IMAGE_UPLOAD, fault)

    def abort_upload(self, image_id: str, *, now: float) -> None:
        """Say that the sender hung up; the image waits for bytes again."""
        image = self.rows.get(image_id)
        if image is not None:
            self._put(replace(image, saving=False, updated=now))

    def update(self, caller: Caller, image_id: str, changes: Mapping[str, object], *, now: float) -> Image:
        """Change fields or properties; None takes a property away."""
        with self._gate.passing(Call.IMAGE_UPDATE, now):
            image = self._own(caller, image_id)
            for name in changes:
                if name in _READ_ONLY:
                    raise Refused(403, f"Attribute '{name}' is read-only.")
            return self._put(_changed(image, changes, now))

    def delete(self, caller: Caller, image_id: str, *, now: float) -> None:
        """Delete an image at once."""
        with self._gate.passing(Call.IMAGE_DELETE, now):
            image = self._own(caller, image_id, "Failed to find image {} to delete")
            if image.protected:
                raise Refused(403, f"Image {image_id} is protected and cannot be deleted.")
            del self.rows[image_id]
            self.deleted.append(replace(image, deleted=now))

    def plant(self, project: str, wanted: Mapping[str, object], content: Content, *, now: float) -> Image:
        """Put an active image there, as if it had always been: no call, no faults."""
        image = _changed(_blank(str(wanted.get("id") or new_id(self._gate.rng)), project, now), wanted, now)
        return self._put(replace(image, content=content, active_from=now))

    def usable(self, caller: Caller, image_id: str, *, now: float) -> Image:
        """Return the image a server is to boot from; Refused 400 when it cannot."""
        image = self.rows.get(image_id)
        if image is None or not _visible(image, caller):
            raise Refused(400, "Can not find requested image")
        if image.status(now) is not ImageStatus.ACTIVE:
            raise Refused(400, f"Image {image_id} is not active.")
        return image

    def _put(self, image: Image) -> Image:
        self.rows[image.id] = image
        return image

    def _seen(self, caller: Caller, image_id: str, otherwise: str = "No image found with ID {}") -> Image:
        image = self.rows.get(image_id)
        if image is None or not _visible(image, caller):
            raise Refused(404, otherwise.format(image_id))
        return image

    def _own(self, caller: Caller, image_id: str, otherwise: str = "No image found with ID {}") -> Image:
        image = self._seen(caller, image_id, otherwise)
        if image.project != caller.project:
            raise Refused(403, f"You are not permitted to change image {image_id}.")
        return image


_PLAIN_FIELDS = frozenset({"name", "visibility", "disk_format", "container_format", "min_disk", "min_ram", "protected"})
_READ_ONLY = frozenset(
    {"id", "status", "created_at", "updated_at", "size", "checksum", "owner", "schema", "file", "self"}
)


_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "gpt")
_TOLD_APART = ("qcow2", "raw", "vhd", "vhdx", "vmdk")
_BEGINS = {b"QFI\xfb": "qcow2", b"vhdxfile": "vhdx", b"KDMV": "vmdk", b"conectix": "vhd"}
_OTHER_FIELDS = frozenset({"name", "visibility", "min_disk", "min_ram", "protected", "os_hidden", "tags", "locations"})


def format_of(head: bytes) -> str:
    """Return the disk format that the first bytes of an image show, as Glance finds it; what shows none is raw."""
    return next((name for begins, name in _BEGINS.items() if head.startswith(begins)), "raw")


def _check(wanted: Mapping[str, object]) -> None:
    wrong = "Provided object does not match schema 'image'"
    if wanted.get("disk_format") not in (None, *_FORMATS):
        raise Refused(400, f"{wrong}: {wanted['disk_format']!r} is not one of {[None, *_FORMATS]}")
    for name, value in wanted.items():
        if name not in _OTHER_FIELDS and not isinstance(value, str | None):
            raise Refused(400, f"{wrong}: {value!r} is not of type 'string'")


def _visible(image: Image, caller: Caller) -> bool:
    return image.project == caller.project or image.visibility in ("public", "community")


def _blank(image_id: str, project: str, now: float) -> Image:
    return Image(id=image_id, name="", project=project, created=now, updated=now, properties={})


def _changed(image: Image, changes: Mapping[str, object], now: float) -> Image:
    fields: dict[str, object] = {key: value for key, value in changes.items() if key in _PLAIN_FIELDS}
    tags = changes.get("tags", image.tags)
    properties = dict(image.properties)
    for key, value in changes.items():
        if key in _PLAIN_FIELDS or key in _READ_ONLY or key == "tags":
            continue
        if value is None:
            properties.pop(key, None)
        else:
            properties[key] = str(value)
    if not isinstance(tags, list | tuple):
        raise Refused(400, "tags must be a list")
    return replace(image, tags=tuple(map(str, tags)), properties=properties, updated=now, **fields)  # type: ignore[arg-type]
