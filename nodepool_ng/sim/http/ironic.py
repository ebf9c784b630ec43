"""Ironic's calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.routing import Route

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.http.door import Handler, Reply, Row, Visit, answer, member, routes, whole
from nodepool_ng.sim.http.site import Site
from nodepool_ng.sim.machine import Allocation, Event, Machine
from nodepool_ng.sim.refused import Refused

HEADER = "x-openstack-ironic-api-version"
DEFAULT_PAGE = 1000
SINCE: Mapping[str, tuple[int, int]] = {
    "resource_class": (1, 21),
    "traits": (1, 37),
    "fault": (1, 42),
    "owner": (1, 50),
    "allocation_uuid": (1, 52),
    "retired": (1, 61),
    "lessee": (1, 65),
    "network_data": (1, 66),
}
"""Fields of machines that older versions do not know."""
ALLOCATIONS_SINCE, HISTORY_SINCE = (1, 52), (1, 78)


def ironic(site: Site) -> list[Route]:
    """Return Ironic's routes for all regions."""
    rows: tuple[Row, ...] = (
        ("GET", "/nodes", Call.MACHINE_LIST, _list),
        ("POST", "/nodes", Call.MACHINE_CREATE, _enroll),
        ("GET", "/nodes/{id}", Call.MACHINE_GET, _get),
        ("PATCH", "/nodes/{id}", Call.MACHINE_UPDATE, _patch),
        ("DELETE", "/nodes/{id}", Call.MACHINE_DELETE, _remove),
        ("PUT", "/nodes/{id}/states/provision", Call.MACHINE_PROVISION, _provision),
        ("PUT", "/nodes/{id}/states/power", Call.MACHINE_POWER, _power),
        ("GET", "/nodes/{id}/states/console", Call.MACHINE_GET, _console),
        ("PUT", "/nodes/{id}/maintenance", Call.MACHINE_MAINTENANCE, _maintain),
        ("DELETE", "/nodes/{id}/maintenance", Call.MACHINE_MAINTENANCE, _maintained),
        ("PUT", "/nodes/{id}/traits/{trait}", Call.MACHINE_UPDATE, _add_trait),
        ("GET", "/nodes/{id}/vifs", Call.VIF_LIST, _vifs),
        ("POST", "/nodes/{id}/vifs", Call.VIF_ATTACH, _attach),
        ("DELETE", "/nodes/{id}/vifs/{vif}", Call.VIF_DETACH, _detach),
        ("GET", "/nodes/{id}/history", Call.MACHINE_HISTORY, _history),
        ("GET", "/allocations", Call.ALLOCATION_LIST, _list_allocations),
        ("POST", "/allocations", Call.ALLOCATION_CREATE, _allocate),
        ("GET", "/allocations/{id}", Call.ALLOCATION_GET, _get_allocation),
        ("DELETE", "/allocations/{id}", Call.ALLOCATION_DELETE, _release),
    )
    checked = tuple((method, path, call, _spoken(handler)) for method, path, call, handler in rows)
    return routes(site, "baremetal/v1", checked, complaint, {})


def complaint(refused: Refused) -> bytes:
    """Return Ironic's form of an error: JSON within a text."""
    said = {"faultcode": "Client", "faultstring": refused.message, "debuginfo": None}
    return json.dumps({"error_message": json.dumps(said)}).encode()


def version_of(text: str) -> tuple[int, int]:
    """Return a version as two numbers; Refused 406."""
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise Refused(406, f"Invalid value for X-OpenStack-Ironic-API-Version: {text}")
    return int(major), int(minor)


def _spoken(handler: Handler) -> Handler:
    """Let a call in only in a version that the cloud speaks."""

    def checked(visit: Visit) -> Reply:
        newest = visit.region.settings.bare_metal.newest
        asked = _version(visit)
        if asked > version_of(newest):
            said = f"Version {'.'.join(map(str, asked))} was requested but the maximum that is supported is {newest}."
            raise Refused(406, said)
        return handler(visit)

    return checked


