"""Disk images: one build of a configured image, and its uploads into providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nodepool_ng.model.ids import BuildId, ImageName, Json, ProviderName, Timestamp, UploadId
from nodepool_ng.model.lifecycle import ImageEvent, ImageState, image_after
from nodepool_ng.model.node import NO_EXTRA


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The record of `…/images/<image>/builds/<build id>`. `builder_id` says on whose disk the files are."""

    image: ImageName
    id: BuildId
    state: ImageState
    state_time: Timestamp
    builder: str | None = None
    builder_id: str | None = None
    formats: tuple[str, ...] = ()
    username: str | None = None
    python_path: str | None = None
    shell_type: str | None = None
    extra: Mapping[str, Json] = field(default_factory=lambda: NO_EXTRA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The record of `…/builds/<build id>/providers/<provider>/images/<number>`."""

    image: ImageName
    build: BuildId
    provider: ProviderName
    id: UploadId
    state: ImageState
    state_time: Timestamp
    external_id: str | None = None
    external_name: str | None = None
    format: str | None = None
    username: str | None = None
    python_path: str | None = None
    shell_type: str | None = None
    extra: Mapping[str, Json] = field(default_factory=lambda: NO_EXTRA)


def build_moved(build: Build, event: ImageEvent, now: Timestamp, /, **changes: object) -> Build:
    """Return the build after `event`, with `changes` applied."""
    return replace(build, state=image_after(build.state, event), state_time=now, **changes)  # type: ignore[arg-type]


def upload_moved(upload: Upload, event: ImageEvent, now: Timestamp, /, **changes: object) -> Upload:
    """Return the upload after `event`, with `changes` applied."""
    return replace(upload, state=image_after(upload.state, event), state_time=now, **changes)  # type: ignore[arg-type]
