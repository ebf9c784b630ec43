"""Floating IPs, for servers on networks that nobody outside can reach.

A floating IP of ours says so in its description, with the installation and the server it was made for. Nothing else is
ever deleted, and nothing that others made is ever used. Ports are made by Nova and carry no mark: they are ours when
the server that they name was.
"""

import logging
from collections.abc import Set

from nodepool_ng.drivers import Misconfigured, Refused, Swept
from nodepool_ng.drivers.openstack.calls import NETWORK, Door, listed
from nodepool_ng.drivers.openstack.networks import NetworkFacts
from nodepool_ng.drivers.openstack.refusal import message_of
from nodepool_ng.drivers.openstack.wire import RawFloatingIp, RawPort
from nodepool_ng.model.ids import InstallationId, Json, ServerId

log = logging.getLogger("nodepool.driver.openstack")

FORBIDDEN = 403


def description_of(installation: InstallationId, server: ServerId | str) -> str:
    """Return what a floating IP of ours has as its description."""
    return f"nodepool_ng {installation} server {server}"


def possible(networks: NetworkFacts) -> bool:
    """Tell whether servers of this cloud can be given floating IPs that we would use."""
    return networks.access.floating and not networks.access.private and networks.nat_source is not None


def choose_port(ports: list[RawPort], networks: NetworkFacts) -> RawPort | None:
    """Return the port that gets the floating IP: the newest with an IPv4 address, on the NAT destination if one is
    configured."""
    fitting = [
        port
        for port in ports
        if networks.nat_destination in (None, port.get("network_id"))
        and any("." in fixed.get("ip_address", "") for fixed in port.get("fixed_ips") or ())
    ]
    return max(fitting, key=lambda port: port.get("created_at", ""), default=None)


def attach(door: Door, server: ServerId, networks: NetworkFacts, installation: InstallationId) -> str:
    """Give a server a floating IP and return the address; asked again, it returns the same one.

    Raises Refused when the server has no port for it (yet), NoCapacity when the quota is used up.
    """
    if not possible(networks):
        raise Misconfigured("the cloud has no external network for floating IPs, or clouds.yaml forbids them")
    ours = _of(door, server, installation)
    if ours:
        return ours[0]["floating_ip_address"]
    port = choose_port(listed(door, NETWORK, "/ports", "ports", {"device_id": server}), networks)
    if port is None:
        raise Refused(f"the server {server} has no port with an IPv4 address that could get a floating IP")
    body: dict[str, Json] = {
        "floating_network_id": networks.nat_source,
        "port_id": port["id"],
        "description": description_of(installation, server),
    }
    made: RawFloatingIp = door.call(NETWORK, "POST", "/floatingips", json={"floatingip": body}).member("floatingip")
    return made["floating_ip_address"]


def release(door: Door, server: ServerId, installation: InstallationId) -> None:
    """Delete the floating IPs that were made for a server."""
    for ours in _of(door, server, installation):
        door.call(NETWORK, "DELETE", f"/floatingips/{ours['id']}", fine=(404,))


def sweep(
    door: Door, installation: InstallationId, gone: Set[ServerId], refused: set[str], *, ports: bool, floating_ips: bool
) -> Swept:
    """Delete floating IPs of ours that lead nowhere, and ports that servers of ours left behind.

    `refused` has the ports that could not be deleted before; others are told of, once, and added.
    """
    swept_ports = swept_floating = 0
    if floating_ips:
        mark = description_of(installation, "")
        found: list[RawFloatingIp] = listed(door, NETWORK, "/floatingips", "floatingips")
        for one in found:
            if (one.get("description") or "").startswith(mark) and not one.get("port_id"):
                door.call(NETWORK, "DELETE", f"/floatingips/{one['id']}", fine=(404,))
                swept_floating += 1
    if ports and gone:
        left: list[RawPort] = listed(door, NETWORK, "/ports", "ports", {"status": "DOWN"})
        for port in left:
            owner = port.get("device_owner") or ""
            # A Neutron that does not know this filter answers with everything.
            down = port.get("status") == "DOWN" and (not owner or owner.startswith("compute:"))
            if down and port.get("device_id") in gone:
                why = _drop_port(door, port["id"])
                swept_ports += not why
                if why and port["id"] not in refused:
                    refused.add(port["id"])
                    log.warning(
                        "Port %s was left behind by our server %s, and is not ours to delete: %s. It counts against the"
                        " quota until an administrator of the cloud deletes it; `port-cleanup-interval: 0` leaves ports"
                        " alone",
                        port["id"],
                        port.get("device_id"),
                        why,
                    )
    return Swept(ports=swept_ports, floating_ips=swept_floating)


def _drop_port(door: Door, port: str) -> str:
    """Delete a port that a server left behind; return why that cannot be, or "".

    Neutron (seen: 29) lets a project delete no port whose owner is a server, even one that is gone. But a project may
    take that owner from a port of its own, and then delete it. The server's id stays: by it the port is found again
    where the deletion fails.
    """
    path = f"/ports/{port}"
    answer = door.call(NETWORK, "DELETE", path, fine=(404, FORBIDDEN))
    if answer.status == FORBIDDEN:
        nobodys: Json = {"port": {"device_owner": ""}}
        answer = door.call(NETWORK, "PUT", path, json=nobodys, fine=(404, FORBIDDEN))
        if answer.status < 400:
            answer = door.call(NETWORK, "DELETE", path, fine=(404, FORBIDDEN))
    return message_of(answer.body.decode(errors="replace")) or "forbidden" if answer.status == FORBIDDEN else ""


def _of(door: Door, server: ServerId, installation: InstallationId) -> list[RawFloatingIp]:
    description = description_of(installation, server)
    found: list[RawFloatingIp] = listed(door, NETWORK, "/floatingips", "floatingips", {"description": description})
    # A Neutron that does not know this filter answers with everything.
    return [one for one in found if one.get("description") == description]