def _version(visit: Visit) -> tuple[int, int]:
    asked = visit.headers.get(HEADER) or "1.1"
    return version_of(visit.region.settings.bare_metal.newest if asked == "latest" else asked)


def _at(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def machine_json(machine: Machine) -> dict[str, Any]:
    """Return a machine with all that the simulation knows of it."""
    return {
        "uuid": machine.id,
        "name": machine.name,
        "driver": machine.driver,
        "provision_state": machine.state,
        "target_provision_state": machine.target,
        "power_state": machine.power,
        "maintenance": machine.maintenance,
        "maintenance_reason": machine.maintenance_reason,
        "fault": machine.fault,
        "last_error": machine.last_error,
        "resource_class": machine.resource_class,
        "traits": list(machine.traits),
        "owner": machine.owner,
        "lessee": machine.lessee,
        "retired": machine.retired,
        "instance_uuid": machine.instance,
        "allocation_uuid": machine.allocation,
        "instance_info": machine.instance_info,
        "extra": machine.extra,
        "properties": machine.properties,
        "network_data": machine.network_data,
        "created_at": _at(machine.created),
    }


def allocation_json(allocation: Allocation) -> dict[str, Any]:
    """Return an allocation as Ironic shows it."""
    return {
        "uuid": allocation.id,
        "name": allocation.name,
        "state": allocation.state,
        "node_uuid": allocation.machine,
        "last_error": allocation.last_error,
        "resource_class": allocation.resource_class,
        "traits": list(allocation.traits),
        "candidate_nodes": list(allocation.candidates),
        "extra": allocation.extra,
        "owner": allocation.owner,
        "created_at": _at(allocation.created),
        "updated_at": None,
    }


def _shown(visit: Visit, machine: Machine) -> dict[str, Any]:
    whole_machine, version = machine_json(machine), _version(visit)
    wanted = visit.asked("fields")
    if wanted is None:
        return {key: value for key, value in whole_machine.items() if SINCE.get(key, version) <= version}
    shown = {}
    for key in wanted.split(","):
        if key not in whole_machine:
            raise Refused(400, f'Field(s) "{key}" are not valid')
        if SINCE.get(key, version) > version:
            raise Refused(406, f"Field {key} is not acceptable in this version of the API.")
        shown[key] = whole_machine[key]
    return shown


def _paged(visit: Visit, plural: str, rows: list[dict[str, Any]], ids: list[str]) -> Reply:
    marker, limit = visit.asked("marker"), whole(visit.asked("limit"), visit.region.settings.page)
    if marker is not None and marker not in ids:
        raise Refused(400, f"Invalid marker {marker}.")
    first = 0 if marker is None else ids.index(marker) + 1
    size = min(limit, DEFAULT_PAGE) or DEFAULT_PAGE
    content: dict[str, Any] = {plural: rows[first : first + size]}
    if len(rows) > first + size:
        others = "".join(
            f"&{key}={values[-1]}" for key, values in visit.query.items() if key not in ("limit", "marker")
        )
        content["next"] = f"{visit.here}/{plural}?limit={size}&marker={ids[first + size - 1]}{others}"
    return answer(content, items=len(content[plural]))


def _list(visit: Visit) -> Reply:
    found = visit.region.machines.list(now=visit.now, instance=visit.asked("instance_uuid"))
    return _paged(visit, "nodes", [_shown(visit, each) for each in found], [each.id for each in found])


def _enroll(visit: Visit) -> Reply:
    if not isinstance(visit.body, Mapping):
        raise Refused(400, "A node is described by a JSON object.")
    return answer(machine_json(visit.region.machines.enroll(visit.body, now=visit.now)), status=201)


def _get(visit: Visit) -> Reply:
    return answer(_shown(visit, visit.region.machines.get(visit.path["id"], now=visit.now)))


def _patch(visit: Visit) -> Reply:
    if not isinstance(visit.body, list):
        raise Refused(400, "Changes are a JSON patch.")
    return answer(machine_json(visit.region.machines.patch(visit.path["id"], visit.body, now=visit.now)))


def _remove(visit: Visit) -> Reply:
    visit.region.machines.remove(visit.path["id"], now=visit.now)
    return Reply(status=204)


def _provision(visit: Visit) -> Reply:
    target, drive = str(member(visit.body, "target")), visit.body.get("configdrive")
    if isinstance(drive, Mapping) and _version(visit) < (1, 56):
        raise Refused(400, "Expected a string for configdrive in this version of the API.")
    visit.region.machines.provision(visit.path["id"], target, drive, now=visit.now)
    return Reply(status=202)


def _power(visit: Visit) -> Reply:
    visit.region.machines.set_power(visit.path["id"], str(member(visit.body, "target")), now=visit.now)
    return Reply(status=202)


def _console(visit: Visit) -> Reply:
    machine = visit.region.machines.get(visit.path["id"], now=visit.now)
    info = {"type": "socat", "url": f"tcp://192.0.2.1:{machine.console}"} if machine.console is not None else None
    return answer({"console_enabled": machine.console is not None, "console_info": info})


def _maintain(visit: Visit) -> Reply:
    reason = visit.body.get("reason") if isinstance(visit.body, Mapping) else None
    visit.region.machines.set_maintenance(visit.path["id"], True, reason, now=visit.now)
    return Reply(status=202)


def _maintained(visit: Visit) -> Reply:
    visit.region.machines.set_maintenance(visit.path["id"], False, None, now=visit.now)
    return Reply(status=202)


def _add_trait(visit: Visit) -> Reply:
    visit.region.machines.add_trait(visit.path["id"], visit.path["trait"], now=visit.now)
    return Reply(status=204)


def _vifs(visit: Visit) -> Reply:
    return answer({"vifs": [{"id": vif} for vif in visit.region.machines.vifs(visit.path["id"], now=visit.now)]})


def _attach(visit: Visit) -> Reply:
    visit.region.machines.attach(visit.path["id"], str(member(visit.body, "id")), now=visit.now)
    return Reply(status=204)


def _detach(visit: Visit) -> Reply:
    visit.region.machines.detach(visit.path["id"], visit.path["vif"], now=visit.now)
    return Reply(status=204)


def _history(visit: Visit) -> Reply:
    if _version(visit) < HISTORY_SINCE:
        raise Refused(404, "The API version does not allow node history")
    machine = visit.region.machines.get(visit.path["id"], now=visit.now)
    return answer({"history": [_event(event) for event in machine.events]})


def _event(event: Event) -> dict[str, Any]:
    return {
        "uuid": event.id,
        "created_at": _at(event.at),
        "event_type": event.type,
        "severity": event.severity,
        "event": event.text,
        "conductor": "simulated",
        "user": None,
    }


def _list_allocations(visit: Visit) -> Reply:
    _know_allocations(visit)
    found = visit.region.machines.list_allocations(now=visit.now)
    return _paged(visit, "allocations", [allocation_json(each) for each in found], [each.id for each in found])


def _allocate(visit: Visit) -> Reply:
    _know_allocations(visit)
    if not isinstance(visit.body, Mapping):
        raise Refused(400, "An allocation is described by a JSON object.")
    owner = visit.body.get("owner")
    return answer(allocation_json(visit.region.machines.allocate(visit.body, owner, now=visit.now)), status=201)


def _get_allocation(visit: Visit) -> Reply:
    _know_allocations(visit)
    return answer(allocation_json(visit.region.machines.get_allocation(visit.path["id"], now=visit.now)))


def _release(visit: Visit) -> Reply:
    _know_allocations(visit)
    visit.region.machines.release(visit.path["id"], now=visit.now)
    return Reply(status=204)


def _know_allocations(visit: Visit) -> None:
    if _version(visit) < ALLOCATIONS_SINCE:
        raise Refused(404, "The API version does not allow allocations")
