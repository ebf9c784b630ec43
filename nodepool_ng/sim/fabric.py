"""What callers and servers do with a region's networks: Neutron's verbs.

Servers use the verbs without a gate (`plug`, `unplug`, `adopt`): Nova's own calls to Neutron cost the caller nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.gate import Gate
from nodepool_ng.sim.ids import id_of, new_id
from nodepool_ng.sim.network import (
    Addresses,
    FixedIp,
    FloatingIp,
    Network,
    Port,
    SecurityGroup,
    Subnet,
    detached,
    lay_out,
    new_mac,
)
from nodepool_ng.sim.refused import Refused, not_found
from nodepool_ng.sim.server import Caller

OWNED = ("compute:", "baremetal:", "manila:")
"""Neutron lets projects delete no port whose device_owner begins so; they may change that, though."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkUse:
    """How many ports and floating IPs a project has."""

    ports: int
    floating_ips: int


class Fabric:
    """All networks of a region and what is plugged into them."""

    def __init__(self, gate: Gate, region: str) -> None:
        self._gate = gate
        self._region = region
        self.networks = lay_out(region, gate.settings.networks)
        self.subnets: dict[str, Subnet] = {
            subnet.id: subnet for network in self.networks.values() for subnet in network.subnets
        }
        self._addresses = {subnet.id: Addresses(subnet) for subnet in self.subnets.values()}
        self.ports: dict[str, Port] = {}
        self.floating_ips: dict[str, FloatingIp] = {}
        self.groups: dict[str, SecurityGroup] = {}
        self._by_device: dict[str, tuple[str, ...]] = {}
        # Servers show floating IPs among their addresses; whoever renders servers wants to hear of a change.
        self.on_floating_change: Callable[[str, float], None] = lambda server_id, now: None

    def list_networks(self, caller: Caller, *, now: float) -> tuple[Network, ...]:
        """Return all networks; every project sees the configured ones."""
        with self._gate.passing(Call.NETWORK_LIST, now):
            return tuple(self.networks.values())

    def get_network(self, caller: Caller, network_id: str, *, now: float) -> Network:
        """Return one network."""
        with self._gate.passing(Call.NETWORK_GET, now):
            return self.network(network_id)

    def list_subnets(self, caller: Caller, *, now: float) -> tuple[Subnet, ...]:
        """Return the subnets that projects can see: not those of an external network that is not shared."""
        with self._gate.passing(Call.SUBNET_LIST, now):
            return tuple(subnet for network in self.networks.values() if network.open for subnet in network.subnets)

    def list_ports(self, caller: Caller, *, now: float, device: str | None = None) -> tuple[Port, ...]:
        """Return the ports of the caller's project, or those of one server."""
        with self._gate.passing(Call.PORT_LIST, now):
            rows: Iterable[Port] = self.ports.values() if device is None else self.ports_of(device)
            return tuple(port for port in rows if port.project == caller.project)

    def get_port(self, caller: Caller, port_id: str, *, now: float) -> Port:
        """Return one port."""
        with self._gate.passing(Call.PORT_GET, now):
            return self._own_port(caller, port_id)

    def create_port(
        self,
        caller: Caller,
        network_id: str,
        name: str,
        *,
        now: float,
        device: str = "",
        device_owner: str = "",
        description: str = "",
    ) -> Port:
        """Make a port that belongs to no server yet; `device` is what its maker says of it."""
        with self._gate.passing(Call.PORT_CREATE, now):
            if self._full(self._gate.settings.quota.ports, self.use(caller.project).ports + 1):
                raise Refused(409, "Quota exceeded for resources: ['port'].")
            port = self.plant_port(caller.project, network_id, name, now=now, device_owner=device_owner)
            return self._put(replace(port, device=device, description=description))

    def update_port(
        self,
        caller: Caller,
        port_id: str,
        *,
        name: str | None = None,
        device: str | None = None,
        device_owner: str | None = None,
        now: float,
    ) -> Port:
        """Give a port another name, or say otherwise whose it is; None leaves it as it is."""
        with self._gate.passing(Call.PORT_UPDATE, now):
            port = self._own_port(caller, port_id)
            return self._put(
                replace(
                    port,
                    name=port.name if name is None else name,
                    device=port.device if device is None else device,
                    device_owner=port.device_owner if device_owner is None else device_owner,
                )
            )

    def delete_port(self, caller: Caller, port_id: str, *, now: float) -> None:
        """Delete a port at once."""
        with self._gate.passing(Call.PORT_DELETE, now):
            port = self._own_port(caller, port_id)
            if port.device_owner.startswith(OWNED):
                raise Refused(403, "rule:delete_port is disallowed by policy")
            self._drop(port, now)

    def list_floating_ips(self, caller: Caller, *, now: float) -> tuple[FloatingIp, ...]:
        """Return the floating IPs of the caller's project."""
        with self._gate.passing(Call.FLOATING_LIST, now):
            return tuple(each for each in self.floating_ips.values() if each.project == caller.project)

    def get_floating_ip(self, caller: Caller, floating_id: str, *, now: float) -> FloatingIp:
        """Return one floating IP."""
        with self._gate.passing(Call.FLOATING_GET, now):
            return self._own_floating(caller, floating_id)

    def create_floating_ip(
        self, caller: Caller, network_id: str, port_id: str | None, description: str = "", *, now: float
    ) -> FloatingIp:
        """Take a floating IP from an external network, at once at a port when one is given."""
        with self._gate.passing(Call.FLOATING_CREATE, now):
            network = self.network(network_id)
            if not network.external:
                raise Refused(400, f"Bad floatingip request: Network {network_id} is not a valid external network.")
            if self._full(self._gate.settings.quota.floating_ips, self.use(caller.project).floating_ips + 1):
                raise Refused(409, "Quota exceeded for resources: ['floatingip'].")
            floating = FloatingIp(
                id=new_id(self._gate.rng),
                network=network_id,
                address=self._addresses[_first_v4(network).id].take(),
                project=caller.project,
                created=now,
                description=description,
            )
            return self._attach(caller, floating, port_id, now)

    def update_floating_ip(self, caller: Caller, floating_id: str, port_id: str | None, *, now: float) -> FloatingIp:
        """Move a floating IP to a port, or free it (None)."""
        with self._gate.passing(Call.FLOATING_UPDATE, now):
            return self._attach(caller, self._own_floating(caller, floating_id), port_id, now)

    def delete_floating_ip(self, caller: Caller, floating_id: str, *, now: float) -> None:
        """Give a floating IP back."""
        with self._gate.passing(Call.FLOATING_DELETE, now):
            floating = self._own_floating(caller, floating_id)
            del self.floating_ips[floating_id]
            self._addresses[_first_v4(self.network(floating.network)).id].free(floating.address)
            self._tell(floating.port, now)

    def list_groups(self, caller: Caller, *, now: float) -> tuple[SecurityGroup, ...]:
        """Return the security groups of the caller's project; every project has a default one."""
        with self._gate.passing(Call.GROUP_LIST, now):
            return self.groups_of(caller.project)

    def get_group(self, caller: Caller, group_id: str, *, now: float) -> SecurityGroup:
        """Return one security group."""
        with self._gate.passing(Call.GROUP_GET, now):
            return self._own_group(caller, group_id)

    def create_group(self, caller: Caller, name: str, description: str, *, now: float) -> SecurityGroup:
        """Make a security group."""
        with self._gate.passing(Call.GROUP_CREATE, now):
            group = SecurityGroup(id=new_id(self._gate.rng), name=name, project=caller.project, description=description)
            self.groups[group.id] = group
            return group

    def delete_group(self, caller: Caller, group_id: str, *, now: float) -> None:
        """Delete a security group."""
        with self._gate.passing(Call.GROUP_DELETE, now):
            del self.groups[self._own_group(caller, group_id).id]

    def network(self, network_id: str) -> Network:
        """Return a network; Refused 404."""
        network = self.networks.get(network_id)
        if network is None:
            raise not_found("Network", network_id)
        return network

    def groups_of(self, project: str) -> tuple[SecurityGroup, ...]:
        """Return the security groups of a project."""
        default = SecurityGroup(id=id_of("group", self._region, project), name="default", project=project)
        self.groups.setdefault(default.id, default)
        return tuple(group for group in self.groups.values() if group.project == project)

    def ports_of(self, device: str) -> tuple[Port, ...]:
        """Return the ports of a server."""
        return tuple(self.ports[port_id] for port_id in self._by_device.get(device, ()))

    def floating_of(self, port_id: str) -> tuple[FloatingIp, ...]:
        """Return the floating IPs at a port."""
        return tuple(each for each in self.floating_ips.values() if each.port == port_id)

    def use(self, project: str) -> NetworkUse:
        """Return what a project uses."""
        return NetworkUse(
            ports=sum(port.project == project for port in self.ports.values()),
            floating_ips=sum(each.project == project for each in self.floating_ips.values()),
        )

    def room_for(self, project: str, ports: int) -> bool:
        """Tell whether a project may have so many more ports."""
        limit = self._gate.settings.quota.ports
        return limit < 0 or not self._full(limit, self.use(project).ports + ports)

    def plant_port(self, project: str, network_id: str, name: str, *, now: float, device_owner: str = "") -> Port:
        """Make a port without asking anybody."""
        network = self.network(network_id)
        fixed = tuple(
            FixedIp(subnet=subnet.id, address=self._addresses[subnet.id].take(), version=subnet.version)
            for subnet in network.subnets
        )
        return self._put(
            Port(
                id=new_id(self._gate.rng),
                network=network_id,
                project=project,
                name=name,
                mac=new_mac(self._gate.rng),
                fixed=fixed,
                created=now,
                device_owner=device_owner,
            )
        )

    def plug(self, project: str, network_id: str, server_id: str, *, up_from: float, now: float) -> Port:
        """Make a port for a server; it goes when the server goes."""
        port = self.plant_port(project, network_id, "", now=now)
        return self._bind(replace(port, made=True), server_id, up_from)

    def adopt(self, caller: Caller, port_id: str, server_id: str, *, up_from: float) -> Port:
        """Give a caller's port to a server; it stays when the server goes."""
        return self._bind(self.adoptable(caller, port_id), server_id, up_from)

    def adoptable(self, caller: Caller, port_id: str) -> Port:
        """Return a caller's port that is free for a server; Refused otherwise."""
        port = self._own_port(caller, port_id)
        if port.device:
            raise Refused(409, f"Port {port_id} is still in use.")
        return port

    def unplug(self, server_id: str, *, now: float, leave: bool = False) -> None:
        """Take a server's ports away; with leave, those made for it stay behind, DOWN."""
        for port in self.ports_of(server_id):
            for floating in self.floating_of(port.id):
                self.floating_ips[floating.id] = replace(floating, port=None, fixed=None)
            if port.made and not leave:
                self._drop(port, now)
            else:
                left = detached(port)
                # What Nova made and failed to delete still names the server that is gone.
                self._put(replace(left, device=port.device, device_owner=port.device_owner) if port.made else left)
        self._by_device.pop(server_id, None)

    def _bind(self, port: Port, server_id: str, up_from: float) -> Port:
        self._by_device[server_id] = (*self._by_device.get(server_id, ()), port.id)
        return self._put(replace(port, device=server_id, device_owner="compute:nova", up_from=up_from))

    def _attach(self, caller: Caller, floating: FloatingIp, port_id: str | None, now: float) -> FloatingIp:
        before = floating.port
        fixed = None
        if port_id is not None:
            port = self._own_port(caller, port_id)
            fixed = next((each.address for each in port.fixed if each.version == 4), None)
            if fixed is None:
                raise Refused(400, f"Bad floatingip request: Port {port_id} has no fixed IPv4 address.")
            if any(other.id != floating.id for other in self.floating_of(port_id)):
                raise Refused(
                    409,
                    f"Cannot associate floating IP {floating.address} ({floating.id}) with port {port_id} using fixed "
                    f"IP {fixed}, as that fixed IP already has a floating IP on external network {floating.network}.",
                )
        self.floating_ips[floating.id] = moved = replace(floating, port=port_id, fixed=fixed)
        for changed in {before, port_id}:
            self._tell(changed, now)
        return moved

    def _tell(self, port_id: str | None, now: float) -> None:
        port = self.ports.get(port_id or "")
        if port is not None and port.device:
            self.on_floating_change(port.device, now)

    def _put(self, port: Port) -> Port:
        self.ports[port.id] = port
        return port

    def _drop(self, port: Port, now: float) -> None:
        for floating in self.floating_of(port.id):
            self.floating_ips[floating.id] = replace(floating, port=None, fixed=None)
        del self.ports[port.id]
        for fixed in port.fixed:
            self._addresses[fixed.subnet].free(fixed.address)
        if port.device in self._by_device:
            self._by_device[port.device] = tuple(one for one in self._by_device[port.device] if one != port.id)
            self.on_floating_change(port.device, now)

    def _own_port(self, caller: Caller, port_id: str) -> Port:
        port = self.ports.get(port_id)
        if port is None or port.project != caller.project:
            raise not_found("Port", port_id)
        return port

    def _own_floating(self, caller: Caller, floating_id: str) -> FloatingIp:
        floating = self.floating_ips.get(floating_id)
        if floating is None or floating.project != caller.project:
            raise Refused(404, f"Floating IP {floating_id} could not be found")
        return floating

    def _own_group(self, caller: Caller, group_id: str) -> SecurityGroup:
        for group in self.groups_of(caller.project):
            if group.id == group_id:
                return group
        raise not_found("Security group", group_id)

    def _full(self, limit: int, wanted: int) -> bool:
        return 0 <= limit < wanted


def _first_v4(network: Network) -> Subnet:
    for subnet in network.subnets:
        if subnet.version == 4:
            return subnet
    raise Refused(400, f"Network {network.id} has no IPv4 subnet.")
