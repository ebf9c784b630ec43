"""Nova's JSON of a server, turned into our value.

Pure, and called for every server of every list, so it does little more than look things up: 20 µs each, as much as
decoding the JSON takes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType

from nodepool_ng.drivers import MARK_ATTEMPT, MARK_INSTALLATION, MARK_NODE, MARK_PROVIDER
from nodepool_ng.drivers.openstack.labels import Flavor, amounts
from nodepool_ng.drivers.openstack.networks import NetworkFacts
from nodepool_ng.drivers.openstack.refusal import says_no_host, says_no_room
from nodepool_ng.drivers.openstack.wire import RawAddress, RawServer
from nodepool_ng.model.ids import AttemptId, InstallationId, NodeId, ProviderName, ServerId, Timestamp
from nodepool_ng.model.quota import ONE_INSTANCE, Resources
from nodepool_ng.model.server import NO_ADDRESSES, Addresses, Server, ServerStatus

STATUSES: Mapping[str, ServerStatus] = MappingProxyType(
    {
        "BUILD": ServerStatus.BUILDING,
        "ACTIVE": ServerStatus.ACTIVE,
        "ERROR": ServerStatus.FAILED,
        "DELETED": ServerStatus.DELETED,
        "SOFT_DELETED": ServerStatus.DELETED,
    }
)
"""Nova's words; any other (SHUTOFF, REBUILD, UNKNOWN …) is a server that nobody should touch for now."""

DELETING_TASKS = frozenset({"deleting", "soft-deleting"})
FLOATING = "floating"
FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a server is judged by beside its own record."""

    networks: NetworkFacts = field(default_factory=NetworkFacts)
    flavors: Mapping[str, Flavor] = field(default_factory=dict)
    """By id; only asked where the cloud does not put the flavor into the server."""
    volume_gb: Mapping[str, int] = field(default_factory=dict)
    """Size of each volume by id, where anybody wants to know."""


def server_of(raw: RawServer, facts: Facts) -> Server:
    """Return the server that one entry of Nova's list describes."""
    marks = raw.get("metadata") or {}
    status = STATUSES.get(raw.get("status", ""), ServerStatus.OTHER)
    node, attempt = marks.get(MARK_NODE), marks.get(MARK_ATTEMPT)
    provider, installation = marks.get(MARK_PROVIDER), marks.get(MARK_INSTALLATION)
    fault = _fault(raw)
    return Server(
        id=ServerId(raw["id"]),
        name=raw.get("name") or "",
        status=status,
        provider=ProviderName(provider) if provider is not None else None,
        node=NodeId(node) if node is not None else None,
        attempt=AttemptId(attempt) if attempt is not None else None,
        installation=InstallationId(installation) if installation is not None else None,
        addresses=addresses_of(raw, facts.networks),
        az=raw.get("OS-EXT-AZ:availability_zone") or None,
        host_id=raw.get("hostId") or None,
        created=_instant(raw.get("created")),
        fault=fault,
        unplaced=status is ServerStatus.FAILED and fault is not None and says_no_host(fault),
        no_capacity=status is ServerStatus.FAILED and fault is not None and says_no_room(fault),
        deleting=raw.get("OS-EXT-STS:task_state") in DELETING_TASKS,
        resources=_resources(raw, facts),
        fixed_ipv4=_has_fixed_ipv4(raw),
    )


def is_stub(raw: RawServer) -> bool:
    """Tell whether this is all that Nova knows while the server's cell is down: hardly more than its id."""
    return "name" not in raw


def has_floating_ip(raw: RawServer) -> bool:
    """Tell whether one of the server's addresses is a floating IP."""
    every = (raw.get("addresses") or {}).values()
    return any(address.get("OS-EXT-IPS:type") == FLOATING for on_network in every for address in on_network)


def _has_fixed_ipv4(raw: RawServer) -> bool:
    nets = raw.get("addresses") or {}
    return any(a.get("version") == 4 and a.get("OS-EXT-IPS:type") != FLOATING for name in nets for a in nets[name])


