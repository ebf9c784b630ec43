"""An operator's order to give nothing new to a provider, a pool or an image, in force until it is taken back.

What is there goes on: launches under way are finished, jobs keep their nodes. A drained one loses its ready nodes too.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class CordonKind(StrEnum):
    """What an order is about; a pool is named `provider/pool`."""

    PROVIDER = "provider"
    POOL = "pool"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Cordon:
    """Who gave the order when, and why; `drain`: ready nodes that are nobody's are deleted, too."""

    drain: bool = False
    by: str = ""
    reason: str = ""
    since: float = 0.0


CordonKey: TypeAlias = tuple[CordonKind, str]
"""What an order is about, and its name."""
