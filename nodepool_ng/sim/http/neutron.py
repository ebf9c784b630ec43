"""Neutron's calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.routing import Route

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.http.door import Reply, Row, Visit, answer, member, not_admitted, paged, routes
from nodepool_ng.sim.http.site import Site, iso
from nodepool_ng.sim.network import FloatingIp, Network, Port, SecurityGroup, Subnet
from nodepool_ng.sim.refused import Refused

Shown = dict[str, Any]
EXTENSIONS = ("router", "external-net", "security-group", "quotas", "quota_details", "provider", "port-security")


def neutron(site: Site) -> list[Route]:
    """Return Neutron's routes for all regions."""
    rows: tuple[Row, ...] = (
        ("GET", "/networks", Call.NETWORK_LIST, _networks),
        ("GET", "/networks/{id}", Call.NETWORK_GET, _network),
        ("GET", "/subnets", Call.SUBNET_LIST, _subnets),
        ("GET", "/subnets/{id}", Call.SUBNET_LIST, _subnet),
        ("GET", "/ports", Call.PORT_LIST, _ports),
        ("POST", "/ports", Call.PORT_CREATE, _create_port),
        ("GET", "/ports/{id}", Call.PORT_GET, _port),
        ("PUT", "/ports/{id}", Call.PORT_UPDATE, _update_port),
        ("DELETE", "/ports/{id}", Call.PORT_DELETE, _delete_port),
        ("GET", "/floatingips", Call.FLOATING_LIST, _floating_ips),
        ("POST", "/floatingips", Call.FLOATING_CREATE, _create_floating_ip),
        ("GET", "/floatingips/{id}", Call.FLOATING_GET, _floating_ip),
        ("PUT", "/floatingips/{id}", Call.FLOATING_UPDATE, _update_floating_ip),
        ("DELETE", "/floatingips/{id}", Call.FLOATING_DELETE, _delete_floating_ip),
        ("GET", "/security-groups", Call.GROUP_LIST, _groups),
        ("POST", "/security-groups", Call.GROUP_CREATE, _create_group),
        ("GET", "/security-groups/{id}", Call.GROUP_GET, _group),
        ("DELETE", "/security-groups/{id}", Call.GROUP_DELETE, _delete_group),
        ("GET", "/routers", Call.ROUTER_LIST, _routers),
        ("GET", "/extensions", Call.EXTENSION_LIST, _extensions),
        ("GET", "/quotas/{id}", Call.NETWORK_QUOTA_GET, _quota),
        ("GET", "/quotas/{id}/details.json", Call.NETWORK_QUOTA_GET, _quota_details),
        ("GET", "/quotas/{id}/details", Call.NETWORK_QUOTA_GET, _quota_details),
    )
    return routes(site, "network/v2.0", rows, complaint, {})


def complaint(refused: Refused) -> bytes:
    """Return Neutron's form of an error."""
    if refused.status == 401:
        return not_admitted(refused)
    return json.dumps({"NeutronError": {"type": "SimulatedError", "message": refused.message, "detail": ""}}).encode()


def matching(rows: Iterable[Shown], query: Mapping[str, tuple[str, ...]]) -> list[Shown]:
    """Return the things whose fields are as the query wants; parameters that are no field are ignored."""
    wanted = {key: {value.lower() for value in values} for key, values in query.items()}
    return [row for row in rows if all(str(row[key]).lower() in values for key, values in wanted.items() if key in row)]


def _list(visit: Visit, plural: str, rows: Iterable[Shown]) -> Reply:
    shown = paged(visit, matching(rows, visit.query))
    return answer({plural: shown}, items=len(shown))


def _common(project: str) -> Shown:
    return {"project_id": project, "tenant_id": project, "description": "", "tags": [], "revision_number": 1}


def _network_json(network: Network) -> Shown:
    return {
        **_common(""),
        "id": network.id,
        "name": network.name,
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": network.shared,
        "router:external": network.external,
        "subnets": [subnet.id for subnet in network.subnets],
        "availability_zones": [],
        "port_security_enabled": True,
        "mtu": 1500,
    }


def _subnet_json(subnet: Subnet) -> Shown:
    return {
        **_common(""),
        "id": subnet.id,
        "name": subnet.name,
        "network_id": subnet.network,
        "cidr": subnet.cidr,
        "ip_version": subnet.version,
        "gateway_ip": subnet.gateway,
        "enable_dhcp": True,
        "dns_nameservers": [],
        "host_routes": [],
        "allocation_pools": [],
    }


def _port_json(port: Port, now: float) -> Shown:
    return {
        **_common(port.project),
        "id": port.id,
        "name": port.name,
        "description": port.description,
        "network_id": port.network,
        "status": port.status(now),
        "admin_state_up": True,
        "mac_address": port.mac,
        "device_id": port.device,
        "device_owner": port.device_owner,
        "fixed_ips": [{"subnet_id": fixed.subnet, "ip_address": fixed.address} for fixed in port.fixed],
        "security_groups": [],
        "created_at": iso(port.created),
        "updated_at": iso(port.created),
    }


def _floating_json(floating: FloatingIp) -> Shown:
    return {
        **_common(floating.project),
        "id": floating.id,
        "description": floating.description,
        "floating_network_id": floating.network,
        "floating_ip_address": floating.address,
        "fixed_ip_address": floating.fixed,
        "port_id": floating.port,
        "router_id": None,
        "status": floating.status,
        "created_at": iso(floating.created),
        "updated_at": iso(floating.created),
    }


def _group_json(group: SecurityGroup) -> Shown:
    return {
        **_common(group.project),
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "security_group_rules": [],
        "stateful": True,
    }


