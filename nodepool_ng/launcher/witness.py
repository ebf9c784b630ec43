"""Who is told what the reconciler did. It is told on the reconciler's thread, so it may only count and pass on."""

from typing import Protocol

from nodepool_ng.launcher.outcome import Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model.action import Action
from nodepool_ng.model.ids import Seconds
from nodepool_ng.zk.changes import Change


class Witness(Protocol):
    def planned(self, took: Seconds) -> None:
        """A plan was made and begun."""
        ...

    def begun(self, world: World, action: Action) -> None:
        """An action was started."""
        ...

    def ended(self, world: World, action: Action, outcome: Outcome) -> None:
        """An action has ended, and the world knows what came of it."""
        ...

    def changed(self, world: World, change: Change) -> None:
        """Something in the tree changed, by whomever, and the world knows of it."""
        ...


class All:
    """Tells several; none of them is what the simulation uses."""

    def __init__(self, *witnesses: Witness) -> None:
        self._witnesses = witnesses

    def planned(self, took: Seconds) -> None:
        for one in self._witnesses:
            one.planned(took)

    def begun(self, world: World, action: Action) -> None:
        for one in self._witnesses:
            one.begun(world, action)

    def ended(self, world: World, action: Action, outcome: Outcome) -> None:
        for one in self._witnesses:
            one.ended(world, action, outcome)

    def changed(self, world: World, change: Change) -> None:
        for one in self._witnesses:
            one.changed(world, change)


NOBODY = All()
