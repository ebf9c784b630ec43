"""The shapes of the JSON that Ironic sends, as far as we read it. No key may be relied upon: Ironic has many versions,
and not everybody may see everything."""

from typing import Any, TypedDict


class RawMachine(TypedDict, total=False):
    """What Ironic calls a node."""

    uuid: str
    name: str | None
    provision_state: str
    target_provision_state: str | None
    power_state: str | None
    maintenance: bool
    maintenance_reason: str | None
    fault: str | None
    last_error: str | None
    resource_class: str | None
    traits: list[str]
    owner: str | None
    lessee: str | None
    retired: bool
    instance_uuid: str | None
    allocation_uuid: str | None
    instance_info: dict[str, Any]
    extra: dict[str, Any]
    properties: dict[str, Any]
    network_data: dict[str, Any]


class RawAllocation(TypedDict, total=False):
    uuid: str
    name: str | None
    state: str
    node_uuid: str | None
    last_error: str | None
    resource_class: str | None
    traits: list[str]
    extra: dict[str, Any]
    created_at: str


class RawEvent(TypedDict, total=False):
    """An entry of a machine's history."""

    created_at: str
    event_type: str
    severity: str
    event: str
