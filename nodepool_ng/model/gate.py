"""The gate before service: what an upload has to prove before nodes are made from it.

Where an upload stands is a key of its own record, so that it changes in one write with the upload itself. Software that
does not know the key (Nodepool 11) takes every ready upload for one that is in service, as ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from nodepool_ng.model.ids import Json, Seconds, Timestamp
from nodepool_ng.model.image import Upload
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.node import Node

GATE = "nodepool_ng_gate"
"""The key of an upload's record."""
CANARY = "nodepool_ng_canary"
"""The key of a node's record that names the upload (by its path) that the node is to prove."""

SLOWER: float = 3.0
SLACK: Seconds = 60.0
"""A canary may take so many times as long as the one before, and so much longer."""


class GateState(StrEnum):
    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


GATE_STATES: Mapping[GateState, str] = MappingProxyType(
    {
        GateState.WAITING: "Uploaded; a canary has yet to boot from it.",
        GateState.PASSED: "Its canary came up; nodes are made from it.",
        GateState.FAILED: "Its canary did not come up as it should; nodes are made from the one before.",
        GateState.WITHDRAWN: "An operator took it out of service.",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Where an upload stands, since when, and why. `seconds` is how long its canary took to come up, `keys` are the
    canary's host keys."""

    state: GateState
    since: Timestamp
    why: str = ""
    seconds: Seconds | None = None
    keys: tuple[str, ...] = ()


def gate_of(upload: Upload) -> Gate | None:
    """Return where an upload stands; None for one that has nothing to prove, or says nothing that can be read."""
    found: Any = upload.extra.get(GATE)
    if not isinstance(found, Mapping):
        return None
    try:
        state = GateState(str(found.get("state")))
    except ValueError:
        return None
    since, seconds, keys = found.get("since"), found.get("seconds"), found.get("keys")
    return Gate(
        state=state,
        since=upload.state_time if (at := _number(since)) is None else at,
        why=str(found.get("why") or ""),
        seconds=_number(seconds),
        keys=tuple(map(str, keys)) if isinstance(keys, list | tuple) else (),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def at_gate(upload: Upload, gate: Gate) -> Upload:
    """Return the upload standing there."""
    told: dict[str, Json] = {"state": gate.state.value, "since": gate.since}
    if gate.why:
        told["why"] = gate.why
    if gate.seconds is not None:
        told["seconds"] = round(gate.seconds, 3)
    if gate.keys:
        told["keys"] = list(gate.keys)
    return replace(upload, extra={**upload.extra, GATE: told})


def in_service(upload: Upload) -> bool:
    """Tell whether nodes may be made from an upload."""
    if upload.state is not ImageState.READY:
        return False
    gate = gate_of(upload)
    return gate is None or gate.state is GateState.PASSED


def waits_at_gate(upload: Upload) -> bool:
    """Tell whether an upload has yet to prove itself."""
    gate = gate_of(upload)
    return upload.state is ImageState.READY and gate is not None and gate.state is GateState.WAITING


def proves(node: Node) -> str | None:
    """Return the path of the upload that a node is a canary of; None for any other node."""
    path = node.extra.get(CANARY)
    return path if isinstance(path, str) else None
