"""The promises, each in a sentence, and what a broken one looks like."""

from dataclasses import dataclass
from enum import StrEnum

from nodepool_ng.model.ids import InstallationId, Seconds, Timestamp
from nodepool_ng.sim.virtual.process import SESSION_TIMEOUT

INSTALLATION = InstallationId("simulated")
SETTLE: Seconds = SESSION_TIMEOUT + 5.0


class Promise(StrEnum):
    """The promises, each in a sentence."""

    ONCE = "A node is given to one request only, and a server serves one node only."
    KEPT = "A request is answered, and does not fail while a pool could serve it."
    SERVED = "A request does not wait while there is room for it that is nobody else's."
    OURS = "Nothing that is not ours is deleted, and nothing of ours before its deletion is committed."
    TIDY = "Nothing of ours outlives its record by more than the sweeps."
    IMAGES = "No image that requests depend on is deleted."
    GATE = "No node is made for anybody from an upload that has yet to prove itself, or has failed to."
    BACK = "Whatever was struck comes back to work by itself, in time."
    LOCKED = "Every write to a node or request is made under its lock, or where nobody has it, and fails otherwise."
    INTENT = "The record of a launch is there before the cloud is asked for its server."
    LIMITS = "No pool gets more nodes than its limit."
    TABLES = "No record goes from a state to another that does not follow it."
    HELD = "A held node is kept for as long as it was asked for."
    SOUND = "No letter and no plan raises."


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken."""

    promise: Promise
    at: Timestamp
    what: str

    def __str__(self) -> str:
        return f"{self.promise.name}: {self.what}"
