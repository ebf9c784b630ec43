"""Servers and flavors as Nova writes them, and the store of what has been written already.

A server is written once for each thing it becomes; a list of a thousand is then the joining of a thousand byte
strings.
"""

from __future__ import annotations

import json
from hashlib import sha224
from typing import Any

from nodepool_ng.sim.http.site import iso
from nodepool_ng.sim.server import Address, Server, Status
from nodepool_ng.sim.settings import Flavor

EMBEDDED_FLAVOR = (2, 47)  # since this microversion a server shows its flavor's content, not its id
EXTRA_SPECS = (2, 61)  # since this one flavors come with their extra specs

POWER = {Status.BUILD: 0, Status.ACTIVE: 1, Status.ERROR: 0, Status.DELETED: 0}
VM_STATE = {
    Status.BUILD: "building",
    Status.ACTIVE: "active",
    Status.ERROR: "error",
    Status.DELETED: "deleted",
}


class Written:
    """The JSON of servers, kept until a server becomes something else."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool], tuple[Server, Status, bytes]] = {}

    def of(self, server: Server, *, now: float, embedded: bool, here: str) -> bytes:
        """Return one server's JSON."""
        key = (server.id, embedded)
        status = server.status(now)
        kept = self._kept.get(key)
        # A server is replaced by another object when somebody changes it; the rest of its life is in its status.
        if kept is not None and kept[0] is server and kept[1] is status:
            return kept[2]
        raw = json.dumps(server_json(server, now=now, embedded=embedded, here=here)).encode()
        if status is Status.DELETED:
            self._kept.pop(key, None)
        else:
            self._kept[key] = (server, status, raw)
        return raw

    def forget(self, server_id: str) -> None:
        """Drop what is kept of a server that is being deleted."""
        for embedded in (False, True):
            self._kept.pop((server_id, embedded), None)


def server_json(server: Server, *, now: float, embedded: bool, here: str) -> dict[str, object]:
    """Return a server as `GET /servers/{id}` shows it."""
    status = server.status(now)
    booted = status is Status.ACTIVE
    shown: dict[str, object] = {
        "id": server.id,
        "name": server.name,
        "status": status.value,
        "tenant_id": server.caller.project,
        "user_id": server.caller.user,
        "metadata": server.metadata,
        "hostId": sha224(server.id.encode()).hexdigest() if booted else "",
        "image": _image(server),
        "flavor": _embedded(server.flavor) if embedded else {"id": server.flavor.id, "links": []},
        "created": iso(server.created),
        "updated": iso(server.updated(now)),
        "addresses": _addresses(server.addresses) if booted else {},
        "accessIPv4": "",
        "accessIPv6": "",
        "links": [{"rel": "self", "href": f"{here}/servers/{server.id}"}],
        "OS-DCF:diskConfig": "MANUAL",
        "progress": 100 if booted else 0,
        "OS-EXT-AZ:availability_zone": server.zone,
        "config_drive": "True" if server.ask.config_drive else "",
        "key_name": server.ask.key_name,
        "OS-SRV-USG:launched_at": iso(server.settles)[:-1] if booted else None,
        "OS-SRV-USG:terminated_at": iso(server.gone)[:-1] if status is Status.DELETED else None,
        "OS-EXT-STS:task_state": server.task(now),
        "OS-EXT-STS:vm_state": VM_STATE[status],
        "OS-EXT-STS:power_state": POWER[status],
        "os-extended-volumes:volumes_attached": [
            {"id": volume, "delete_on_termination": True} for volume in server.volumes
        ],
        "security_groups": [{"name": name} for name in server.ask.security_groups],
    }
    if status is Status.DELETED:
        shown["metadata"] = {}  # Nova deletes them with the server
        for word in ("progress", "security_groups"):
            del shown[word]
    if status is Status.ERROR and server.fault is not None:
        fault = server.fault
        shown["fault"] = {"code": fault.code, "message": fault.message, "created": iso(fault.at)}
    if embedded:
        shown |= {
            "description": None,
            "locked": False,
            "tags": [],
            "trusted_image_certificates": None,
        }
    return shown


def flavor_json(flavor: Flavor, *, here: str, extra_specs: bool) -> dict[str, Any]:
    """Return a flavor as `GET /flavors/detail` shows it."""
    shown: dict[str, Any] = {
        "id": flavor.id,
        "name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "swap": "",  # a number only since microversion 2.75, which we do not know
        "rxtx_factor": 1.0,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
        "links": [{"rel": "self", "href": f"{here}/flavors/{flavor.id}"}],
    }
    if extra_specs:
        shown |= {"extra_specs": dict(flavor.extra_specs), "description": None}
    return shown


def _image(server: Server) -> object:
    if server.ask.image is None or server.ask.volume_size is not None:
        return ""
    return {"id": server.ask.image, "links": []}


def _embedded(flavor: Flavor) -> dict[str, object]:
    return {
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "ephemeral": 0,
        "swap": 0,
        "extra_specs": dict(flavor.extra_specs),
    }


def _addresses(addresses: tuple[Address, ...]) -> dict[str, list[dict[str, object]]]:
    by_network: dict[str, list[dict[str, object]]] = {}
    for each in addresses:
        by_network.setdefault(each.network, []).append(
            {
                "addr": each.address,
                "version": each.version,
                "OS-EXT-IPS:type": "floating" if each.floating else "fixed",
                "OS-EXT-IPS-MAC:mac_addr": each.mac,
            }
        )
    return by_network
