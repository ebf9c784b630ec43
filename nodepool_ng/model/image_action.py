"""What the builder may do: few, named, each with the reason why.

An action says what; `builder.effects` knows how. `image_subjects` names everything that the action touches: while it
is in flight nothing else is started on any of them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.model.action import Subject
from nodepool_ng.model.ids import BuildId, ImageName, InstallationId, ProviderName, UploadId
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Reason


@dataclass(frozen=True, slots=True)
class BuildKey:
    """What names a build in the whole installation."""

    image: ImageName
    build: BuildId

    def __str__(self) -> str:
        return f"{self.image}-{self.build}"


@dataclass(frozen=True, slots=True)
class UploadKey:
    """What names an upload in the whole installation."""

    image: ImageName
    build: BuildId
    provider: ProviderName
    id: UploadId

    @property
    def of(self) -> BuildKey:
        return BuildKey(self.image, self.build)

    def __str__(self) -> str:
        return f"{self.image}-{self.build}/{self.provider}/{self.id}"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one build goes to: what one upload at a time may be made for."""

    image: ImageName
    build: BuildId
    provider: ProviderName

    def __str__(self) -> str:
        return f"{self.image}-{self.build}/{self.provider}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildImage:
    """Build an image in all of the formats."""

    image: ImageName
    formats: frozenset[str]
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadBuild:
    """Bring one format of a build into a provider's cloud."""

    to: Destination
    format: str
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOn:
    """Lock again what we are still working on: the lock went with a session that ended."""

    of: ImageName | Destination
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo:
    """Give back a lock that we hold without a use for it: the answer to its creation was lost."""

    of: ImageName | Destination
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireBuild:
    """Commit to deleting a build. `expect` is the state it must still have under the lock."""

    build: BuildKey
    expect: ImageState
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseBuild:
    """Remove the record of a build that is deleting and has no uploads left."""

    build: BuildKey
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireUpload:
    """Commit to deleting an upload. `expect` is the state it must still have under the lock."""

    upload: UploadKey
    expect: ImageState
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveUpload:
    """Delete the cloud's image of an upload that is deleting, then its record."""

    upload: UploadKey
    external_id: str | None
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFiles:
    """Remove local files of a build: one format's, or (None) everything that bears its name."""

    build: BuildKey
    format: str | None
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFiles:
    """Note on the disk that the files of a build belong to this installation: only then are they ever removed."""

    build: BuildKey
    installation: InstallationId
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtDisk:
    """See what is in the images directory."""

    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ListImages:
    """See what images are in a provider's cloud."""

    provider: ProviderName
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImage:
    """Delete an image in a cloud that is ours and that no record stands for."""

    provider: ProviderName
    image: str
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepEmpty:
    """Remove a build or upload znode that has no data: what a late lock made of something removed."""

    path: str
    why: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End a build or an upload of ours, as ordered, and take the order away; with `of` None, only the latter: there is
    nothing to be ended."""

    order: str
    of: BuildKey | Destination | None
    why: Reason


ImageAction: TypeAlias = (
    BuildImage
    | UploadBuild
    | HoldOn
    | LetGo
    | RetireBuild
    | EraseBuild
    | RetireUpload
    | RemoveUpload
    | RemoveFiles
    | ClaimFiles
    | LookAtDisk
    | ListImages
    | DeleteImage
    | SweepEmpty
    | Cancel
)


def build_subject(image: ImageName) -> Subject:
    """Somebody of us is building the image."""
    return "build", image


def upload_subject(to: Destination) -> Subject:
    """Somebody of us is uploading there."""
    return "upload", str(to)


def files_subject(build: BuildKey) -> Subject:
    return "files", str(build)


def image_subjects(action: ImageAction) -> tuple[Subject, ...]:
    """Return everything that the action touches."""
    match action:
        case BuildImage():
            return (build_subject(action.image),)
        case UploadBuild():
            return (upload_subject(action.to),)
        case HoldOn() | LetGo():
            return (("hold", str(action.of)),)
        case RetireBuild() | EraseBuild():
            return (("build-record", str(action.build)),)
        case RetireUpload() | RemoveUpload():
            return (("upload-record", str(action.upload)),)
        case RemoveFiles() | ClaimFiles():
            return (files_subject(action.build),)
        case LookAtDisk():
            return (("disk", ""),)
        case ListImages():
            return (("images", action.provider),)
        case DeleteImage():
            return (("image", f"{action.provider}/{action.image}"),)
        case SweepEmpty():
            return (("path", action.path),)
        case Cancel():
            return (("cancel", action.order),)