def addresses_of(raw: RawServer, networks: NetworkFacts) -> Addresses:
    """Return where a server answers.

    `interface_ip` is, in this order: the address on the `default_interface` network; with `private` the private
    one; the public IPv6 address where this host has a way to it; the public IPv4 address. Of several candidates
    the first one Nova names is taken, floating ones before fixed ones.
    """
    nets = raw.get("addresses") or {}
    if not nets and not raw.get("accessIPv4") and not raw.get("accessIPv6"):
        return NO_ADDRESSES
    access = networks.access
    public = next(_public_v4(raw, nets, networks), "")
    private = next(_private_v4(nets, networks), "")
    six = "" if access.force_ipv4 else next(_public_v6(raw, nets), "")
    six_reachable = access.local_ipv6 and not access.force_ipv4
    default = ""
    if networks.default_interface is not None:
        versions = (6, 4) if six_reachable else (4,)
        found = (address for version in versions for address in _on(nets, networks.default_interface, version))
        default = next(found, "")
    choices = (default, private if access.private else "", six if six_reachable else "", public)
    return Addresses(
        interface_ip=next((choice for choice in choices if choice), ""),
        public_ipv4=public,
        private_ipv4=private or public,
        public_ipv6=six,
    )


_Networks = Mapping[str, list[RawAddress]]


def _public_v4(raw: RawServer, nets: _Networks, networks: NetworkFacts) -> Iterator[str]:
    if not networks.access.use_external:
        return
    if own := raw.get("accessIPv4"):
        yield own
    for name in networks.external:
        yield from _on(nets, name, 4)
    for name in nets:
        yield from _on(nets, name, 4, kind=FLOATING)
    yield from _on(nets, "public", 4)
    for name in nets:
        yield from (address for address in _on(nets, name, 4) if not _is_private(address))


@lru_cache(maxsize=16384)
def _is_private(address: str) -> bool:
    return ip_address(address).is_private


def _private_v4(nets: _Networks, networks: NetworkFacts) -> Iterator[str]:
    if not networks.access.use_internal:
        return
    paired = next((a for name in nets for a in nets[name] if a.get("OS-EXT-IPS:type") == FLOATING), None)
    mac = paired.get("OS-EXT-IPS-MAC:mac_addr") if paired else None
    for kind in (FIXED, None):
        for name in networks.internal:
            yield from _on(nets, name, 4, kind=kind, mac=mac)
    yield from _on(nets, "private", 4, kind=FIXED, mac=mac)
    yield from _on(nets, "private", 4)


def _public_v6(raw: RawServer, nets: _Networks) -> Iterator[str]:
    if own := raw.get("accessIPv6"):
        yield own
    for name in nets:
        yield from _on(nets, name, 6)


def _on(nets: _Networks, name: str, version: int, *, kind: str | None = None, mac: str | None = None) -> Iterator[str]:
    on_network = nets.get(name)
    if not on_network:
        return
    for floating in (True, False):
        for address in on_network:
            type_ = address.get("OS-EXT-IPS:type")
            if (type_ == FLOATING) is not floating or address.get("version") != version:
                continue
            if kind is not None and type_ != kind:
                continue
            if mac is not None and address.get("OS-EXT-IPS-MAC:mac_addr") != mac:
                continue
            yield address["addr"]


def _fault(raw: RawServer) -> str | None:
    fault = raw.get("fault")
    return fault.get("message") or "no reason given" if fault else None


def _instant(text: str | None) -> Timestamp | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _resources(raw: RawServer, facts: Facts) -> Resources:
    flavor = raw.get("flavor") or {}
    attached = raw.get("os-extended-volumes:volumes_attached") or ()
    gb = sum(facts.volume_gb.get(volume.get("id", ""), 0) for volume in attached)
    if "vcpus" in flavor and "ram" in flavor:
        return amounts(flavor["vcpus"], flavor["ram"], len(attached), gb)
    known = facts.flavors.get(flavor.get("id", ""))
    if known is None:
        # The flavor was deleted while a server still uses it; nobody can say any more what that server takes.
        return ONE_INSTANCE
    return amounts(known.vcpus, known.ram, len(attached), gb)
