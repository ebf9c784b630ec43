"""Kinds of machines, and capacity as numbers of machines of each kind.

A kind is what a label asks for: a resource class, traits, an owner, a lessee. Each is a resource of its own, next to
the number of all machines. A machine can be of several kinds; a label uses one of each kind that all its machines are
of.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nodepool_ng.drivers.ironic.wire import RawMachine
from nodepool_ng.model.quota import INSTANCES, Resources
from nodepool_ng.model.settings import Machine, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What machines have to be like; None stands for any."""

    resource_class: str
    traits: frozenset[str] = frozenset()
    owner: str | None = None
    lessee: str | None = None

    @property
    def resource(self) -> str:
        """What machines of this kind are called where resources are counted."""
        traits = "".join(f"+{trait}" for trait in sorted(self.traits))
        whose = (f" of {self.owner}" if self.owner else "") + (f" let to {self.lessee}" if self.lessee else "")
        return f"machines {self.resource_class}{traits}{whose}"

    def fits(self, machine: RawMachine) -> bool:
        """Tell whether a machine is of this kind, in whatever state it is."""
        return (
            machine.get("resource_class") == self.resource_class
            and self.traits <= set(machine.get("traits") or ())
            and self.owner in (None, machine.get("owner"))
            and self.lessee in (None, machine.get("lessee"))
            and not machine.get("retired")
        )

    def covers(self, other: "Kind") -> bool:
        """Tell whether every machine of the other kind is one of this kind."""
        return (
            self.resource_class == other.resource_class
            and self.traits <= other.traits
            and self.owner in (None, other.owner)
            and self.lessee in (None, other.lessee)
        )

    def said(self) -> str:
        """Return the kind in words."""
        traits = f" with {', '.join(sorted(self.traits))}" if self.traits else ""
        whose = (f" owned by {self.owner}" if self.owner else "") + (f" let to {self.lessee}" if self.lessee else "")
        return f"machine of the resource class {self.resource_class}{traits}{whose}"


def kind_of(wanted: Machine) -> Kind:
    """Return the kind of machines that a label wants."""
    return Kind(resource_class=wanted.resource_class, traits=wanted.traits, owner=wanted.owner, lessee=wanted.lessee)


def kinds_of(provider: Provider) -> tuple[Kind, ...]:
    """Return all kinds that a provider's labels want."""
    wanted = (label.machine for pool in provider.pools.values() for label in pool.labels.values())
    return tuple(dict.fromkeys(kind_of(machine) for machine in wanted if machine is not None))


def needs(kind: Kind, kinds: Iterable[Kind]) -> Resources:
    """Return what a machine for a label of this kind takes."""
    return _one_of(each for each in kinds if each.covers(kind))


def uses(machine: RawMachine, kinds: Iterable[Kind]) -> Resources:
    """Return what is missing of the capacity while somebody has the machine."""
    return _one_of(each for each in kinds if each.fits(machine))


def limits(machines: Iterable[RawMachine], kinds: Iterable[Kind]) -> Resources:
    """Return how many machines there are of each kind, whatever they are doing."""
    known = tuple(kinds)
    amounts: dict[str, float] = {INSTANCES: 0, **{kind.resource: 0 for kind in known}}
    for machine in machines:
        for name, amount in uses(machine, known).amounts.items():
            amounts[name] += amount
    return Resources(MappingProxyType(amounts))


def beyond(used: Resources, booked: Resources) -> Resources:
    """Return what a machine takes of the capacity beyond what its label is booked with: it is of more kinds."""
    left: Mapping[str, float] = {
        name: amount for name, amount in used.amounts.items() if booked.get(name) < amount and name != INSTANCES
    }
    return Resources(left)


def _one_of(kinds: Iterable[Kind]) -> Resources:
    found = {kind.resource: 1.0 for kind in kinds}
    return Resources({INSTANCES: 1.0, **found} if found else {})
