"""What came of an action: the event for the next look."""

from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.drivers import Capacity, DriverError, Listing, Swept
from nodepool_ng.model.hosts import HostSeen
from nodepool_ng.model.ids import AttemptId, NodeId
from nodepool_ng.model.snapshot import Checked


@dataclass(frozen=True, slots=True)
class Done:
    """It was carried out; what changed is in the mirror already."""


@dataclass(frozen=True, slots=True)
class Lost:
    """It was not carried out, or nobody knows: the world was not as expected, or ZooKeeper did not answer. What is
    to be done next follows from what is there."""

    why: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The cloud accepted a server for an attempt."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class NotMade:
    """The cloud did not accept a server, or did not answer; the error's type tells which."""

    attempt: AttemptId
    error: DriverError


@dataclass(frozen=True, slots=True)
class Adopted:
    """A half-built node is ours now."""

    attempt: AttemptId | None


@dataclass(frozen=True, slots=True)
class Scanned:
    attempt: AttemptId
    keys: tuple[str, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Addressed:
    """A floating IP was asked for; with an error, there is none yet."""

    attempt: AttemptId
    error: DriverError | None


@dataclass(frozen=True, slots=True)
class Advanced:
    """The further steps of a server were asked for; with an error, they are not all done."""

    attempt: AttemptId
    error: DriverError | None


@dataclass(frozen=True, slots=True)
class ConsoleKept:
    """An attempt's console is in the log, or (no text) cannot be had."""

    attempt: AttemptId
    text: str = ""


@dataclass(frozen=True, slots=True)
class CanaryChecked:
    """The check of its image was run on a canary."""

    node: NodeId
    found: Checked


@dataclass(frozen=True, slots=True)
class Listed:
    listing: Listing


@dataclass(frozen=True, slots=True)
class CapacityRead:
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class CloudFailed:
    """A call about the provider as a whole, or a deletion, ended with an error."""

    error: DriverError


@dataclass(frozen=True, slots=True)
class HostLooked:
    """What there is to be known of a machine of a static pool."""

    seen: HostSeen


@dataclass(frozen=True, slots=True)
class HostSilent:
    """The machine of a node that was to be given away does not answer."""

    node: NodeId
    met: str


@dataclass(frozen=True, slots=True)
class SweptUp:
    """What had been left behind in a provider is gone."""

    swept: Swept


@dataclass(frozen=True, slots=True)
class NotBacked:
    """There will be no slot for some attempts: the node that was to be cut could not be had."""

    attempts: tuple[AttemptId, ...]
    detail: str


Outcome: TypeAlias = (
    Done
    | Lost
    | Asked
    | NotMade
    | Adopted
    | Scanned
    | Addressed
    | Advanced
    | ConsoleKept
    | Listed
    | CapacityRead
    | CloudFailed
    | HostLooked
    | HostSilent
    | NotBacked
    | SweptUp
    | CanaryChecked
)
