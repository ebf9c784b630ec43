"""The networks of a region: subnets, ports, floating IPs, security groups.

Networks are what the settings say and stay so. Ports come and go with servers, or are made by callers.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nodepool_ng.sim.ids import id_of
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import NEVER
from nodepool_ng.sim.settings import NetworkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A range of addresses of a network."""

    id: str
    network: str
    name: str
    cidr: str
    version: int
    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network and its subnets."""

    id: str
    name: str
    external: bool
    shared: bool
    subnets: tuple[Subnet, ...]

    @property
    def open(self) -> bool:
        """Whether servers can be plugged into it: an external network that is not shared is for floating IPs only."""
        return self.shared or not self.external


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIp:
    """An address of a port."""

    subnet: str
    address: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port; `up_from` is when it becomes ACTIVE, in seconds. made: by Nova for a server, so that it goes with it."""

    id: str
    network: str
    project: str
    name: str
    mac: str
    fixed: tuple[FixedIp, ...]
    created: float
    device: str = ""
    device_owner: str = ""
    description: str = ""
    up_from: float = NEVER
    made: bool = False

    def status(self, now: float) -> str:
        """Return Neutron's word for what the port is."""
        return "ACTIVE" if self.up_from <= now else "DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIp:
    """A floating IP, at a port or free."""

    id: str
    network: str
    address: str
    project: str
    created: float
    port: str | None = None
    fixed: str | None = None
    description: str = ""

    @property
    def status(self) -> str:
        """Neutron's word for what the address is."""
        return "ACTIVE" if self.port else "DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    """A security group; its rules are of no consequence here."""

    id: str
    name: str
    project: str
    description: str = ""


def lay_out(region: str, settings: Iterable[NetworkSettings]) -> dict[str, Network]:
    """Return the networks by id that these settings describe."""
    networks = {}
    for each in settings:
        network_id = id_of("network", region, each.name)
        subnets = tuple(_subnet(region, network_id, each.name, cidr) for cidr in each.cidrs)
        networks[network_id] = Network(
            id=network_id, name=each.name, external=each.external, shared=each.shared, subnets=subnets
        )
    return networks


def _subnet(region: str, network_id: str, name: str, cidr: str) -> Subnet:
    block = ipaddress.ip_network(cidr)
    return Subnet(
        id=id_of("subnet", region, name, cidr),
        network=network_id,
        name=f"{name}-{block.version}",
        cidr=cidr,
        version=block.version,
        gateway=str(block.network_address + 1),
    )


def new_mac(rng: random.Random) -> str:
    """Return a fresh hardware address."""
    return "fa:16:3e:" + rng.randbytes(3).hex(":")


class Addresses:
    """Who has which address of a subnet; freed ones are not given again before the range has been gone through."""

    def __init__(self, subnet: Subnet) -> None:
        block = ipaddress.ip_network(subnet.cidr)
        self._version = block.version
        self._first = int(block.network_address) + 2  # the network itself and its gateway
        self._room = max(0, min(block.num_addresses - 3, 1 << 24))
        self._next = 0
        self._taken: set[str] = set()

    def take(self, wanted: str | None = None) -> str:
        """Return a free address; Refused 409 when there is none, or the wanted one is taken."""
        if wanted is not None:
            if wanted in self._taken:
                raise Refused(409, f"IP address {wanted} already allocated.")
            self._taken.add(wanted)
            return wanted
        if len(self._taken) >= self._room:
            raise Refused(409, "No more IP addresses available on the network.")
        while True:
            number = self._first + self._next
            self._next = (self._next + 1) % self._room
            kind = ipaddress.IPv4Address if self._version == 4 else ipaddress.IPv6Address
            address = str(kind(number))
            if address not in self._taken:
                self._taken.add(address)
                return address

    def free(self, address: str) -> None:
        """Take an address back."""
        self._taken.discard(address)


def detached(port: Port) -> Port:
    """Return a caller's port as it is after its server has gone."""
    return replace(port, device="", device_owner="", up_from=NEVER)
