"""Which images are to be built, and which builds are to be uploaded."""

from nodepool_ng.model.ids import ImageName, Seconds
from nodepool_ng.model.image import Build
from nodepool_ng.model.image_action import (
    BuildImage,
    BuildKey,
    Destination,
    HoldOn,
    LetGo,
    RetireBuild,
    RetireUpload,
    UploadBuild,
    UploadKey,
    build_subject,
    upload_subject,
)
from nodepool_ng.model.image_snapshot import ImageSnapshot
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import DiskImage, Provider, formats_needed
from nodepool_ng.model.snapshot import Backoff, Side
from nodepool_ng.plan.image_agenda import Agenda, Stock

GRACE: Seconds = 30.0
"""How long another builder's unfinished work may be without its lock: its session may just have been replaced."""

HOLD_AFTER: Seconds = 2.0
"""How long what we are making may seem to be without its lock: the news that work has ended comes in pieces."""


def build_due(s: ImageSnapshot, stock: Stock, image: ImageName) -> Reason | None:
    """Return why an image should be built now, None where it need not be. Locks and back-offs are not looked at."""
    configured = s.settings.diskimages.get(image)
    formats = formats_needed(s.settings, image)
    if configured is None or not formats or _is_stub(configured):
        return None
    newest = stock.newest(image)
    if image in s.requested:
        return Reason(code=Code.BY_HAND)
    if newest is None:
        return Reason(code=Code.NO_BUILD)
    key, build = newest
    age = s.now - build.state_time
    if age >= configured.rebuild_age:
        return Reason(code=Code.REBUILD_AGE, used=age, limit=configured.rebuild_age)
    if missing := formats - frozenset(build.formats):
        return Reason(code=Code.NEW_FORMAT, detail=", ".join(sorted(missing)))
    return _file_gone(s, stock, key, build)


def _is_stub(configured: DiskImage) -> bool:
    """An image that other builders build is named here only so that its builds are left alone."""
    return not configured.elements and configured.dib_cmd.split()[:1] == ["disk-image-create"]


def _file_gone(s: ImageSnapshot, stock: Stock, key: BuildKey, build: Build) -> Reason | None:
    """A file that was given up after all uploads is needed again: only another build brings it back."""
    if s.disk is None or s.disk_looked <= build.state_time or build.builder_id != s.builder_id:
        return None
    there = s.disk[key].formats if key in s.disk else frozenset[str]()
    for provider in s.settings.providers.values():
        wanted = provider.images.get(key.image)
        to = Destination(key.image, key.build, provider.name)
        if wanted is None or wanted.pause or wanted.format in there or stock.uploads_at(to):
            continue
        return Reason(code=Code.FILE_GONE, provider=provider.name, detail=wanted.format)
    return None


def plan_builds(s: ImageSnapshot, stock: Stock, agenda: Agenda) -> dict[ImageName, Reason]:
    """Add the builds that are due; return for every other configured image why none is started. Those asked for by
    hand come first."""
    verdicts: dict[ImageName, Reason] = {}
    busy = sum(isinstance(action, BuildImage) for action in s.in_flight.values())
    for image in sorted(s.settings.diskimages, key=lambda name: name not in s.requested):
        why = build_due(s, stock, image)
        if why is None:
            verdicts[image] = Reason(code=Code.NOT_DUE)
            newest = stock.newest(image)
            if newest is not None:
                agenda.due(newest[1].state_time + s.settings.diskimages[image].rebuild_age)
        elif waits := _build_waits(s, agenda, image, busy):
            verdicts[image] = waits
        elif agenda.add(BuildImage(image=image, formats=formats_needed(s.settings, image), why=why)):
            busy += 1
    return verdicts


def _build_waits(s: ImageSnapshot, agenda: Agenda, image: ImageName, busy: int) -> Reason | None:
    """Return what keeps a build that is due from being started."""
    if s.settings.diskimages[image].pause or image in s.paused:
        return Reason(code=Code.PAUSED)
    if s.disk is None:
        return Reason(code=Code.NOT_SEEN_YET)
    if image in s.build_locks or not agenda.free(build_subject(image)) or _begun_elsewhere(s, agenda, image):
        return Reason(code=Code.IMAGE_LOCKED)
    if waits := _backing_off(s, agenda, s.build_backoff.get(image)):
        return waits
    if busy >= s.build_workers:
        return Reason(code=Code.BUSY, used=busy, limit=s.build_workers)
    return None


def _begun_elsewhere(s: ImageSnapshot, agenda: Agenda, image: ImageName) -> bool:
    """Another builder may be about to lock again what it is building."""
    for key, build in s.builds.items():
        if key.image == image and build.state is ImageState.BUILDING and build.builder_id != s.builder_id:
            since = s.unlocked_since.get(key)
            if since is not None and not agenda.due(since + GRACE):
                return True
    return False


