"""One simulated machine, as Ironic knows it, and one allocation. A machine's changes are the business of `machines`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Verbs = Mapping[tuple[str, str], str]

VERBS: Verbs = MappingProxyType(
    {
        ("enroll", "manage"): "verifying",
        ("manageable", "provide"): "cleaning",
        ("available", "manage"): "manageable",
        ("available", "active"): "deploying",
        ("active", "deleted"): "deleting",
        ("wait call-back", "deleted"): "deleting",
        ("deploy failed", "deleted"): "deleting",
        ("deploy failed", "active"): "deploying",
        ("error", "deleted"): "deleting",
        ("clean failed", "manage"): "manageable",
    }
)
"""What may be asked of a machine in a provision state, and the state that it is in at once."""
UNDER_WAY = frozenset({"verifying", "cleaning", "deploying", "deleting"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry of a machine's history."""

    id: str
    at: float
    type: str
    severity: str
    text: str


@dataclass(slots=True, kw_only=True)
class Machine:
    """What Ironic calls a node; times are in seconds."""

    id: str
    name: str | None
    resource_class: str | None
    driver: str = "fake-hardware"
    traits: list[str] = field(default_factory=list)
    owner: str | None = None
    lessee: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    instance_info: dict[str, Any] = field(default_factory=dict)
    network_data: dict[str, Any] = field(default_factory=dict)
    state: str = "enroll"
    target: str | None = None
    power: str | None = None
    maintenance: bool = False
    maintenance_reason: str | None = None
    fault: str | None = None
    last_error: str | None = None
    retired: bool = False
    instance: str | None = None
    allocation: str | None = None
    config_drive: Any = None
    console: int | None = None
    """The port of its console; None: it has none."""
    vifs: list[str] = field(default_factory=list)
    created: float = 0.0
    events: list[Event] = field(default_factory=list)
    deployments: int = 0
    stage: int = 0
    """Counts what was begun, so that the end of something that was overtaken is not taken for that of another."""


@dataclass(slots=True, kw_only=True)
class Allocation:
    """A wish for a machine, and what came of it."""

    id: str
    name: str | None
    resource_class: str
    traits: list[str]
    candidates: list[str]
    extra: dict[str, Any]
    owner: str | None
    created: float
    state: str = "allocating"
    machine: str | None = None
    last_error: str | None = None
