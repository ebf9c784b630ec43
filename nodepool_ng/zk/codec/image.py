"""The records of image builds and uploads. What the path says (image, build, provider, number) is not inside."""

from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.zk.codec.fields import Record, by_word, dump, number, others, state, text
from nodepool_ng.zk.paths import BuildAt, UploadAt

_COMMON = (ImageState.READY, ImageState.DELETING, ImageState.FAILED)
_BUILD_STATES = by_word((ImageState.BUILDING, *_COMMON))
_UPLOAD_STATES = by_word((ImageState.UPLOADING, *_COMMON))

_DEFAULT_USERNAME = "zuul"
_DEFAULT_PYTHON_PATH = "/usr/bin/python2"

BUILD_KEYS = frozenset(
    ["state", "state_time", "builder", "builder_id", "formats", "username", "python_path", "shell_type"]
)
UPLOAD_KEYS = frozenset(
    ["state", "state_time", "external_id", "external_name", "format", "username", "python_path", "shell_type"]
)


def build_from_record(at: BuildAt, record: Record) -> Build:
    """Return the build; raise `BadField`. Null in the last three means "not known yet" while it is building."""
    return Build(
        image=at.image,
        id=at.id,
        state=state(record, _BUILD_STATES),
        state_time=number(record, "state_time"),
        builder=text(record, "builder"),
        builder_id=text(record, "builder_id"),
        formats=tuple(part for part in (text(record, "formats") or "").split(",") if part),
        username=text(record, "username", _DEFAULT_USERNAME),
        python_path=text(record, "python_path", _DEFAULT_PYTHON_PATH),
        shell_type=text(record, "shell_type"),
        extra=others(record, BUILD_KEYS),
    )


def encode_build(build: Build) -> bytes:
    """Builder, its id and the formats are omitted where there are none; formats are one comma-joined string."""
    record: dict[str, object] = {**build.extra, "state": build.state, "state_time": build.state_time}
    if build.builder is not None:
        record["builder"] = build.builder
    if build.builder_id is not None:
        record["builder_id"] = build.builder_id
    if build.formats:
        record["formats"] = ",".join(build.formats)
    record |= {"username": build.username, "python_path": build.python_path, "shell_type": build.shell_type}
    return dump(record)


def upload_from_record(at: UploadAt, record: Record) -> Upload:
    """Return the upload; raise `BadField`."""
    return Upload(
        image=at.image,
        build=at.build,
        provider=at.provider,
        id=at.id,
        state=state(record, _UPLOAD_STATES),
        state_time=number(record, "state_time"),
        external_id=text(record, "external_id"),
        external_name=text(record, "external_name"),
        format=text(record, "format"),
        username=text(record, "username", _DEFAULT_USERNAME),
        python_path=text(record, "python_path", _DEFAULT_PYTHON_PATH),
        shell_type=text(record, "shell_type"),
        extra=others(record, UPLOAD_KEYS),
    )


def encode_upload(upload: Upload) -> bytes:
    return dump(
        {
            **upload.extra,
            "state": upload.state,
            "state_time": upload.state_time,
            "external_id": upload.external_id,
            "external_name": upload.external_name,
            "format": upload.format,
            "username": upload.username,
            "python_path": upload.python_path,
            "shell_type": upload.shell_type,
        }
    )
