"""The machines of a region: Ironic's verbs.

A machine that was told to do something is under way at once, and there when its time has come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from nodepool_ng.sim.calls import Call, Fate
from nodepool_ng.sim.gate import Gate
from nodepool_ng.sim.ids import id_of, new_id
from nodepool_ng.sim.machine import UNDER_WAY, VERBS, Allocation, Event, Machine
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.settings import BareMetal, Fault

CALLS: Mapping[str, Call] = {
    "active": Call.MACHINE_DEPLOY,
    "deleted": Call.MACHINE_UNDEPLOY,
    "provide": Call.MACHINE_PROVIDE,
    "manage": Call.MACHINE_MANAGE,
}
TARGETS: Mapping[str, str] = {
    "deploying": "active",
    "deleting": "available",
    "cleaning": "available",
    "verifying": "manageable",
}
DEPLOY_FAILED = "Deploy step deploy.deploy failed: the simulated machine was told to fail."
CLEAN_FAILED = "Clean step erase_devices failed: the simulated machine was told to fail."
PATCHED = frozenset(
    {"extra", "instance_info", "properties", "network_data", "name", "resource_class", "owner", "lessee", "retired"}
)


class Machines:
    """All machines and allocations of a region."""

    def __init__(self, gate: Gate, region: str) -> None:
        self._gate = gate
        self.rows: dict[str, Machine] = {}
        self.allocations: dict[str, Allocation] = {}
        for wanted in gate.settings.machines:
            for number in range(wanted.count):
                name = f"{wanted.name}-{number}"
                machine = id_of("machine", region, name)
                self.rows[machine] = Machine(
                    id=machine,
                    name=name,
                    resource_class=wanted.resource_class,
                    traits=sorted(wanted.traits),
                    owner=wanted.owner,
                    lessee=wanted.lessee,
                    extra=dict(wanted.extra),
                    state="available",
                    power="power off",
                )

    @property
    def _settings(self) -> BareMetal:
        return self._gate.settings.bare_metal

    def list(self, *, now: float, instance: str | None = None) -> list[Machine]:
        """Return all machines, or the one that has an instance."""
        with self._gate.passing(Call.MACHINE_LIST, now):
            return [each for each in self.rows.values() if instance in (None, each.instance)]

    def get(self, name: str, *, now: float) -> Machine:
        """Return a machine by id or name."""
        with self._gate.passing(Call.MACHINE_GET, now):
            return self._find(name)

    def enroll(self, body: Mapping[str, Any], *, now: float) -> Machine:
        """Add a machine."""
        with self._gate.passing(Call.MACHINE_CREATE, now):
            name = body.get("name")
            if name is not None and any(each.name == name for each in self.rows.values()):
                raise Refused(409, f"A node with name {name} already exists.")
            machine = Machine(
                id=str(body.get("uuid") or new_id(self._gate.rng)),
                name=name,
                resource_class=body.get("resource_class"),
                driver=str(body.get("driver") or "fake-hardware"),
                properties=dict(body.get("properties") or {}),
                extra=dict(body.get("extra") or {}),
                owner=body.get("owner"),
                lessee=body.get("lessee"),
                created=now,
            )
            self.rows[machine.id] = machine
            return machine

    def remove(self, name: str, *, now: float) -> None:
        """Take a machine away."""
        with self._gate.passing(Call.MACHINE_DELETE, now):
            machine = self._find(name)
            if machine.instance is not None and not machine.maintenance:
                raise Refused(409, f"Node {machine.id} is associated with instance {machine.instance}.")
            if machine.state not in ("enroll", "manageable", "available") and not machine.maintenance:
                said = f'Can not delete node "{machine.id}" while it is in provision state "{machine.state}".'
                raise Refused(400, said)
            del self.rows[machine.id]
            if machine.allocation is not None:
                self.allocations.pop(machine.allocation, None)

    def patch(self, name: str, steps: Iterable[Mapping[str, Any]], *, now: float) -> Machine:
        """Change a machine's record by a JSON patch."""
        with self._gate.passing(Call.MACHINE_UPDATE, now):
            machine = self._find(name)
            if machine.state in UNDER_WAY:
                raise Refused(409, f"Node {machine.id} can not be updated while a state transition is in progress.")
            for step in steps:
                _patched(machine, step)
            return machine

    def provision(self, name: str, target: str, config_drive: Any, *, now: float) -> None:
        """Have a machine go to another state."""
        with self._gate.passing(CALLS.get(target, Call.MACHINE_PROVISION), now) as fault:
            machine = self._find(name)
            if machine.state in UNDER_WAY:
                self._unlocked(machine)
            state = VERBS.get((machine.state, target))
            if state is None:
                raise Refused(
                    400,
                    f'The requested action "{target}" can not be performed on node "{machine.id}" while it is in state '
                    f'"{machine.state}".',
                )
            if target == "active":
                self._check_deployable(machine)
                machine.config_drive = config_drive
                machine.deployments += 1
                if config_drive is not None:
                    machine.instance_info["configdrive"] = "******"
            self._begin(machine, state, fault, now)

    def set_maintenance(self, name: str, wanted: bool, reason: str | None, *, now: float) -> None:
        """Put a machine into maintenance, or take it out."""
        with self._gate.passing(Call.MACHINE_MAINTENANCE, now):
            machine = self._find(name)
            machine.maintenance, machine.maintenance_reason, machine.fault = wanted, reason, None

    def set_power(self, name: str, target: str, *, now: float) -> None:
        """Switch a machine's power, at once."""
        with self._gate.passing(Call.MACHINE_POWER, now):
            self._find(name).power = "power off" if target == "power off" else "power on"

    def add_trait(self, name: str, trait: str, *, now: float) -> None:
        """Give a machine a trait."""
        with self._gate.passing(Call.MACHINE_UPDATE, now):
            machine = self._find(name)
            machine.traits = sorted({*machine.traits, trait})

    def vifs(self, name: str, *, now: float) -> tuple[str, ...]:
        """Return the ports that are plugged in."""
        with self._gate.passing(Call.VIF_LIST, now):
            return tuple(self._find(name).vifs)

    def attach(self, name: str, port: str, *, now: float) -> None:
        """Plug a port in."""
        with self._gate.passing(Call.VIF_ATTACH, now):
            machine = self._find(name)
            self._unlocked(machine)
            if port in machine.vifs:
                raise Refused(409, f"Unable to attach VIF because VIF {port} is already attached to Ironic Port.")
            machine.vifs.append(port)

    def detach(self, name: str, port: str, *, now: float) -> None:
        """Pull a port out."""
        with self._gate.passing(Call.VIF_DETACH, now):
            machine = self._find(name)
            self._unlocked(machine)
            if port not in machine.vifs:
                raise Refused(400, f"Unable to detach VIF {port} from node {machine.id} because it is not attached.")
            machine.vifs.remove(port)

    def list_allocations(self, *, now: float) -> tuple[Allocation, ...]:
        """Return all allocations."""
        with self._gate.passing(Call.ALLOCATION_LIST, now):
            return tuple(self.allocations.values())

    def get_allocation(self, name: str, *, now: float) -> Allocation:
        """Return an allocation by id or name."""
        with self._gate.passing(Call.ALLOCATION_GET, now):
            return self._allocation(name)

    def allocate(self, body: Mapping[str, Any], owner: str | None, *, now: float) -> Allocation:
        """Begin to look for a machine."""
        with self._gate.passing(Call.ALLOCATION_CREATE, now) as fault:
            wanted, name = str(body.get("uuid") or new_id(self._gate.rng)), body.get("name")
            if not body.get("resource_class"):
                raise Refused(400, "The resource_class field is mandatory when not backfilling")
            if wanted in self.allocations:
                raise Refused(409, f"An allocation with UUID {wanted} already exists.")
            if name is not None and any(each.name == name for each in self.allocations.values()):
                raise Refused(409, f"An allocation with name {name} already exists.")
            candidates = _known(self.rows.values(), body.get("candidate_nodes") or ())
            allocation = Allocation(
                id=wanted,
                name=name,
                resource_class=str(body["resource_class"]),
                traits=list(body.get("traits") or ()),
                candidates=candidates,
                extra=dict(body.get("extra") or {}),
                owner=owner,
                created=now,
            )
            self.allocations[allocation.id] = allocation
            if fault is None or fault.fate is not Fate.STUCK:
                said = fault.message if fault is not None and fault.fate is Fate.ERROR else None
                after = self._settings.allocate.draw(self._gate.rng)
                self._gate.at(now + after, lambda: self._settle(allocation, said))
            return allocation

    def release(self, name: str, *, now: float) -> None:
        """Delete an allocation; a machine that it has must not be deployed."""
        with self._gate.passing(Call.ALLOCATION_DELETE, now):
            allocation = self._allocation(name)
            machine = self.rows.get(allocation.machine or "")
            stays = machine is not None and (machine.state in UNDER_WAY or machine.state == "active")
            if machine is not None and stays and not machine.maintenance:
                raise Refused(
                    409,
                    f"Cannot remove allocation {allocation.id} for node {machine.id}, because the node is "
                    f"{machine.state} (and maintenance mode is off)",
                )
            self._drop(allocation, machine)

    def plant(self, body: Mapping[str, Any], *, now: float) -> Machine:
        """Have somebody else deploy to a machine that is available, or change one: fields of the model."""
        machine = self._find(str(body["machine"]))
        for key, value in body.items():
            if key != "machine":
                if not hasattr(machine, key):
                    raise Refused(400, f"A machine has no {key}.")
                setattr(machine, key, value)
        machine.stage += 1
        return machine

    def _begin(self, machine: Machine, state: str, fault: Fault | None, now: float) -> None:
        machine.stage += 1
        stage = machine.stage
        machine.state, machine.last_error = state, None
        machine.target = TARGETS.get(state)
        fate = fault.fate if fault is not None else None
        if state == "manageable" or fate is Fate.STUCK:
            return
        spans = self._settings
        took = {
            "deploying": spans.deploy,
            "deleting": spans.undeploy,
            "cleaning": spans.clean,
            "verifying": spans.allocate,
        }[state].draw(self._gate.rng)

        def end() -> None:
            if machine.stage == stage:
                self._end(machine, state, fault, now + took)

        self._gate.at(now + took, end)

    def _end(self, machine: Machine, state: str, fault: Fault | None, now: float) -> None:
        failed = fault is not None and fault.fate is Fate.ERROR
        unclean = fault is not None and fault.fate is Fate.UNCLEAN
        machine.target = None
        match state:
            case "deploying" if failed:
                self._failed(machine, "deploy failed", DEPLOY_FAILED, "deploying", now)
                machine.target = "active"
            case "deploying":
                machine.state, machine.power = "active", "power on"
            case "deleting" if failed:
                self._failed(machine, "error", "The simulated machine was told to fail.", "deleting", now)
            case "deleting":
                machine.instance_info, machine.power = {}, "power off"
                machine.instance, machine.vifs, machine.config_drive = None, [], None
                self.allocations.pop(machine.allocation or "", None)
                machine.allocation = None
                self._begin(machine, "cleaning", fault if unclean else None, now)
            case "cleaning" if unclean or failed:
                machine.maintenance, machine.fault, machine.maintenance_reason = True, "clean failure", CLEAN_FAILED
                self._failed(machine, "clean failed", CLEAN_FAILED, "cleaning", now)
                machine.target = "available"
            case "cleaning":
                machine.state = "available"
            case _:
                machine.state = "manageable"
                machine.power = machine.power or "power off"

    def _failed(self, machine: Machine, state: str, said: str, doing: str, now: float) -> None:
        machine.state, machine.last_error = state, said
        machine.events.append(
            Event(id=new_id(self._gate.rng), at=now, type=doing, severity="ERROR", text=said),
        )

    def _settle(self, allocation: Allocation, said: str | None) -> None:
        """Choose a machine for an allocation that is still there."""
        if allocation.id not in self.allocations:
            return
        found, why = self._choice(allocation)
        if said is not None or found is None:
            allocation.state = "error"
            allocation.last_error = f"Failed to process allocation {allocation.id}: {said or why}."
            return
        allocation.state, allocation.machine = "active", found.id
        found.instance = found.allocation = allocation.id
        if allocation.traits:
            found.instance_info["traits"] = list(allocation.traits)

    def _choice(self, wanted: Allocation) -> tuple[Machine | None, str]:
        free = [
            each
            for each in self.rows.values()
            if each.resource_class == wanted.resource_class
            and each.state == "available"
            and each.instance is None
            and each.power is not None
            and not each.maintenance
            and (not wanted.candidates or each.id in wanted.candidates)
            and (wanted.owner is None or wanted.owner in (each.owner, each.lessee))
        ]
        if not free and wanted.candidates:
            return (
                None,
                f"none of the requested nodes are available and match the resource class {wanted.resource_class}",
            )
        if not free:
            return None, f"no available nodes match the resource class {wanted.resource_class}"
        free = [each for each in free if set(wanted.traits) <= set(each.traits)]
        if not free:
            return None, f"no suitable nodes have the requested traits {', '.join(wanted.traits)}"
        return self._gate.rng.choice(free), ""

    def _drop(self, allocation: Allocation, machine: Machine | None) -> None:
        del self.allocations[allocation.id]
        if machine is not None:
            machine.instance = machine.allocation = None

    def _check_deployable(self, machine: Machine) -> None:
        if machine.maintenance:
            raise Refused(
                400,
                f"The provisioning operation can't be performed on node {machine.id} because it's in maintenance mode.",
            )
        if not machine.instance_info.get("image_source"):
            raise Refused(
                400,
                "Failed to validate deploy or power info for node: Cannot validate image information for node "
                f"{machine.id} because one or more parameters are missing from its instance_info. Missing are: "
                "['image_source']",
            )

    def _unlocked(self, machine: Machine) -> None:
        if machine.state in UNDER_WAY:
            said = "is locked by host fake-conductor, please retry after the current operation is completed."
            raise Refused(409, f"Node {machine.id} {said}")

    def _find(self, name: str) -> Machine:
        for machine in self.rows.values():
            if name in (machine.id, machine.name):
                return machine
        raise Refused(404, f"Node {name} could not be found.")

    def _allocation(self, name: str) -> Allocation:
        for allocation in self.allocations.values():
            if name in (allocation.id, allocation.name):
                return allocation
        raise Refused(404, f"Allocation {name} could not be found.")


def _patched(machine: Machine, step: Mapping[str, Any]) -> None:
    field, *path = str(step.get("path", "")).removeprefix("/").split("/")
    if field not in PATCHED or len(path) > 1:
        raise Refused(400, f"'{step.get('path')}' can not be patched here.")
    removed, value = step.get("op") == "remove", step.get("value")
    if not path:
        setattr(machine, field, ({} if isinstance(getattr(machine, field), dict) else None) if removed else value)
        return
    within = dict(getattr(machine, field))
    if removed:
        if path[0] not in within:
            said = f"Couldn't apply patch '{dict(step)}'. Reason: can't remove a non-existent object '{path[0]}'"
            raise Refused(400, said)
        del within[path[0]]
    else:
        within[path[0]] = value
    setattr(machine, field, within)


def _known(machines: Iterable[Machine], names: Collection[object]) -> list[str]:
    """Return the ids of machines given by id or name; Refused 400 where one is not there."""
    ids = {name: machine.id for machine in machines for name in (machine.name, machine.id) if name is not None}
    missing = [str(name) for name in names if name not in ids]
    if missing:
        raise Refused(400, f"Nodes cannot be found: {', '.join(missing)}")
    return [ids[str(name)] for name in names]
