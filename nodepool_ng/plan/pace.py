"""Collects a pass's actions, and the instants at which the next pass could decide differently."""

from nodepool_ng.model.action import Action, Subject, subjects
from nodepool_ng.model.ids import Timestamp
from nodepool_ng.model.snapshot import Snapshot


class Agenda:
    """Takes actions in order of importance; the first to touch a subject has it for this pass.

    Subjects that are in flight, or cool down after a failure, are not to be had at all.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._now = snapshot.now
        self._taken: set[Subject] = set(snapshot.in_flight)
        self.actions: list[Action] = []
        self.wake: Timestamp | None = None
        for subject, until in snapshot.cooling.items():
            if until > self._now:
                self._taken.add(subject)
                self.look_again(until)

    def add(self, action: Action) -> bool:
        """Take the action unless something else has one of its subjects; tell whether it was taken."""
        touched = subjects(action)
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
