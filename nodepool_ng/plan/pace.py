"""Collects a pass's actions, and the instants at which the next pass could decide differently."""

from collections import Counter
from dataclasses import dataclass

from nodepool_ng.model.action import Action, Subject, cloud_of, node_subject, subjects, waits_its_turn
from nodepool_ng.model.ids import NodeId, ProviderName, Timestamp
from nodepool_ng.model.pace import UNLIMITED, Pace, ready_at, tokens_at
from nodepool_ng.model.snapshot import Snapshot


@dataclass(slots=True)
class _Turns:
    """What may still be asked of one cloud in this pass."""

    pace: Pace
    tokens: float
    room: int


class Agenda:
    """Takes actions in order of importance; the first to touch a subject has it for this pass.

    Subjects that are in flight, or cool down after a failure, are not to be had at all.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._now = snapshot.now
        self._taken: set[Subject] = set(snapshot.in_flight)
        self.actions: list[Action] = []
        self.wake: Timestamp | None = None
        self.resting: dict[NodeId, Timestamp] = {}
        """Nodes found to be left alone until an instant, or until there is news of them."""
        self._paces = snapshot.paces
        self._turns: dict[ProviderName, _Turns] = {}
        self._under_way: Counter[ProviderName] = Counter()
        for subject, flying in snapshot.in_flight.items():
            if waits_its_turn(flying) and subjects(flying)[0] == subject:
                self._under_way[cloud_of(flying) or ProviderName("")] += 1
        for subject, until in snapshot.cooling.items():
            if until > self._now:
                self._taken.add(subject)
                self.look_again(until)

    def add(self, action: Action) -> bool:
        """Take the action unless something else has one of its subjects; tell whether it was taken."""
        touched = subjects(action)
        if any(subject in self._taken for subject in touched):
            return False
        if waits_its_turn(action) and not self._take_a_turn(cloud_of(action) or ProviderName("")):
            return False
        self._taken.update(touched)
        self.actions.append(action)
        return True

    def may_ask(self, provider: ProviderName) -> bool:
        """Tell whether the cloud may be asked once more; otherwise see to it that it is asked in time. That an answer
        makes room is news anyway."""
        turns = self._turns_of(provider)
        if turns.room < 1:
            return False
        if turns.tokens < 1:
            self.look_again(ready_at(turns.pace, turns.tokens, self._now))
            return False
        return True

    def _take_a_turn(self, provider: ProviderName) -> bool:
        """Count one more call, if the cloud may be asked once more; tell whether it may."""
        if not self.may_ask(provider):
            return False
        turns = self._turns_of(provider)
        turns.room -= 1
        turns.tokens -= 1
        return True

    def _turns_of(self, provider: ProviderName) -> _Turns:
        turns = self._turns.get(provider)
        if turns is None:
            pace = self._paces.get(provider, UNLIMITED)
            turns = _Turns(pace, tokens_at(pace, self._now), pace.width - self._under_way[provider])
            self._turns[provider] = turns
        return turns

    def free(self, subject: Subject) -> bool:
        """Tell whether nothing is in flight or planned on the subject."""
        return subject not in self._taken

    def rest(self, node: NodeId, until: Timestamp) -> None:
        """Leave a node alone until there is news of it, or until an instant."""
        self.look_again(until)
        if self.free(node_subject(node)):
            self.resting[node] = until

    def look_again(self, at: Timestamp) -> None:
        """Ask to be called at `at` at the latest."""
        if self.wake is None or at < self.wake:
            self.wake = max(at, self._now)
