"""The volumes of a region: only as much of Cinder as boot volumes and their quota need."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.gate import Gate
from nodepool_ng.sim.ids import new_id
from nodepool_ng.sim.refused import not_found
from nodepool_ng.sim.server import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A boot volume; size in GiB, created in seconds. `server` is "" once that is gone and left the volume."""

    id: str
    project: str
    size: int
    server: str
    image: str | None
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLimits:
    """What a project may use and does use; sizes in GiB."""

    volumes: int
    gigabytes: int
    volumes_used: int
    gigabytes_used: int


class Volumes:
    """All volumes of a region."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.rows: dict[str, Volume] = {}

    def list(self, caller: Caller, *, now: float) -> tuple[Volume, ...]:
        """Return the volumes of the caller's project."""
        with self._gate.passing(Call.VOLUME_LIST, now):
            return self._of(caller.project)

    def get(self, caller: Caller, volume_id: str, *, now: float) -> Volume:
        """Return one volume."""
        with self._gate.passing(Call.VOLUME_GET, now):
            return self._own(caller, volume_id)

    def delete(self, caller: Caller, volume_id: str, *, now: float) -> None:
        """Delete a volume at once."""
        with self._gate.passing(Call.VOLUME_DELETE, now):
            del self.rows[self._own(caller, volume_id).id]

    def limits(self, caller: Caller, *, now: float) -> VolumeLimits:
        """Return the caller's limits and use."""
        with self._gate.passing(Call.VOLUME_LIMITS_GET, now):
            return self._limits(caller.project)

    def refusal(self, project: str, size: int) -> str | None:
        """Return why no volume of this size can be made for a project, in the cloud's words; None when it can."""
        limits = self._limits(project)
        if 0 <= limits.volumes <= limits.volumes_used:
            return (
                f"VolumeLimitExceeded: Maximum number of volumes allowed ({limits.volumes}) exceeded "
                "for quota 'volumes'."
            )
        if 0 <= limits.gigabytes < limits.gigabytes_used + size:
            return (
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
                f"Requested {size}G, quota is {limits.gigabytes}G and {limits.gigabytes_used}G has been consumed."
            )
        return None

    def make(self, project: str, size: int, server: str, image: str | None, *, now: float) -> Volume:
        """Make a boot volume for a server."""
        volume = Volume(id=new_id(self._gate.rng), project=project, size=size, server=server, image=image, created=now)
        self.rows[volume.id] = volume
        return volume

    def end(self, volume_id: str, *, leave: bool) -> None:
        """Delete a volume with its server; with `leave` it stays, at no server any more."""
        volume = self.rows.pop(volume_id, None)
        if volume is not None and leave:
            self.rows[volume_id] = replace(volume, server="")

    def _of(self, project: str) -> tuple[Volume, ...]:
        return tuple(volume for volume in self.rows.values() if volume.project == project)

    def _own(self, caller: Caller, volume_id: str) -> Volume:
        volume = self.rows.get(volume_id)
        if volume is None or volume.project != caller.project:
            raise not_found("Volume", volume_id)
        return volume

    def _limits(self, project: str) -> VolumeLimits:
        quota = self._gate.settings.quota
        own = self._of(project)
        return VolumeLimits(
            volumes=quota.volumes,
            gigabytes=quota.gigabytes,
            volumes_used=len(own),
            gigabytes_used=sum(volume.size for volume in own),
        )
