"""What is known of machines that are there already: the static provider's."""

from dataclasses import dataclass
from typing import TypeAlias

from nodepool_ng.model.ids import NodeId, ProviderName, Seconds, Timestamp
from nodepool_ng.model.settings import HostKey, StaticHost

HostAt: TypeAlias = tuple[ProviderName, HostKey]
"""A machine of one provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """What a look at a machine found: its addresses and host keys, or why it cannot be used.

    `spent` looks have had nodes written after them; the next ones are written after another look.
    """

    host: StaticHost
    at: Timestamp
    error: str | None = None
    keys: tuple[str, ...] = ()
    public_ipv4: str = ""
    public_ipv6: str = ""
    spent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """Before a node is given away: does its machine take a connection within `timeout` seconds?"""

    node: NodeId
    address: str
    port: int
    timeout: Seconds
