"""Collects a builder's actions, and what several parts of its plan want to know of the snapshot."""

from collections.abc import Mapping
from functools import cached_property

from nodepool_ng.model.action import Subject
from nodepool_ng.model.gate import in_service
from nodepool_ng.model.ids import ImageName, ProviderName, Timestamp
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.image_action import BuildKey, Destination, ImageAction, UploadKey, image_subjects
from nodepool_ng.model.image_snapshot import ImageSnapshot
from nodepool_ng.model.lifecycle import ImageState


class Agenda:
    """Takes actions in order of importance; the first to touch a subject has it for this pass.

    Subjects that are in flight, or cool down after a failure, are not to be had at all.
    """

    def __init__(self, snapshot: ImageSnapshot) -> None:
        self._now = snapshot.now
        self._taken: set[Subject] = set(snapshot.in_flight)
        self.actions: list[ImageAction] = []
        self.wake: Timestamp | None = None
        failed = ((subject, backoff.until) for subject, backoff in snapshot.cloud_backoff.items())
        for subject, until in (*snapshot.cooling.items(), *failed):
            if until > self._now:
                self._taken.add(subject)
                self.look_again(until)

    def add(self, action: ImageAction) -> bool:
        """Take the action unless something else has one of its subjects; tell whether it was taken."""
        touched = image_subjects(action)
        if any(subject in self._taken for subject in touched):
            return False
        self._taken.update(touched)
        self.actions.append(action)
        return True

    def free(self, subject: Subject) -> bool:
        """Tell whether nothing is in flight or planned on the subject."""
        return subject not in self._taken

    def look_again(self, at: Timestamp) -> None:
        """Ask to be called at `at` at the latest."""
        if self.wake is None or at < self.wake:
            self.wake = max(at, self._now)

    def due(self, at: Timestamp) -> bool:
        """Tell whether an instant has come; if not, ask to be called then."""
        if at > self._now:
            self.look_again(at)
        return at <= self._now


class Stock:
    """Builds and uploads of one snapshot, sorted in the ways that decisions need."""

    def __init__(self, snapshot: ImageSnapshot) -> None:
        self._s = snapshot

    @cached_property
    def ready(self) -> Mapping[ImageName, tuple[BuildKey, ...]]:
        """Return the ready builds of each image, the newest first."""
        found: dict[ImageName, list[tuple[Timestamp, str, BuildKey]]] = {}
        for key, build in self._s.builds.items():
            if build.state is ImageState.READY:
                found.setdefault(key.image, []).append((build.state_time, key.build, key))
        return {image: tuple(key for _, _, key in sorted(rows, reverse=True)) for image, rows in found.items()}

    @cached_property
    def of_build(self) -> Mapping[BuildKey, tuple[UploadKey, ...]]:
        """Return the uploads of each build, those with unreadable records among them."""
        found: dict[BuildKey, list[UploadKey]] = {}
        unreadable = (key for key in self._s.unreadable if isinstance(key, UploadKey))
        for key in sorted({*self._s.uploads, *unreadable}, key=str):
            found.setdefault(key.of, []).append(key)
        return {build: tuple(keys) for build, keys in found.items()}

    @cached_property
    def in_service(self) -> Mapping[tuple[ImageName, ProviderName], tuple[UploadKey, ...]]:
        """Return the uploads of each image in each provider that nodes may be made from, the newest first. Those of a
        build whose deletion was ordered do not count."""
        found: dict[tuple[ImageName, ProviderName], list[tuple[Timestamp, str, UploadKey]]] = {}
        for key, upload in self._s.uploads.items():
            build = self._s.builds.get(key.of)
            if in_service(upload) and not (build and build.state is ImageState.DELETING):
                row = (upload.state_time, f"{key.build}/{key.id}", key)
                found.setdefault((key.image, key.provider), []).append(row)
        return {where: tuple(key for _, _, key in sorted(rows, reverse=True)) for where, rows in found.items()}

    def newest(self, image: ImageName) -> tuple[BuildKey, Build] | None:
        """Return the newest ready build of an image."""
        ready = self.ready.get(image)
        return (ready[0], self._s.builds[ready[0]]) if ready else None

    def uploads_at(self, to: Destination) -> list[Upload]:
        """Return the uploads of one build in one provider that have a readable record."""
        keys = self.of_build.get(BuildKey(to.image, to.build), ())
        return [self._s.uploads[key] for key in keys if key.provider == to.provider and key in self._s.uploads]

    def has(self, to: Destination, state: ImageState) -> bool:
        """Tell whether a build has an upload of that state in a provider."""
        return any(upload.state is state for upload in self.uploads_at(to))
