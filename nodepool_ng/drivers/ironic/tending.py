"""Machines of ours that failed to be undeployed or to clean, and ports that were left behind.

Ironic sets a machine aside when cleaning it fails. One that was last used by us is put to work again, a few times; then
it is left to an operator, and told of. That it was ours says a mark in its `extra`, which outlives the deployment. The
mark is taken away as soon as the machine is available again, or somebody else's.
"""

import logging
from collections.abc import Mapping
from typing import Any

from nodepool_ng.drivers import MARK_INSTALLATION, MARK_PROVIDER, DriverError, Swept
from nodepool_ng.drivers.ironic.bodies import MARK_ALLOCATION, OURS, RESCUES, RESCUING, marks_in, port_mark
from nodepool_ng.drivers.ironic.machines import name_of, said_of
from nodepool_ng.drivers.ironic.states import AVAILABLE, CLEAN_FAILED, ERROR, MANAGEABLE, OWN_FAULTS
from nodepool_ng.drivers.ironic.steps import ask
from nodepool_ng.drivers.ironic.wire import RawMachine
from nodepool_ng.drivers.openstack.calls import NETWORK, Door, listed
from nodepool_ng.drivers.openstack.wire import RawPort
from nodepool_ng.model.ids import InstallationId, Json, ProviderName

log = logging.getLogger("nodepool.driver.ironic")

BROKEN_OFF = frozenset({CLEAN_FAILED, ERROR})
"""How machines are whose return failed. In `error` is one that Ironic was undeploying when it died: it may have
forgotten by then whose the deployment was, so that no server stands for it any more."""


def ours(machine: RawMachine, installation: InstallationId | None, provider: ProviderName) -> Mapping[str, Any]:
    """Return the mark that we left on a machine; empty where there is none of this installation and provider."""
    mark = marks_in(machine.get("extra"))
    mine = installation in (None, mark.get(MARK_INSTALLATION)) and mark.get(MARK_PROVIDER) == provider
    return mark if mine else {}


def over(machine: RawMachine, mark: Mapping[str, Any]) -> bool:
    """Tell whether a mark says nothing any more: the machine can be had again, or is another's."""
    whose = machine.get("instance_uuid")
    if whose is not None:
        return bool(whose != mark.get(MARK_ALLOCATION))
    return machine.get("provision_state") == AVAILABLE and not machine.get("maintenance")


def needs_operator(machine: RawMachine, mark: Mapping[str, Any], most: int) -> bool:
    """Tell whether a machine of ours has failed and will not be put to work again by us."""
    if not mark or machine.get("instance_uuid") is not None:
        return False
    state = machine.get("provision_state")
    by_operator = bool(machine.get("maintenance")) and machine.get("fault") not in OWN_FAULTS
    stopped = state == MANAGEABLE and not mark.get(RESCUING)
    return by_operator or stopped or (state in BROKEN_OFF and int(mark.get(RESCUES) or 0) >= most)


def tend(
    door: Door, machines: list[RawMachine], installation: InstallationId, provider: ProviderName, most: int
) -> int:
    """Put machines of ours to work again that failed to clean, `most` times each, and drop marks that are over; return
    how many machines were put to work."""
    done = 0
    for machine in machines:
        mark = ours(machine, installation, provider)
        if not mark:
            continue
        try:
            if over(machine, mark):
                ask(door, "PATCH", f"/nodes/{machine['uuid']}", [{"op": "remove", "path": f"/extra/{OURS}"}])
            elif machine.get("instance_uuid") is None and not needs_operator(machine, mark, most):
                done += _to_work(door, machine, mark, most)
        except DriverError as error:
            log.warning("Machine %s cannot be put to work now: %s", name_of(machine), error)
    return done


def _to_work(door: Door, machine: RawMachine, mark: Mapping[str, Any], most: int) -> int:
    """Take a machine that failed to clean through `manageable` to another cleaning, or undeploy one once more. Counted
    before it is begun, so that it ends; and what was broken off in the middle goes on from there."""
    node, state = f"/nodes/{machine['uuid']}", machine.get("provision_state")
    count = int(mark.get(RESCUES) or 0)
    if state in BROKEN_OFF:
        log.warning("Trying once more (%d of %d): machine %s", count + 1, most, said_of(machine))
        count += 1
    if state == ERROR:
        _mark(door, node, {**mark, RESCUES: count})
        ask(door, "PUT", f"{node}/states/provision", {"target": "deleted"})
        return 1
    if state == CLEAN_FAILED:
        _mark(door, node, {**mark, RESCUES: count, RESCUING: True})
        if machine.get("maintenance"):
            ask(door, "DELETE", f"{node}/maintenance")
        ask(door, "PUT", f"{node}/states/provision", {"target": "manage"})
    elif state != MANAGEABLE:
        return 0
    # Were it left set, an operator could never take the machine to `manageable` for long.
    _mark(door, node, {**mark, RESCUES: count, RESCUING: False})
    ask(door, "PUT", f"{node}/states/provision", {"target": "provide"})
    return 1


def _mark(door: Door, node: str, mark: Mapping[str, Json]) -> None:
    ask(door, "PATCH", node, [{"op": "add", "path": f"/extra/{OURS}", "value": dict(mark)}])


def sweep_ports(
    door: Door, ports: list[RawPort], allocations: Mapping[str, Any], installation: InstallationId
) -> Swept:
    """Delete ports of ours whose allocation is gone; the ports were listed before the allocations."""
    mark, swept = port_mark(installation), 0
    for port in ports:
        description = port.get("description") or ""
        if description.startswith(mark) and description.removeprefix(mark) not in allocations:
            door.call(NETWORK, "DELETE", f"/ports/{port['id']}", fine=(404,))
            swept += 1
    return Swept(ports=swept)


def all_ports(door: Door) -> list[RawPort]:
    """Return the ports of the project."""
    return listed(door, NETWORK, "/ports", "ports")
