"""The door behind the counter: what the simulation knows, and ways to interfere with it.

It needs no token. `nodepool_ng.sim.client` speaks it; its answers are plain JSON with times in seconds since the
epoch, null for what has not happened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nodepool_ng.sim.http.door import Endpoint, member, rendered
from nodepool_ng.sim.http.glance import image_json
from nodepool_ng.sim.http.ironic import allocation_json, machine_json
from nodepool_ng.sim.http.nova import ask_of
from nodepool_ng.sim.http.site import Cloud, Site
from nodepool_ng.sim.images import Content
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Server
from nodepool_ng.sim.settings import Fault

Deed = Callable[[Cloud, Region, dict[str, str], Any, float], Any]
_FAULTS = TypeAdapter(tuple[Fault, ...])


def admin(site: Site) -> list[Route]:
    """Return the admin routes."""
    deeds: tuple[tuple[str, str, Deed], ...] = (
        ("GET", "/state", _state),
        ("GET", "/counters", _counters),
        ("DELETE", "/counters", _reset_counters),
        ("POST", "/settings", _change),
        ("POST", "/faults", _script),
        ("DELETE", "/faults", _forget_script),
        ("POST", "/servers", _plant_server),
        ("POST", "/servers/{id}/fail", _fail_server),
        ("DELETE", "/servers/{id}", _vanish_server),
        ("POST", "/images", _plant_image),
        ("POST", "/ports", _plant_port),
        ("POST", "/machines", _change_machine),
    )
    return [
        Route("/_sim", _overview(site)),
        *(
            Route(f"/_sim/{{cloud}}/{{region}}{path}", _endpoint(site, deed), methods=[verb])
            for verb, path, deed in deeds
        ),
    ]


def complaint(refused: Refused) -> bytes:
    """Return the admin door's form of an error."""
    return json.dumps({"message": refused.message}).encode()


def _endpoint(site: Site, deed: Deed) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        path = request.path_params
        try:
            raw = await request.body()
            body = json.loads(raw) if raw else {}
            cloud, region, now = site.cloud(path["cloud"]), site.region(path["cloud"], path["region"]), site.clock()
            region.gate.settle(now)
            return JSONResponse(deed(cloud, region, path, body, now))
        except ValueError as error:
            return rendered(Refused(400, str(error)), complaint)
        except Refused as refused:
            return rendered(refused, complaint)

    return endpoint


def _overview(site: Site) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        clouds = {
            name: {"projects": list(cloud.settings.projects), "regions": list(cloud.regions), "logins": cloud.logins}
            for name, cloud in site.clouds.items()
        }
        return JSONResponse({"clouds": clouds, "now": site.clock()})

    return endpoint


def _at(when: float | None) -> float | None:
    return when if when is not None and math.isfinite(when) else None


def server_state(server: Server, now: float) -> dict[str, object]:
    """Return a server with its history."""
    return {
        "id": server.id,
        "name": server.name,
        "status": server.status(now).value,
        "task": server.task(now),
        "project": server.caller.project,
        "user": server.caller.user,
        "metadata": dict(server.metadata),
        "flavor": server.flavor.name,
        "image": server.ask.image,
        "zone": server.zone,
        "addresses": [each.address for each in server.addresses],
        "created": server.created,
        "active": _at(server.active_at()),
        "delete_asked": _at(server.delete_asked),
        "deleted": _at(server.gone),
        "fault": server.fault.message if server.fault else None,
        "planted": server.planted,
        "twin_of": server.twin_of,
        "answers_ssh": server.answers_ssh,
    }


def _count(region: Region) -> dict[str, object]:
    gate = region.gate
    return {
        "calls": {call.value: count for call, count in gate.calls.items()},
        "refusals": {f"{call.value} {status}": count for (call, status), count in gate.refusals.items()},
    }


