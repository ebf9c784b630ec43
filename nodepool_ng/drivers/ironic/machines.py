"""What Ironic's lists say: which servers of ours there are, and which machines others have, or nobody can have."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from nodepool_ng.drivers import MARK_ATTEMPT, MARK_INSTALLATION, MARK_NODE, MARK_POOL, MARK_PROVIDER
from nodepool_ng.drivers.ironic.bodies import MARK_ALLOCATION, marks_in
from nodepool_ng.drivers.ironic.kinds import Kind, beyond, needs, uses
from nodepool_ng.drivers.ironic.states import (
    AVAILABLE,
    DEPLOYED,
    RETURNING,
    Meaning,
    meaning,
    says_no_machine,
)
from nodepool_ng.drivers.ironic.wire import RawAllocation, RawEvent, RawMachine
from nodepool_ng.model.ids import (
    AttemptId,
    InstallationId,
    NodeId,
    PoolName,
    ProviderName,
    ServerId,
    Timestamp,
)
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import NO_ADDRESSES, Addresses, Server, ServerStatus

NETWORK_DATA = "network_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What was listed at about one time: allocations first, then machines, then the addresses of ports of ours."""

    allocations: Mapping[str, RawAllocation]
    machines: Mapping[str, RawMachine]
    addresses: Mapping[ServerId, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is configured, as far as reading the lists takes it."""

    kinds: tuple[Kind, ...]
    address_of: Mapping[PoolName, str]
    """Where a pool's machines have their addresses."""
    counted: Set[str] | None = None
    """The machines that were there when capacity was read; None: it was not."""
    held: Set[str] = frozenset()
    """Machines that get nothing until an operator has looked at them."""


def servers_of(lists: Lists, wanted: Wanted) -> Iterator[Server]:
    """Yield servers of ours, and for each machine that nobody can have a server that is not ours.

    An allocation that failed is a server of ours, too: it has to be deleted.
    """
    taken: dict[str, Kind] = {}
    for server, marks, allocation, machine in marked(lists):
        if machine is not None:
            taken[machine["uuid"]] = _asked_kind(allocation, wanted.kinds) or Kind(resource_class="")
        yield _ours(server, marks, allocation, machine, lists, wanted)
    for machine in lists.machines.values():
        if wanted.counted is not None and machine["uuid"] not in wanted.counted:
            continue
        used = uses(machine, wanted.kinds)
        if not used:
            continue
        booked = taken.get(machine["uuid"])
        if booked is not None:
            more = beyond(used, needs(booked, wanted.kinds))
            if more:
                yield _other(machine, f"{machine['uuid']}/more", more, returning=True)
        elif not can_be_had(machine) or machine["uuid"] in wanted.held:
            returning = machine.get("provision_state") in RETURNING and not machine.get("maintenance")
            yield _other(machine, machine["uuid"], used, returning=returning)


def marked(
    lists: Lists,
) -> Iterator[tuple[ServerId, Mapping[str, Any], RawAllocation | None, RawMachine | None]]:
    """Yield what carries marks of this software, of whatever installation: allocations, each with its machine if it has
    one; and machines that still hold a deployment whose allocation went."""
    for allocation in lists.allocations.values():
        marks: Mapping[str, Any] = allocation.get("extra") or {}
        if not marks.get(MARK_NODE) or not marks.get(MARK_PROVIDER):
            continue
        machine = lists.machines.get(allocation.get("node_uuid") or "")
        held = machine is not None and machine.get("instance_uuid") == allocation["uuid"]
        if allocation.get("state") == "active" and machine is not None and not held:
            continue  # the machine was undeployed between the two lists
        yield ServerId(allocation["uuid"]), marks, allocation, machine if held else None
    for machine in lists.machines.values():
        marks = marks_in(machine.get("instance_info"))
        server = marks.get(MARK_ALLOCATION)
        if not isinstance(server, str) or server in lists.allocations or not marks.get(MARK_NODE):
            continue
        whose = machine.get("instance_uuid")
        if whose == server or (whose is None and machine.get("provision_state") in DEPLOYED):
            yield ServerId(server), marks, None, machine


def can_be_had(machine: RawMachine) -> bool:
    """Tell whether Ironic would allocate a machine: it takes only those whose power it knows."""
    return (
        machine.get("provision_state") == AVAILABLE
        and not machine.get("maintenance")
        and not machine.get("retired")
        and machine.get("instance_uuid") is None
        and machine.get("power_state") is not None
    )


def name_of(machine: RawMachine) -> str:
    """Return what people call a machine."""
    return machine.get("name") or machine["uuid"]


def said_of(machine: RawMachine) -> str:
    """Return in a few words how a machine is."""
    said = f"{name_of(machine)} is {machine.get('provision_state')}"
    if machine.get("maintenance"):
        said += f", in maintenance ({machine.get('maintenance_reason') or machine.get('fault') or 'no reason given'})"
    return said + (f": {machine['last_error']}" if machine.get("last_error") else "")


def _ours(
    server: ServerId,
    marks: Mapping[str, Any],
    allocation: RawAllocation | None,
    machine: RawMachine | None,
    lists: Lists,
    wanted: Wanted,
) -> Server:
    seen = _seen(allocation, machine)
    fault = _fault(allocation, machine, seen)
    up = machine is not None and seen.status is ServerStatus.ACTIVE
    path = wanted.address_of.get(PoolName(str(marks.get(MARK_POOL))), "name")
    addresses = addresses_of(machine, path, lists.addresses.get(server, ())) if up and machine else NO_ADDRESSES
    waits = machine is not None and machine.get("provision_state") == AVAILABLE
    failed = allocation is not None and allocation.get("state") == "error"
    kind = _asked_kind(allocation, wanted.kinds)
    return Server(
        id=server,
        name=(allocation or {}).get("name") or server,
        status=seen.status,
        provider=ProviderName(str(marks[MARK_PROVIDER])) if marks.get(MARK_PROVIDER) else None,
        node=NodeId(str(marks[MARK_NODE])),
        attempt=AttemptId(str(marks[MARK_ATTEMPT])) if marks.get(MARK_ATTEMPT) else None,
        installation=InstallationId(str(marks[MARK_INSTALLATION])) if marks.get(MARK_INSTALLATION) else None,
        addresses=addresses,
        host_id=machine["uuid"] if machine is not None else None,
        created=_instant((allocation or {}).get("created_at")),
        fault=fault,
        no_capacity=failed and fault is not None and says_no_machine(fault),
        deleting=seen.deleting,
        busy=seen.busy,
        step=waits and seen.status is ServerStatus.BUILDING,
        resources=needs(kind, wanted.kinds) if kind is not None else Resources({}),
    )


def _seen(allocation: RawAllocation | None, machine: RawMachine | None) -> Meaning:
    if allocation is not None and allocation.get("state") == "error":
        return Meaning(status=ServerStatus.FAILED)
    if machine is None:
        return Meaning(status=ServerStatus.BUILDING)
    found = meaning(machine.get("provision_state") or "")
    if found.status is ServerStatus.BUILDING and machine.get("maintenance"):
        # Ironic deploys nothing to such a machine, and nobody knows for how long.
        return Meaning(status=ServerStatus.FAILED, busy=found.busy)
    return found


def _fault(allocation: RawAllocation | None, machine: RawMachine | None, seen: Meaning) -> str | None:
    if seen.status is not ServerStatus.FAILED:
        return None
    if machine is not None:
        return said_of(machine)
    return (allocation or {}).get("last_error") or "no reason given"


def _asked_kind(allocation: RawAllocation | None, kinds: Iterable[Kind]) -> Kind | None:
    """Return the kind that an allocation was made for; of several that differ in owners, the first."""
    if allocation is None:
        return None
    traits = frozenset(allocation.get("traits") or ())
    of = (kind for kind in kinds if kind.resource_class == allocation.get("resource_class") and kind.traits == traits)
    return next(of, None)


def _other(machine: RawMachine, server: str, used: Resources, *, returning: bool) -> Server:
    return Server(
        id=ServerId(server),
        name=name_of(machine),
        status=ServerStatus.OTHER,
        host_id=machine["uuid"],
        resources=used,
        returning=returning,
    )


def addresses_of(machine: RawMachine, path: str, ports: tuple[str, ...]) -> Addresses:
    """Return where a machine answers: at the addresses of its ports, if it has some of ours; else at what Ironic's
    record of it has at `path`, an address or a name."""
    found = ports or tuple(_recorded(machine, path))
    fours = [each for each in found if _version(each) == 4]
    sixes = [each for each in found if _version(each) == 6]
    names = [each for each in found if _version(each) is None]
    first = next(iter((*fours, *sixes, *names)), "")
    four = fours[0] if fours else ""
    return Addresses(interface_ip=first, public_ipv4=four, private_ipv4=four, public_ipv6=sixes[0] if sixes else "")


def _recorded(machine: RawMachine, path: str) -> Iterator[str]:
    if path == NETWORK_DATA:
        networks = (machine.get("network_data") or {}).get("networks") or ()
        yield from (str(one["ip_address"]).partition("/")[0] for one in networks if one.get("ip_address"))
        return
    value: Any = machine
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, str) and value:
        yield value.partition("/")[0]


def _version(address: str) -> int | None:
    try:
        return ip_address(address).version
    except ValueError:
        return None


def _instant(text: str | None) -> Timestamp | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def as_told(machine: RawMachine, events: Iterable[RawEvent], console: str = "") -> str:
    """Return all that Ironic can tell of a deployment that failed, as lines of text. It keeps nothing that a machine
    printed; `console` is where that can be watched."""
    lines = [said_of(machine), f"power: {machine.get('power_state') or 'unknown'}"]
    if console:
        lines.append(f"console: {console}")
    for event in events:
        lines.append(
            f"{event.get('created_at')} {event.get('event_type')} {event.get('severity')}: {event.get('event')}"
        )
    return "\n".join(lines)
