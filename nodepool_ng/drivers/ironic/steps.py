"""From an allocation to a machine that is being deployed: ports, what to deploy, the order to do so.

Each step is looked at before it is taken, so all of it may be broken off anywhere and begun again by anybody. The last
one changes the machine's state, which ends it.
"""

from dataclasses import dataclass

from nodepool_ng.drivers import Misconfigured, Refused, ServerOrder, Unavailable
from nodepool_ng.drivers.ironic.bodies import config_drive, instance_patch, port_body, port_mark
from nodepool_ng.drivers.ironic.machines import said_of
from nodepool_ng.drivers.ironic.states import AVAILABLE, MANAGEABLE
from nodepool_ng.drivers.ironic.wire import RawMachine
from nodepool_ng.drivers.openstack.calls import BARE_METAL, NETWORK, Answer, Door, listed
from nodepool_ng.drivers.openstack.wire import RawPort
from nodepool_ng.model.ids import InstallationId, Json, ServerId
from nodepool_ng.model.settings import Machine

LOCKED = 409
"""Ironic is doing something else with the machine at the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """All that a deployment takes; networks are ids, `image` the keys that name it."""

    order: ServerOrder
    server: ServerId
    machine: Machine
    image: dict[str, Json]
    networks: tuple[str, ...]


def deploy(door: Door, machine: RawMachine, wanted: Deployment) -> None:
    """Take the steps that are left. Raises Unavailable while Ironic is busy with the machine, Refused when it cannot be
    deployed to, NoCapacity when the networks have no port left."""
    if machine.get("instance_uuid") != wanted.server or machine.get("provision_state") != AVAILABLE:
        if machine.get("instance_uuid") == wanted.server and machine.get("provision_state") == MANAGEABLE:
            raise Refused(f"somebody works on the machine: {said_of(machine)}")
        return  # it went on already, or is nobody's any more
    if machine.get("maintenance"):
        raise Refused(f"the machine cannot be deployed to: {said_of(machine)}")
    node = f"/nodes/{machine['uuid']}"
    if wanted.networks:
        _plug(door, node, wanted)
    patch: Json = instance_patch(wanted.order, wanted.server, wanted.machine, wanted.image)
    ask(door, "PATCH", node, patch)
    body: dict[str, Json] = {"target": "active"}
    if wanted.order.config_drive is not False:
        body["configdrive"] = config_drive(wanted.order, wanted.server, wanted.machine)
    ask(door, "PUT", f"{node}/states/provision", body)


def undeploy(door: Door, machine: RawMachine) -> None:
    """Ask for the end of a deployment; Ironic deletes the allocation and cleans the machine."""
    ask(door, "PUT", f"/nodes/{machine['uuid']}/states/provision", {"target": "deleted"})


def withdraw(door: Door, machine: RawMachine, server: ServerId, installation: InstallationId | None) -> None:
    """Give back a machine to which nothing was deployed, without what was written and plugged for that. There are ports
    only where the installation is given that they were made for."""
    node = f"/nodes/{machine['uuid']}"
    if installation is not None:
        for port in ports_of(door, installation, server):
            ask(door, "DELETE", f"{node}/vifs/{port['id']}", fine=(400, 404))
            door.call(NETWORK, "DELETE", f"/ports/{port['id']}", fine=(404,))
    ask(door, "PATCH", node, [{"op": "add", "path": "/instance_info", "value": {}}])
    ask(door, "DELETE", f"/allocations/{server}", fine=(404,))


def ask(door: Door, method: str, path: str, body: Json = None, fine: tuple[int, ...] = ()) -> Answer:
    """Make a call that changes a machine; raise Unavailable where Ironic is busy with it."""
    answer = door.call(BARE_METAL, method, path, json=body, fine=(*fine, LOCKED))
    if answer.status == LOCKED and LOCKED not in fine:
        raise Unavailable(f"{answer.subject}: Ironic is busy with the machine")
    return answer


def ports_of(door: Door, installation: InstallationId, server: ServerId | str) -> list[RawPort]:
    """Return the ports that were made for a server of ours."""
    mark = f"{port_mark(installation)}{server}"
    found: list[RawPort] = listed(door, NETWORK, "/ports", "ports", {"description": mark})
    # A Neutron that does not know this filter answers with everything.
    return [port for port in found if port.get("description") == mark]


def _plug(door: Door, node: str, wanted: Deployment) -> None:
    if not door.has(NETWORK):
        raise Misconfigured(f"label {wanted.order.label.name}: the cloud has no Neutron for its networks")
    there = {
        port.get("network_id"): port["id"] for port in ports_of(door, wanted.order.marks.installation, wanted.server)
    }
    for network in wanted.networks:
        if network not in there:
            made: RawPort = door.call(
                NETWORK, "POST", "/ports", json=port_body(wanted.order, wanted.server, network)
            ).member("port")
            there[network] = made["id"]
    plugged = {vif["id"] for vif in door.call(BARE_METAL, "GET", f"{node}/vifs").member("vifs")}
    for network in wanted.networks:
        if there[network] not in plugged:
            ask(door, "POST", f"{node}/vifs", {"id": there[network]})
