"""Who is told what the reconciler did. It is told on the reconciler's thread, so it may only count and pass on."""

from typing import Protocol

from nodepool_ng.launcher.outcome import Outcome
from nodepool_ng.launcher.world import World
from nodepool_ng.model.action import Action
from nodepool_ng.model.ids import Seconds


class Witness(Protocol):
    def planned(self, took: Seconds) -> None:
        """A plan was made and begun."""
        ...

    def ended(self, world: World, action: Action, outcome: Outcome) -> None:
        """An action has ended, and the world knows what came of it."""
        ...


class Nobody:
    """What the simulation uses."""

    def planned(self, took: Seconds) -> None:
        pass

    def ended(self, world: World, action: Action, outcome: Outcome) -> None:
        pass


NOBODY = Nobody()
