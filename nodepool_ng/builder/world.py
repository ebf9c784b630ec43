"""What one builder knows: the mirror of ZooKeeper, its disk, and what it remembers of its own doings.

Owned by the reconciler's thread. It takes in outcomes, and gives out snapshots; it decides nothing and does no I/O.
Whatever it remembers beyond ZooKeeper, the disk and the clouds may be lost with the process: it only saves work.
"""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from nodepool_ng.builder.outcome import (
    Built,
    DiskSeen,
    Done,
    Failed,
    ImagesSeen,
    Lost,
    NotBuilt,
    NotUploaded,
    Outcome,
    Uploaded,
)
from nodepool_ng.drivers import Cancelled, Throttled
from nodepool_ng.model import image_action as do
from nodepool_ng.model.action import Subject
from nodepool_ng.model.ids import BuildId, ImageName, InstallationId, ProviderName, Seconds, Timestamp
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.image_action import BuildKey, Destination, ImageAction, UploadKey, image_subjects
from nodepool_ng.model.image_snapshot import CloudImage, CloudImages, ImageSnapshot, OnDisk
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.settings import Settings
from nodepool_ng.model.snapshot import Backoff, Side
from nodepool_ng.shell.contender import holder, is_contender_of
from nodepool_ng.zk import paths
from nodepool_ng.zk.changes import (
    BuildChange,
    Change,
    Contenders,
    DamageChange,
    Entry,
    FlagChange,
    GhostChange,
    LockChange,
    UploadChange,
)
from nodepool_ng.zk.paths import BuildAt, BuildRequestedAt, BuildsAt, Lockable, UploadAt, UploadsAt
from nodepool_ng.zk.picture import Picture

RETRY_FIRST: Seconds = 10.0
RETRY_MOST: Seconds = 3600.0
"""How long to wait before a build or an upload that failed is tried again: doubled with each failure."""
AFTER_CANCEL: Seconds = 3600.0
"""How long what an operator cancelled is left alone, unless somebody asks for it."""
CLOUD_FIRST: Seconds = 5.0
CLOUD_MOST: Seconds = 300.0
COOL_FIRST: Seconds = 0.1
COOL_MOST: Seconds = 10.0
"""How long an action that was lost keeps its subjects from being acted upon again."""


def grown(previous: Backoff | None, now: Timestamp, first: Seconds, most: Seconds, detail: str) -> Backoff:
    """Return the next back-off: twice as long as the previous one, within limits."""
    failures = previous.failures + 1 if previous else 1
    return Backoff(until=now + min(first * 2.0 ** min(failures - 1, 30), most), failures=failures, detail=detail)