def _counters(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    return _count(region)


def _reset_counters(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    counted = _count(region)
    region.gate.calls.clear()
    region.gate.refusals.clear()
    return counted


def _state(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    fabric = region.fabric
    ssh = region.settings.ssh
    return {
        "now": now,
        "projects": {name: cloud.caller(name).project for name in cloud.settings.projects},
        "servers": [server_state(server, now) for server in region.servers.rows.values()],
        "images": [image_json(image, now) for image in region.images.rows.values()],
        "deleted_images": [{**image_json(image, now), "deleted": image.deleted} for image in region.images.deleted],
        "ports": [
            {
                "id": port.id,
                "project": port.project,
                "status": port.status(now),
                "device": port.device,
                "name": port.name,
                "device_owner": port.device_owner,
            }
            for port in fabric.ports.values()
        ],
        "floating_ips": [
            {"id": each.id, "project": each.project, "address": each.address, "port": each.port}
            for each in fabric.floating_ips.values()
        ],
        "volumes": [
            {"id": each.id, "project": each.project, "size": each.size, "server": each.server}
            for each in region.volumes.rows.values()
        ],
        "machines": [
            {
                **machine_json(each),
                "deployments": each.deployments,
                "vifs": each.vifs,
                "drive": each.config_drive,
            }
            for each in region.machines.rows.values()
        ],
        "allocations": [allocation_json(each) for each in region.machines.allocations.values()],
        "ssh_port": None if ssh is None else ssh.port,
        "settings": region.settings.model_dump(mode="json"),
        **_count(region),
    }


def _change(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    if not isinstance(body, dict):
        raise Refused(400, "Settings are a JSON object.")
    return region.change(body).model_dump(mode="json")


def _script(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    try:
        faults = _FAULTS.validate_python(member(body, "faults"))
    except ValidationError as error:
        raise Refused(400, error.errors()[0]["msg"]) from error
    region.gate.script(faults)
    return {"scripted": len(faults)}


def _forget_script(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    region.gate.forget_script()
    return {}


def _project(cloud: Cloud, body: Any) -> str:
    project = str(body.get("project") or cloud.settings.projects[0])
    if project not in cloud.settings.projects:
        raise Refused(400, f"The cloud {cloud.name} has no project {project}.")
    return project


def _plant_server(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    wanted = {"flavorRef": region.settings.flavors[0].id, **member(body, "server")}
    caller = cloud.caller(_project(cloud, body))
    return server_state(region.servers.plant(caller, ask_of(wanted), now=now, error=body.get("error")), now)


def _fail_server(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    _must_live(region, path["id"])
    return server_state(region.servers.fail(path["id"], str(member(body, "message")), now=now), now)


def _vanish_server(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    _must_live(region, path["id"])
    region.servers.vanish(path["id"], now=now)
    return server_state(region.servers.rows[path["id"]], now)


def _must_live(region: Region, server_id: str) -> None:
    if server_id not in region.servers.live:
        raise Refused(404, f"There is no server {server_id}.")


def _plant_image(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    content = Content(size=int(body.get("size", 1 << 30)), md5="0" * 32, sha512="0" * 128)
    project = cloud.caller(_project(cloud, body)).project
    return image_json(region.images.plant(project, member(body, "image"), content, now=now), now)


def _change_machine(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    member(body, "machine")
    return machine_json(region.machines.plant(body, now=now))


def _plant_port(cloud: Cloud, region: Region, path: dict[str, str], body: Any, now: float) -> Any:
    fabric = region.fabric
    wanted = str(body.get("network") or "")
    networks = [each.id for each in fabric.networks.values() if not wanted or wanted in (each.id, each.name)]
    if not networks:
        raise Refused(400, f"There is no network {wanted}.")
    project = cloud.caller(_project(cloud, body)).project
    name, owner = str(body.get("name") or ""), str(body.get("device_owner") or "")
    port = fabric.plant_port(project, networks[0], name, now=now, device_owner=owner)
    return {"id": port.id, "status": port.status(now)}
