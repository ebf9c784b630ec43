"""The servers of a region: Nova's verbs.

Every server that ever was is kept in `rows`, so that a test can ask afterwards what happened when.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from nodepool_ng.sim.calls import Call, Fate
from nodepool_ng.sim.fabric import Fabric
from nodepool_ng.sim.gate import Gate
from nodepool_ng.sim.ids import new_id
from nodepool_ng.sim.images import Images
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import NEVER, Address, Caller, Server, ServerAsk, ServerFault, Status
from nodepool_ng.sim.settings import Capacity, Fault, Flavor
from nodepool_ng.sim.volumes import Volumes

NO_ROOM = "No valid host was found. There are not enough hosts available."
NO_NETWORK = "Build aborted: Failed to allocate the network(s), not rescheduling."
LONGEST_METADATA = 255  # characters, of a key and of a value, as in Nova
RESOURCES = ("instances", "cores", "ram")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a project may use and does use; ram in MiB, -1 is unlimited."""

    limits: Mapping[str, int]
    used: Mapping[str, int]


class Servers:
    """All servers of a region, those that exist and those that did."""

    def __init__(self, gate: Gate, images: Images, fabric: Fabric, volumes: Volumes) -> None:
        self._gate = gate
        self._images = images
        self._fabric = fabric
        self._volumes = volumes
        self.rows: dict[str, Server] = {}
        self.live: dict[str, Server] = {}
        self._gone: list[str] = []
        self._used: dict[str, Counter[str]] = {}
        fabric.on_floating_change = self._show_addresses

    def create(self, caller: Caller, ask: ServerAsk, *, now: float) -> Server:
        """Begin a server; Refused as Nova and Neutron would, 403 for quota."""
        with self._gate.passing(Call.SERVER_CREATE, now) as fault:
            self._check(caller, ask, now)
            server = self._begin(caller, ask, fault, now)
            if fault is not None and fault.fate is Fate.TWICE:
                self._begin(caller, ask, None, now, twin_of=server.id)
            return server

    def list(self, caller: Caller, *, now: float, changed_since: float | None = None) -> tuple[Server, ...]:
        """Return the servers of the caller's project, newest first.

        With changed_since: those that changed at or after this time, whole seconds as Nova keeps them,
        and among them the deleted.
        """
        with self._gate.passing(Call.SERVER_LIST, now):
            if changed_since is None:
                return tuple(each for each in reversed(self.live.values()) if each.caller.project == caller.project)
            return tuple(self._changed(caller, changed_since, now))

    def get(self, caller: Caller, server_id: str, *, now: float) -> Server:
        """Return one server."""
        with self._gate.passing(Call.SERVER_GET, now):
            return self._own(caller, server_id)

    def set_metadata(
        self, caller: Caller, server_id: str, metadata: Mapping[str, str], *, now: float, keep: bool = True
    ) -> Server:
        """Add to a server's metadata, or replace them when the old are not to be kept."""
        with self._gate.passing(Call.SERVER_UPDATE, now):
            server = self._own(caller, server_id)
            _check_metadata(metadata)
            merged = {**(server.metadata if keep else {}), **metadata}
            return self._put(replace(server, metadata=merged, changed=now))

    def delete(self, caller: Caller, server_id: str, *, now: float) -> None:
        """Begin to delete a server; asking again is harmless, and restarts a deletion that was stuck."""
        with self._gate.passing(Call.SERVER_DELETE, now) as fault:
            server = self._own(caller, server_id)
            if server.gone < NEVER:
                return
            fate = fault.fate if fault is not None else None
            took = self._gate.settings.delete.draw(self._gate.rng)
            gone = NEVER if fate is Fate.STUCK else now + took
            settles = server.settles if server.settles <= now else NEVER
            asked = min(server.delete_asked, now)
            self._put(replace(server, settles=settles, delete_asked=asked, gone=gone))
            if gone < NEVER:
                self._gate.at(gone, partial(self._end, server_id, left=fate))

    def console(self, caller: Caller, server_id: str, *, now: float) -> str:
        """Return what the server printed while booting."""
        with self._gate.passing(Call.SERVER_CONSOLE, now):
            server = self._own(caller, server_id)
            if server.status(now) is not Status.ACTIVE:
                raise Refused(409, f"Instance {server_id} is not ready")
            return f"{server.name} login: booted in {server.settles - server.created:.1f} s\n"

    def limits(self, caller: Caller, *, now: float) -> Limits:
        """Return what the caller's project may use and does use."""
        with self._gate.passing(Call.LIMITS_GET, now):
            quota = self._gate.settings.quota
            used = self._used.get(caller.project, Counter())
            return Limits(
                limits={name: getattr(quota, name) for name in RESOURCES}, used={name: used[name] for name in RESOURCES}
            )

    def plant(self, caller: Caller, ask: ServerAsk, *, now: float, error: str | None = None) -> Server:
        """Put a booted server there, or one in ERROR: no call, no quota, no faults."""
        fault = None if error is None else ServerFault(code=500, message=error, at=now)
        server = self._enter(caller, ask, settles=now, fault=fault, now=now)
        return self._put(replace(server, planted=True))

    def fail(self, server_id: str, message: str, *, now: float) -> Server:
        """Let a server go to ERROR behind everybody's back."""
        server = self.live[server_id]
        fault = ServerFault(code=500, message=message, at=now)
        return self._put(replace(server, outcome=Status.ERROR, settles=now, fault=fault))

    def vanish(self, server_id: str, *, now: float) -> None:
        """Let a server be gone at once, as if somebody else had deleted it."""
        self._put(replace(self.live[server_id], delete_asked=now, gone=now))
        self._end(server_id)

    def flavor(self, flavor_id: str) -> Flavor:
        """Return a flavor by id; Refused 400 as in a create."""
        for flavor in self._gate.settings.flavors:
            if flavor.id == flavor_id:
                return flavor
        raise Refused(400, f"Flavor {flavor_id} could not be found.")

    def _check(self, caller: Caller, ask: ServerAsk, now: float) -> None:
        settings = self._gate.settings
        flavor = self.flavor(ask.flavor)
        if not 1 <= len(ask.name) <= 255:
            raise Refused(400, "Invalid input for field/attribute name: it must have 1 to 255 characters.")
        _check_metadata(ask.metadata or {})
        if ask.image is not None:
            self._images.usable(caller, ask.image, now=now)
        if ask.zone is not None and ask.zone not in settings.zones:
            raise Refused(400, "The requested availability zone is not available")
        if ask.key_name is not None and ask.key_name not in settings.key_pairs:
            raise Refused(400, "Invalid key_name provided.")
        known = {name for group in self._fabric.groups_of(caller.project) for name in (group.id, group.name)}
        for group in ask.security_groups:
            if group not in known:
                raise Refused(400, f"Unable to find security_group with name or id '{group}'")
        networks = self._networks(ask)
        for port_id in ask.ports:
            try:
                self._fabric.adoptable(caller, port_id)
            except Refused as refused:
                if refused.status != 404:
                    raise
                raise Refused(400, f"Port id {port_id} could not be found.") from refused
        self._check_quota(caller.project, flavor)
        if not self._fabric.room_for(caller.project, len(networks)):
            raise Refused(403, "Maximum number of ports exceeded")

    def _check_quota(self, project: str, flavor: Flavor) -> None:
        limits = self._gate.settings.quota
        used = self._used.get(project, Counter())
        wanted = _size(flavor)
        over = [name for name in RESOURCES if 0 <= getattr(limits, name) < used[name] + wanted[name]]
        if over:
            names = ", ".join(over)
            asked = ", ".join(str(wanted[name]) for name in over)
            had = ", ".join(str(used[name]) for name in over)
            allowed = ", ".join(str(getattr(limits, name)) for name in over)
            raise Refused(
                403, f"Quota exceeded for {names}: Requested {asked}, but already used {had} of {allowed} {names}"
            )

    def _networks(self, ask: ServerAsk) -> tuple[str, ...]:
        if ask.networks is not None or ask.ports:
            for network_id in ask.networks or ():
                if network_id not in self._fabric.networks:
                    raise Refused(400, f"Network {network_id} could not be found.")
            return ask.networks or ()
        own = tuple(network.id for network in self._fabric.networks.values() if not network.external)
        choice = own or tuple(network.id for network in self._fabric.networks.values() if network.open)
        if len(choice) > 1:
            raise Refused(409, "Multiple possible networks found, use a Network ID to be more specific.")
        return choice

    def _begin(
        self, caller: Caller, ask: ServerAsk, fault: Fault | None, now: float, twin_of: str | None = None
    ) -> Server:
        fate = fault.fate if fault is not None else None
        settles = NEVER if fate is Fate.STUCK else now + self._gate.settings.boot.draw(self._gate.rng)
        wrong: ServerFault | None = None
        if fault is not None and fate is Fate.ERROR:
            wrong = ServerFault(code=fault.status, message=fault.message, at=settles)
        elif not self._fits(self.flavor(ask.flavor)):
            wrong = ServerFault(code=500, message=NO_ROOM, at=settles)
        elif ask.volume_size is not None:
            refusal = self._volumes.refusal(caller.project, ask.volume_size)
            wrong = None if refusal is None else ServerFault(code=500, message=f"Build aborted: {refusal}", at=settles)
        server = self._enter(caller, ask, settles=settles, fault=wrong, now=now, plugged=fate is not Fate.NO_ADDRESS)
        return self._put(replace(server, answers_ssh=fate is not Fate.MUTE, twin_of=twin_of))

    def _enter(
        self,
        caller: Caller,
        ask: ServerAsk,
        *,
        settles: float,
        fault: ServerFault | None,
        now: float,
        plugged: bool = True,
    ) -> Server:
        flavor = self.flavor(ask.flavor)
        server = Server(
            id=new_id(self._gate.rng),
            ask=ask,
            caller=caller,
            flavor=flavor,
            zone=ask.zone or self._gate.settings.zones[0],
            metadata=dict(ask.metadata or {}),
            created=now,
            settles=settles,
            outcome=Status.ACTIVE if fault is None else Status.ERROR,
            fault=fault,
        )
        if fault is None and plugged and not self._plug(server, now):
            fault = ServerFault(code=500, message=NO_NETWORK, at=settles)
            server = replace(server, outcome=Status.ERROR, fault=fault)
        volumes: tuple[str, ...] = ()
        if fault is None and ask.volume_size is not None:
            volumes = (self._volumes.make(caller.project, ask.volume_size, server.id, ask.image, now=now).id,)
        self._used.setdefault(caller.project, Counter()).update(_size(flavor))
        return self._put(replace(server, addresses=self._addresses(server.id), volumes=volumes))

    def _plug(self, server: Server, now: float) -> bool:
        try:
            for network_id in self._networks(server.ask):
                self._fabric.plug(server.caller.project, network_id, server.id, up_from=server.settles, now=now)
            for port_id in server.ask.ports:
                self._fabric.adopt(server.caller, port_id, server.id, up_from=server.settles)
        except Refused:  # the network has no address left, as clouds find out only while they build
            self._fabric.unplug(server.id, now=now)
            return False
        return True

    def _fits(self, flavor: Flavor) -> bool:
        capacity = self._gate.settings.capacity
        if capacity == Capacity():
            return True
        used: Counter[str] = sum(self._used.values(), Counter())
        wanted = _size(flavor)
        return not any(0 <= getattr(capacity, name) < used[name] + wanted[name] for name in RESOURCES)

    def _end(self, server_id: str, *, left: Fate | None = None) -> None:
        server = self.live.pop(server_id, None)
        if server is None:
            return
        self._gone.append(server_id)
        self._fabric.unplug(server_id, now=server.gone, leave=left is Fate.PORT_LEFT)
        for volume_id in server.volumes:
            self._volumes.end(volume_id, leave=left is Fate.VOLUME_LEFT)
        self._used[server.caller.project].subtract(_size(server.flavor))

    def _addresses(self, server_id: str) -> tuple[Address, ...]:
        found: list[Address] = []
        for port in self._fabric.ports_of(server_id):
            name = self._fabric.networks[port.network].name
            found += [
                Address(network=name, address=fixed.address, mac=port.mac, version=fixed.version)
                for fixed in port.fixed
            ]
            found += [
                Address(network=name, address=floating.address, mac=port.mac, floating=True)
                for floating in self._fabric.floating_of(port.id)
            ]
        return tuple(found)

    def _show_addresses(self, server_id: str, now: float) -> None:
        server = self.live.get(server_id)
        if server is not None:
            self._put(replace(server, addresses=self._addresses(server_id), changed=now))

    def _changed(self, caller: Caller, since: float, now: float) -> Iterator[Server]:
        for server in reversed(self.live.values()):
            if server.caller.project == caller.project and math.floor(server.updated(now)) >= since:
                yield server
        for server_id in reversed(self._gone):
            server = self.rows[server_id]
            if math.floor(server.gone) < since:
                return
            if server.caller.project == caller.project:
                yield server

    def _own(self, caller: Caller, server_id: str) -> Server:
        server = self.live.get(server_id)
        if server is None or server.caller.project != caller.project:
            raise Refused(404, f"Instance {server_id} could not be found.")
        return server

    def _put(self, server: Server) -> Server:
        self.rows[server.id] = server
        self.live[server.id] = server
        return server


def _size(flavor: Flavor) -> dict[str, int]:
    return {"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram}


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if len(key) > LONGEST_METADATA or len(value) > LONGEST_METADATA:
            raise Refused(400, f"Invalid input for field/attribute {key}: it is longer than 255 characters.")