class World:
    """The state of one builder; see the module's text."""

    def __init__(
        self,
        *,
        settings: Settings,
        images_dir: Path,
        installation: InstallationId,
        owner: str,
        builder_id: str,
        hostname: str,
        picture: Picture,
        new_id: Callable[[], str],
        progress: Callable[[Destination, int], Callable[[int], None]],
        build_workers: int,
        upload_workers: int,
        now: Timestamp,
    ) -> None:
        self.settings = settings
        self.images_dir = images_dir
        self.installation = installation
        self.owner = owner
        self.builder_id = builder_id
        self.hostname = hostname
        self.picture = picture
        self.now = now
        """The instant of the letter being dealt with; set by the reconciler."""
        self.progress = progress
        """Gives what an upload of so many bytes tells those that are sent to, from another thread."""
        self.running: dict[ImageName, BuildKey] = {}
        self.sending: set[Destination] = set()
        """Uploads that this process has begun."""
        self.disk: dict[BuildKey, OnDisk] | None = None
        self.disk_stale = False
        self.build_workers = build_workers
        self.upload_workers = upload_workers
        self._new_id = new_id
        self._disk_looked: Timestamp = 0.0
        self._built: dict[BuildKey, Timestamp] = {}
        self._unlocked_since: dict[BuildKey | UploadKey, Timestamp] = {}
        self._clouds: dict[ProviderName, CloudImages] = {}
        self._stale_clouds: dict[ProviderName, Timestamp] = {}
        self._build_backoff: dict[ImageName, Backoff] = {}
        self._upload_backoff: dict[tuple[ImageName, ProviderName], Backoff] = {}
        self._cloud_backoff: dict[Subject, Backoff] = {}
        self._cooling: dict[Subject, Backoff] = {}

    def new_build(self, image: ImageName) -> BuildKey:
        """Return the name of a build that nobody has heard of."""
        return BuildKey(image, BuildId(self._new_id()))

    def is_ours(self, contender: str) -> bool:
        return is_contender_of(self.owner, contender)

    def has_lock_dir(self, of: Lockable) -> bool:
        return self.picture.contenders(of) is not None

    def our_contender(self, of: Lockable) -> str | None:
        """Return the path of our contender, if the lock is ours."""
        first = holder(self.picture.contenders(of) or ())
        return f"{paths.lock_of(of)}/{first}" if first is not None and self.is_ours(first) else None

    def build(self, key: BuildKey) -> Entry[Build] | None:
        return self.picture.builds.get(BuildAt(key.image, key.build))

    def upload(self, key: UploadKey) -> Entry[Upload] | None:
        return self.picture.uploads.get(UploadAt(key.image, key.build, key.provider, key.id))

    def changed(self, change: Change) -> bool:
        """Take in one change in the tree; tell whether decisions may depend on it."""
        match change:
            case FlagChange(at=BuildRequestedAt(image), raised=True):
                self._build_backoff.pop(image, None)
            case LockChange(of=BuildsAt() | UploadsAt()) | BuildChange() | UploadChange():
                pass
            case FlagChange() | DamageChange() | GhostChange():
                pass
            case _:
                return False
        return True

    def reconfigured(self, settings: Settings) -> None:
        """Go by new settings. What failed may have failed because of the old ones."""
        for image, configured in settings.diskimages.items():
            if self.settings.diskimages.get(image) != configured:
                self._build_backoff.pop(image, None)
        for name, provider in settings.providers.items():
            if self.settings.providers.get(name) != provider:
                for key in [key for key in self._upload_backoff if key[1] == name]:
                    del self._upload_backoff[key]
        self.settings = settings
        self.disk_stale = True

    def _own_share(self, subject: Subject) -> float:
        """Return a number from 0 to 1, another one in each process. Builders that were in each other's way must not
        come back at the same moments for ever."""
        return zlib.crc32(repr((self.owner, subject)).encode()) / 2**32

    def came(self, action: ImageAction, outcome: Outcome) -> None:
        """Take in what came of an action."""
        for subject in image_subjects(action):
            if isinstance(outcome, Lost):
                first = COOL_FIRST * (1 + self._own_share(subject))
                self._cooling[subject] = grown(self._cooling.get(subject), self.now, first, COOL_MOST, outcome.why)
            else:
                self._cooling.pop(subject, None)
            if isinstance(outcome, Failed):
                before = self._cloud_backoff.get(subject)
                self._cloud_backoff[subject] = grown(before, self.now, CLOUD_FIRST, CLOUD_MOST, outcome.why)
            else:
                self._cloud_backoff.pop(subject, None)
        match action:
            case do.BuildImage():
                self._build_came(action.image, outcome)
            case do.UploadBuild():
                self._upload_came(action.to, outcome)
            case do.RemoveFiles() | do.ClaimFiles() | do.LookAtDisk():
                self._disk_came(action, outcome)
            case do.ListImages() if isinstance(outcome, ImagesSeen):
                self._images_seen(action.provider, outcome)
            case do.DeleteImage() if isinstance(outcome, Done):
                self._forget_image(action.provider, action.image)
            case do.RetireUpload() if action.expect is ImageState.UPLOADING:
                self._stale_clouds[action.upload.provider] = self.now
            case _:
                pass

    def snapshot(self, in_flight: Mapping[Subject, ImageAction]) -> ImageSnapshot:
        """Return what is known now; the views stay as they are until the next letter is taken in."""
        for subject in [subject for subject, cooling in self._cooling.items() if cooling.until < self.now - COOL_MOST]:
            del self._cooling[subject]
        picture = self.picture
        builds = {BuildKey(at.image, at.id): entry.record for at, entry in picture.builds.items()}
        uploads = {UploadKey(at.image, at.build, at.provider, at.id): e.record for at, e in picture.uploads.items()}
        build_locks = {of.image: side for of in picture.locks if isinstance(of, BuildsAt) and (side := self._side(of))}
        upload_locks = {
            Destination(of.image, of.build, of.provider): side
            for of in picture.locks
            if isinstance(of, UploadsAt) and (side := self._side(of))
        }
        self._note_unlocked(builds, uploads, build_locks, upload_locks)
        return ImageSnapshot(
            now=self.now,
            settings=self.settings,
            installation=self.installation,
            builder_id=self.builder_id,
            build_workers=self.build_workers,
            upload_workers=self.upload_workers,
            builds=builds,
            uploads=uploads,
            unreadable=frozenset(self._unreadable()),
            empty=frozenset(self._empty()),
            build_locks=build_locks,
            upload_locks=upload_locks,
            unlocked_since=dict(self._unlocked_since),
            cancels=picture.cancels,
            paused=picture.paused,
            requested=picture.build_requests,
            disk=self.disk,
            disk_looked=self._disk_looked,
            disk_stale=self.disk_stale,
            running=self.running,
            clouds=self._clouds,
            stale_clouds=self._stale_clouds.keys(),
            in_flight=in_flight,
            build_backoff=self._build_backoff,
            upload_backoff=self._upload_backoff,
            cloud_backoff=self._cloud_backoff,
            cooling={subject: cooling.until for subject, cooling in self._cooling.items()},
        )

    def _side(self, of: Lockable) -> Side | None:
        contenders: Contenders = self.picture.contenders(of) or ()
        first = holder(contenders)
        if first is None:
            return None
        return Side.OURS if self.is_ours(first) else Side.FOREIGN

    def _note_unlocked(
        self,
        builds: Mapping[BuildKey, Build],
        uploads: Mapping[UploadKey, Upload],
        build_locks: Mapping[ImageName, Side],
        upload_locks: Mapping[Destination, Side],
    ) -> None:
        """Remember since when unfinished work has been without its lock."""
        unlocked: set[BuildKey | UploadKey] = {
            key for key, b in builds.items() if b.state is ImageState.BUILDING and key.image not in build_locks
        }
        unlocked |= {
            key
            for key, u in uploads.items()
            if u.state is ImageState.UPLOADING and Destination(key.image, key.build, key.provider) not in upload_locks
        }
        for known in self._unlocked_since.keys() - unlocked:
            del self._unlocked_since[known]
        for fresh in unlocked:
            self._unlocked_since.setdefault(fresh, self.now)

    def _unreadable(self) -> set[BuildKey | UploadKey]:
        found: set[BuildKey | UploadKey] = set()
        for path in self.picture.damaged:
            match paths.parse(path):
                case BuildAt(image, build):
                    found.add(BuildKey(image, build))
                case UploadAt(image, build, provider, number):
                    found.add(UploadKey(image, build, provider, number))
        return found

    def _empty(self) -> set[str]:
        """Return ghosts that nobody has locked."""
        return {
            path
            for path in self.picture.ghosts
            if isinstance(at := paths.parse(path), BuildAt | UploadAt) and not self.picture.contenders(at)
        }

    def _build_came(self, image: ImageName, outcome: Outcome) -> None:
        self.running.pop(image, None)
        match outcome:
            case Built(key, formats):
                self._build_backoff.pop(image, None)
                self._built[key] = self.now
                if self.disk is not None:
                    self.disk[key] = OnDisk(formats=formats, known_to=self.installation)
            case NotBuilt(why, by_order=by_order):
                before = self._build_backoff.get(image)
                first = AFTER_CANCEL if by_order else RETRY_FIRST
                self._build_backoff[image] = grown(before, self.now, first, max(RETRY_MOST, first), why)
                self.disk_stale = True
            case _:
                self.disk_stale = True

    def _upload_came(self, to: Destination, outcome: Outcome) -> None:
        where = (to.image, to.provider)
        self.sending.discard(to)
        match outcome:
            case Uploaded():
                self._upload_backoff.pop(where, None)
            case NotUploaded(why, error):
                first = AFTER_CANCEL if isinstance(error, Cancelled) else RETRY_FIRST
                backoff = grown(self._upload_backoff.get(where), self.now, first, max(RETRY_MOST, first), why)
                if isinstance(error, Throttled) and error.retry_after is not None:
                    until = max(backoff.until, self.now + error.retry_after)
                    backoff = Backoff(until=until, failures=backoff.failures, detail=why)
                self._upload_backoff[where] = backoff
                self._stale_clouds[to.provider] = self.now
            case _:
                self.disk_stale = True

    def _disk_came(self, action: do.RemoveFiles | do.ClaimFiles | do.LookAtDisk, outcome: Outcome) -> None:
        match action, outcome:
            case do.LookAtDisk(), DiskSeen(found, began):
                fresh = {key: built for key, built in self._built.items() if built >= began}
                old = self.disk or {}
                self.disk = {**found, **{key: old[key] for key in fresh if key in old}}
                self._disk_looked, self._built = began, fresh
                self.disk_stale = False
            case do.RemoveFiles(build=key, format=None), Done():
                self.disk = {known: here for known, here in (self.disk or {}).items() if known != key}
            case do.RemoveFiles() | do.ClaimFiles(), Done():
                self.disk_stale = True
            case _:
                pass

    def _images_seen(self, provider: ProviderName, seen: ImagesSeen) -> None:
        """Take in a list of images. Those without a record keep the instant at which they were first so."""
        known = self._clouds.get(provider)
        before = {image.id: image.first_seen for image in known.ours} if known else {}
        ours = tuple(
            CloudImage(id=i.id, build=i.build, upload=i.upload, first_seen=before.get(i.id, seen.asked))
            for i in seen.images
            if i.provider == provider and i.installation == self.installation and i.build and i.upload
        )
        self._clouds[provider] = CloudImages(
            ours=tuple(self._reset_if_recorded(provider, image, seen.asked) for image in ours),
            count=len(seen.images),
            listed=seen.asked,
            confirmed=seen.confirmed,
        )
        if self._stale_clouds.get(provider, seen.asked) <= seen.asked:
            self._stale_clouds.pop(provider, None)

    def _reset_if_recorded(self, provider: ProviderName, image: CloudImage, asked: Timestamp) -> CloudImage:
        recorded = any(
            (at.provider, at.build, at.id) == (provider, image.build, image.upload) for at in self.picture.uploads
        )
        if not recorded:
            return image
        return CloudImage(id=image.id, build=image.build, upload=image.upload, first_seen=asked)

    def _forget_image(self, provider: ProviderName, image_id: str) -> None:
        known = self._clouds.get(provider)
        if known is not None:
            self._clouds[provider] = CloudImages(
                ours=tuple(image for image in known.ours if image.id != image_id),
                count=known.count,
                listed=known.listed,
                confirmed=known.confirmed,
            )