def _backing_off(s: ImageSnapshot, agenda: Agenda, backoff: Backoff | None) -> Reason | None:
    if backoff is None or agenda.due(backoff.until):
        return None
    return Reason(code=Code.IMAGE_BACKOFF, used=backoff.failures, wanted=backoff.until - s.now, detail=backoff.detail)


def plan_uploads(s: ImageSnapshot, stock: Stock, agenda: Agenda) -> dict[Destination, Reason]:
    """Add the uploads that are due: of each image's newest build, where its file is here. Return what keeps those
    from being started that are due and wait."""
    verdicts: dict[Destination, Reason] = {}
    busy = sum(isinstance(action, UploadBuild) for action in s.in_flight.values())
    for provider in s.settings.providers.values():
        for image in provider.images:
            newest = stock.newest(image) if image in s.settings.diskimages else None
            if newest is None:
                continue
            to = Destination(image, newest[0].build, provider.name)
            if stock.has(to, ImageState.READY):
                continue
            if waits := _upload_waits(s, stock, agenda, provider, to, busy):
                verdicts[to] = waits
            else:
                why = Reason(code=Code.NOT_UPLOADED, provider=provider.name)
                busy += agenda.add(UploadBuild(to=to, format=provider.images[image].format, why=why))
    return verdicts


def _upload_waits(
    s: ImageSnapshot, stock: Stock, agenda: Agenda, provider: Provider, to: Destination, busy: int
) -> Reason | None:
    wanted = provider.images[to.image]
    here = (s.disk or {}).get(BuildKey(to.image, to.build))
    if wanted.pause:
        return Reason(code=Code.PAUSED, provider=provider.name)
    if here is None or wanted.format not in here.formats:
        return Reason(code=Code.NOT_OURS, provider=provider.name)
    if to in s.upload_locks or not agenda.free(upload_subject(to)) or stock.has(to, ImageState.UPLOADING):
        # one that nobody holds any more is cleared away first
        return Reason(code=Code.IMAGE_LOCKED, provider=provider.name)
    if waits := _backing_off(s, agenda, s.upload_backoff.get((to.image, provider.name))):
        return waits
    if busy >= s.upload_workers:
        return Reason(code=Code.BUSY, used=busy, limit=s.upload_workers)
    return None


def plan_holding_on(s: ImageSnapshot, agenda: Agenda) -> None:
    """Lock again what is being made here, before others take it for left behind; give back what is not in use."""
    why = Reason(code=Code.SESSION_LOST)
    for key, since in s.unlocked_since.items():
        ours = _in_progress(s, key)
        if ours is not None and agenda.due(since + HOLD_AFTER):
            agenda.add(HoldOn(of=ours, why=why))
    _let_go(s, agenda)


def _in_progress(s: ImageSnapshot, key: BuildKey | UploadKey) -> ImageName | Destination | None:
    """Return what is locked for something that is being made here."""
    if isinstance(key, BuildKey):
        return key.image if s.running.get(key.image) == key else None
    to = Destination(key.image, key.build, key.provider)
    return to if upload_subject(to) in s.in_flight else None


def _let_go(s: ImageSnapshot, agenda: Agenda) -> None:
    why = Reason(code=Code.NOT_NEEDED)
    for image, side in s.build_locks.items():
        if side is Side.OURS and build_subject(image) not in s.in_flight and not _touched(s, image):
            agenda.add(LetGo(of=image, why=why))
    for to, side in s.upload_locks.items():
        if side is Side.OURS and upload_subject(to) not in s.in_flight and not _touched(s, to.image):
            agenda.add(LetGo(of=to, why=why))


def _touched(s: ImageSnapshot, image: ImageName) -> bool:
    """What retires a crashed build or upload takes the same lock for a moment."""
    return any(
        (isinstance(action, RetireBuild) and action.build.image == image)
        or (isinstance(action, RetireUpload) and action.upload.image == image)
        for action in s.in_flight.values()
    )


def left_behind(s: ImageSnapshot, agenda: Agenda, key: BuildKey | UploadKey) -> bool:
    """Tell whether something under construction has lost whoever made it. What bears our own name and is not in
    progress here is an earlier life's."""
    since = s.unlocked_since.get(key)
    if since is None or _in_progress(s, key) is not None:
        return False
    build = s.builds.get(key if isinstance(key, BuildKey) else key.of)
    return (build is not None and build.builder_id == s.builder_id) or agenda.due(since + GRACE)