def _one(name: str, shown: Shown, status: int = 200) -> Reply:
    return answer({name: shown}, status=status)


def _networks(visit: Visit) -> Reply:
    networks = visit.region.fabric.list_networks(visit.caller, now=visit.now)
    return _list(visit, "networks", map(_network_json, networks))


def _network(visit: Visit) -> Reply:
    return _one(
        "network", _network_json(visit.region.fabric.get_network(visit.caller, visit.path["id"], now=visit.now))
    )


def _subnets(visit: Visit) -> Reply:
    subnets = visit.region.fabric.list_subnets(visit.caller, now=visit.now)
    return _list(visit, "subnets", map(_subnet_json, subnets))


def _subnet(visit: Visit) -> Reply:
    for subnet in visit.region.fabric.list_subnets(visit.caller, now=visit.now):
        if subnet.id == visit.path["id"]:
            return _one("subnet", _subnet_json(subnet))
    raise Refused(404, f"Subnet {visit.path['id']} could not be found.")


def _ports(visit: Visit) -> Reply:
    ports = visit.region.fabric.list_ports(visit.caller, now=visit.now, device=visit.asked("device_id"))
    return _list(visit, "ports", (_port_json(port, visit.now) for port in ports))


def _port(visit: Visit) -> Reply:
    port = visit.region.fabric.get_port(visit.caller, visit.path["id"], now=visit.now)
    return _one("port", _port_json(port, visit.now))


def _create_port(visit: Visit) -> Reply:
    wanted = member(visit.body, "port")
    network, name = str(member(wanted, "network_id")), str(wanted.get("name") or "")
    told = {key: str(wanted.get(key) or "") for key in ("description", "device_owner")}
    device = str(wanted.get("device_id") or "")
    port = visit.region.fabric.create_port(visit.caller, network, name, now=visit.now, device=device, **told)
    return _one("port", _port_json(port, visit.now), 201)


def _update_port(visit: Visit) -> Reply:
    body = member(visit.body, "port")
    wanted = {"name": body.get("name"), "device": body.get("device_id"), "device_owner": body.get("device_owner")}
    port = visit.region.fabric.update_port(visit.caller, visit.path["id"], **wanted, now=visit.now)
    return _one("port", _port_json(port, visit.now))


def _delete_port(visit: Visit) -> Reply:
    visit.region.fabric.delete_port(visit.caller, visit.path["id"], now=visit.now)
    return Reply(status=204)


def _floating_ips(visit: Visit) -> Reply:
    rows = visit.region.fabric.list_floating_ips(visit.caller, now=visit.now)
    return _list(visit, "floatingips", map(_floating_json, rows))


def _floating_ip(visit: Visit) -> Reply:
    floating = visit.region.fabric.get_floating_ip(visit.caller, visit.path["id"], now=visit.now)
    return _one("floatingip", _floating_json(floating))


def _create_floating_ip(visit: Visit) -> Reply:
    wanted = member(visit.body, "floatingip")
    network = str(member(wanted, "floating_network_id"))
    floating = visit.region.fabric.create_floating_ip(
        visit.caller, network, wanted.get("port_id"), str(wanted.get("description") or ""), now=visit.now
    )
    return _one("floatingip", _floating_json(floating), 201)


def _update_floating_ip(visit: Visit) -> Reply:
    port = member(visit.body, "floatingip").get("port_id")
    floating = visit.region.fabric.update_floating_ip(visit.caller, visit.path["id"], port, now=visit.now)
    return _one("floatingip", _floating_json(floating))


def _delete_floating_ip(visit: Visit) -> Reply:
    visit.region.fabric.delete_floating_ip(visit.caller, visit.path["id"], now=visit.now)
    return Reply(status=204)


def _groups(visit: Visit) -> Reply:
    return _list(
        visit, "security_groups", map(_group_json, visit.region.fabric.list_groups(visit.caller, now=visit.now))
    )


def _group(visit: Visit) -> Reply:
    group = visit.region.fabric.get_group(visit.caller, visit.path["id"], now=visit.now)
    return _one("security_group", _group_json(group))


def _create_group(visit: Visit) -> Reply:
    wanted = member(visit.body, "security_group")
    name, description = str(member(wanted, "name")), str(wanted.get("description") or "")
    group = visit.region.fabric.create_group(visit.caller, name, description, now=visit.now)
    return _one("security_group", _group_json(group), 201)


def _delete_group(visit: Visit) -> Reply:
    visit.region.fabric.delete_group(visit.caller, visit.path["id"], now=visit.now)
    return Reply(status=204)


def _routers(visit: Visit) -> Reply:
    return answer({"routers": []})


def _extensions(visit: Visit) -> Reply:
    shown = [{"alias": alias, "name": alias, "description": "", "links": [], "updated": ""} for alias in EXTENSIONS]
    return answer({"extensions": shown})


def _used_and_limits(visit: Visit) -> dict[str, tuple[int, int]]:
    quota, use = visit.region.settings.quota, visit.region.fabric.use(visit.caller.project)
    return {
        "network": (0, quota.networks),
        "port": (use.ports, quota.ports),
        "floatingip": (use.floating_ips, quota.floating_ips),
        "security_group": (len(visit.region.fabric.groups_of(visit.caller.project)), quota.security_groups),
    }


def _quota(visit: Visit) -> Reply:
    return answer({"quota": {name: limit for name, (_, limit) in _used_and_limits(visit).items()}})


def _quota_details(visit: Visit) -> Reply:
    shown = {
        name: {"used": used, "limit": limit, "reserved": 0} for name, (used, limit) in _used_and_limits(visit).items()
    }
    return answer({"quota": shown})
