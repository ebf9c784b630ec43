"""Cinder's calls, as far as boot volumes and quota need them."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.http.door import Reply, Row, Visit, answer, paged, routes
from nodepool_ng.sim.http.nova import complaint
from nodepool_ng.sim.http.site import Site, iso
from nodepool_ng.sim.volumes import Volume


def cinder(site: Site) -> list[Route]:
    """Return Cinder's routes for all regions."""
    rows: tuple[Row, ...] = (
        ("GET", "/limits", Call.VOLUME_LIMITS_GET, _limits),
        ("GET", "/volumes/detail", Call.VOLUME_LIST, _list),
        ("GET", "/volumes", Call.VOLUME_LIST, _list),
        ("GET", "/volumes/{id}", Call.VOLUME_GET, _get),
        ("DELETE", "/volumes/{id}", Call.VOLUME_DELETE, _delete),
    )
    return routes(site, "volume/v3", rows, complaint, {})


def _volume_json(volume: Volume) -> dict[str, Any]:
    attached = {"server_id": volume.server, "volume_id": volume.id, "id": volume.id, "device": "/dev/vda"}
    return {
        "id": volume.id,
        "name": "",
        "size": volume.size,
        "status": "in-use" if volume.server else "available",
        "bootable": "true",
        "availability_zone": "nova",
        "created_at": iso(volume.created)[:-1],
        "attachments": [attached] if volume.server else [],
        "metadata": {},
        "volume_image_metadata": {"image_id": volume.image} if volume.image else {},
        "os-vol-tenant-attr:tenant_id": volume.project,
    }


def _limits(visit: Visit) -> Reply:
    limits = visit.region.volumes.limits(visit.caller, now=visit.now)
    absolute = {
        "maxTotalVolumes": limits.volumes,
        "maxTotalVolumeGigabytes": limits.gigabytes,
        "totalVolumesUsed": limits.volumes_used,
        "totalGigabytesUsed": limits.gigabytes_used,
        "maxTotalSnapshots": 10,
        "totalSnapshotsUsed": 0,
        "maxTotalBackups": 10,
        "totalBackupsUsed": 0,
        "maxTotalBackupGigabytes": 1000,
        "totalBackupGigabytesUsed": 0,
    }
    return answer({"limits": {"rate": [], "absolute": absolute}})


def _list(visit: Visit) -> Reply:
    volumes = visit.region.volumes.list(visit.caller, now=visit.now)
    shown = paged(visit, [_volume_json(volume) for volume in volumes])
    return answer({"volumes": shown}, items=len(shown))


def _get(visit: Visit) -> Reply:
    return answer({"volume": _volume_json(visit.region.volumes.get(visit.caller, visit.path["id"], now=visit.now))})


def _delete(visit: Visit) -> Reply:
    visit.region.volumes.delete(visit.caller, visit.path["id"], now=visit.now)
    return Reply(status=202)
