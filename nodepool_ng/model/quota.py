"""Capacity as arithmetic: amounts of named resources.

Names are the wire's: `instances`, `cores`, `ram` (MiB), `volumes`, `volume-gb` (GB) and whatever an operator adds.
A *limit* that does not name a resource does not limit it; a *use* that does not name one uses none of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

INSTANCES = "instances"
CORES = "cores"
RAM = "ram"
VOLUMES = "volumes"
VOLUME_GB = "volume-gb"

_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts by name. Used both for what something needs and for what is free or allowed."""

    amounts: Mapping[str, float] = field(default_factory=lambda: _NOTHING)

    def __add__(self, other: "Resources") -> "Resources":
        total = dict(self.amounts)
        for name, amount in other.amounts.items():
            total[name] = total.get(name, 0) + amount
        return Resources(total)

    def get(self, name: str, default: float = 0) -> float:
        return self.amounts.get(name, default)

    def __bool__(self) -> bool:
        return any(self.amounts.values())


NONE = Resources()
ONE_INSTANCE = Resources(MappingProxyType({INSTANCES: 1}))


def total(parts: Iterable[Resources]) -> Resources:
    """Return the sum of all parts."""
    amounts: dict[str, float] = {}
    for part in parts:
        for name, amount in part.amounts.items():
            amounts[name] = amounts.get(name, 0) + amount
    return Resources(amounts)


def left(limit: Resources, used: Resources) -> Resources:
    """Return what remains of each limited resource; negative where more is used than allowed."""
    return Resources({name: amount - used.amounts.get(name, 0) for name, amount in limit.amounts.items()})


def tightest(*limits: Resources) -> Resources:
    """Return the smaller of each limit; a resource limited in one place only keeps that limit."""
    amounts: dict[str, float] = {}
    for limit in limits:
        for name, amount in limit.amounts.items():
            amounts[name] = min(amount, amounts.get(name, math.inf))
    return Resources(amounts)


@dataclass(frozen=True, slots=True)
class Shortage:
    """The resource of which there is least, with the figures that an operator wants to see."""

    resource: str
    limit: float
    wanted: float


def shortage(free: Resources, wanted: Resources) -> Shortage | None:
    """Return the resource that is short for `wanted`, the worst one first, or None when all of it fits."""
    worst: Shortage | None = None
    for name, amount in wanted.amounts.items():
        if amount <= 0:
            continue
        have = free.amounts.get(name, math.inf)
        if have < amount and (worst is None or amount - have > worst.wanted - worst.limit):
            worst = Shortage(name, have, amount)
    return worst


def fits(free: Resources, wanted: Resources) -> bool:
    """Tell whether `wanted` can be had out of `free`."""
    return shortage(free, wanted) is None
