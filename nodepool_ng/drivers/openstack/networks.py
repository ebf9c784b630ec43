"""Which of a project's networks lead where.

An operator may say it in clouds.yaml; what is not said there follows from Neutron: a network that is external or
mapped to a physical one leads to the outside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from nodepool_ng.drivers import Misconfigured
from nodepool_ng.drivers.openstack.wire import RawNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEntry:
    """One entry of `networks:` in clouds.yaml; `name` may be an id."""

    name: str
    external: bool = False
    """Routes IPv4 to the outside."""
    nat_source: bool = False
    nat_destination: bool = False
    default_interface: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How this host reaches servers of the cloud: clouds.yaml, and whether the host has an IPv6 route."""

    entries: tuple[NetworkEntry, ...] = ()
    private: bool = False
    force_ipv4: bool = False
    local_ipv6: bool = False
    use_external: bool = True
    use_internal: bool = True
    floating: bool = True
    """The cloud has floating IPs (`floating_ip_source` is not None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """What a server's addresses are judged by. Networks are named as Nova names them in a server's addresses."""

    access: Access = field(default_factory=Access)
    external: tuple[str, ...] = ()
    internal: tuple[str, ...] = ()
    default_interface: str | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    """Name and id of every visible network → its id."""
    nat_source: str | None = None
    """Id of the network that floating IPs come from."""
    nat_destination: str | None = None
    """Id of the network whose ports get floating IPs, where an operator named one."""


def network_facts(raw: Iterable[RawNetwork], access: Access) -> NetworkFacts:
    """Put what Neutron lists and what clouds.yaml says together.

    Raises Misconfigured when clouds.yaml names a network that is not there, or one name stands for two of the
    networks for which only one can be meant.
    """
    listed = tuple(raw)
    said = {entry.name: entry for entry in access.entries}
    external: list[str] = []
    internal: list[str] = []
    for network in listed:
        entry = _said_of(network, said)
        outside = entry.external if entry else _leads_out(network)
        (external if outside else internal).append(network.get("name", ""))
    ids: dict[str, str] = {}
    for network in listed:
        ids.setdefault(network.get("name", ""), network["id"])
    ids.update({network["id"]: network["id"] for network in listed})
    missing = [entry.name for entry in access.entries if entry.name not in ids]
    if missing:
        raise Misconfigured(f"clouds.yaml names the network {missing[0]!r}, which the cloud does not have")
    source = _one(listed, access, "nat_source") or _first_external(listed)
    destination = _one(listed, access, "nat_destination")
    default = _one(listed, access, "default_interface")
    return NetworkFacts(
        access=access,
        external=tuple(external),
        internal=tuple(internal),
        default_interface=default.get("name") if default else None,
        ids=MappingProxyType(ids),
        nat_source=source["id"] if source else None,
        nat_destination=destination["id"] if destination else None,
    )


def facts_without_neutron(access: Access) -> NetworkFacts:
    """Return what clouds.yaml alone says, for clouds without a Neutron that answers."""
    default = [entry.name for entry in access.entries if entry.default_interface]
    return NetworkFacts(
        access=access,
        external=tuple(entry.name for entry in access.entries if entry.external),
        internal=tuple(entry.name for entry in access.entries if not entry.external),
        default_interface=default[0] if default else None,
    )


def _said_of(network: RawNetwork, said: Mapping[str, NetworkEntry]) -> NetworkEntry | None:
    return said.get(network.get("name", "")) or said.get(network["id"])


def _leads_out(network: RawNetwork) -> bool:
    return bool(network.get("router:external") or network.get("provider:physical_network"))


def _one(listed: tuple[RawNetwork, ...], access: Access, role: str) -> RawNetwork | None:
    names = {entry.name for entry in access.entries if getattr(entry, role)}
    found = [network for network in listed if names & {network.get("name", ""), network["id"]}]
    if len(found) > 1:
        raise Misconfigured(f"more than one network is the {role} of clouds.yaml; name it by its id")
    return found[0] if found else None


def _first_external(listed: tuple[RawNetwork, ...]) -> RawNetwork | None:
    return next((network for network in listed if network.get("router:external")), None)
