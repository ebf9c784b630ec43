"""Volumes that servers boot from: what the loose ones use, and those that were left behind.

Nova makes a boot volume and deletes it with its server, but does not mark it, and does not look whether Cinder really
deleted it. So a volume is ours when a server of ours was once seen with it, as one that was to go with the server.
"""

from collections.abc import Iterable, Iterator, Set
from datetime import UTC, datetime

from nodepool_ng.drivers import MARK_INSTALLATION
from nodepool_ng.drivers.openstack.calls import VOLUME, Door, listed
from nodepool_ng.drivers.openstack.wire import RawServer, RawVolume
from nodepool_ng.model.ids import ServerId, Timestamp
from nodepool_ng.model.quota import NONE, VOLUME_GB, VOLUMES, Resources

LOOSE_AFTER = 600.0  # seconds; by then a volume is at its server, or was left behind
DELETABLE = frozenset({"available", "error", "error_deleting"})
"""What Cinder calls a volume that it would delete when asked."""


def loose(volumes: Iterable[RawVolume], now: Timestamp) -> Resources:
    """Return what volumes use that no server has. Young ones do not count: they are on their way to a server that
    boots, which counts with them already."""
    sizes = [volume.get("size", 0) for volume in volumes if _is_loose(volume, now)]
    return Resources({VOLUMES: len(sizes), VOLUME_GB: sum(sizes)}) if sizes else NONE


def bound(servers: Iterable[RawServer]) -> Iterator[tuple[str, ServerId]]:
    """Yield the volumes that are to go with servers of this software, with their servers. One that somebody attached
    by hand stays when the server goes, and is none of ours."""
    for server in servers:
        if MARK_INSTALLATION in (server.get("metadata") or {}):
            for volume in server.get("os-extended-volumes:volumes_attached") or ():
                if volume.get("delete_on_termination") is True:
                    yield volume["id"], ServerId(server["id"])


def sweep(door: Door, left: Set[str]) -> tuple[frozenset[str], int]:
    """Delete those of the volumes that are at no server, as far as Cinder lets us; return which ones were gone before,
    and how many were deleted. Whether these really go shows the next time."""
    found: list[RawVolume] = listed(door, VOLUME, "/volumes/detail", "volumes")
    there = [volume for volume in found if volume["id"] in left]
    free = [one for one in there if not one.get("attachments") and one.get("status") in DELETABLE]
    for volume in free:
        door.call(VOLUME, "DELETE", f"/volumes/{volume['id']}", fine=(404,))
    return frozenset(left - {volume["id"] for volume in there}), len(free)


def _is_loose(volume: RawVolume, now: Timestamp) -> bool:
    try:
        made = datetime.fromisoformat(volume.get("created_at", "")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        made = 0.0
    return not volume.get("attachments") and now - made > LOOSE_AFTER
