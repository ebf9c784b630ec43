"""The records of registered components: launchers, builders and pools."""

from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.ids import LabelName, PoolId, PoolName, ProviderName
from nodepool_ng.zk.codec.fields import Record, dump, flag, name, others, text, texts, whole
from nodepool_ng.zk.paths import ComponentAt

_COMMON = frozenset(["hostname", "state", "kind", "version", "software"])
_POOL = frozenset(["id", "name", "provider_name", "supported_labels", "priority", "paused"])
_KEYS = {POOL: _COMMON | _POOL}

_MODEL_API = 0
"""The data model of Nodepool 11.0.0; the least one of all components is the active one."""


def from_record(at: ComponentAt, record: Record) -> Component:
    """Return the component; raise `BadField`. Of another kind than a pool, a pool's keys are none of ours."""
    common = Component(
        key=at.key,
        kind=text(record, "kind") or at.kind,
        hostname=text(record, "hostname") or "",
        state=text(record, "state") or "",
        version=text(record, "version"),
        software=text(record, "software"),
        extra=others(record, _KEYS.get(at.kind, _COMMON)),
    )
    if at.kind != POOL:
        return common
    return Component(
        key=common.key,
        kind=common.kind,
        hostname=common.hostname,
        state=common.state,
        version=common.version,
        software=common.software,
        extra=common.extra,
        id=name(record, "id", PoolId),
        name=name(record, "name", PoolName),
        provider_name=name(record, "provider_name", ProviderName),
        supported_labels=frozenset(map(LabelName, texts(record, "supported_labels"))),
        priority=whole(record, "priority", 100),
        paused=flag(record, "paused", False),
    )


def encode_component(component: Component) -> bytes:
    record: dict[str, object] = {
        "model_api": _MODEL_API,
        **component.extra,
        "hostname": component.hostname,
        "state": component.state,
        "kind": component.kind,
        "version": component.version,
    }
    if component.software is not None:
        record["software"] = component.software
    if component.kind == POOL:
        record |= {
            "id": component.id,
            "name": component.name,
            "provider_name": component.provider_name,
            "supported_labels": sorted(component.supported_labels),
            "priority": component.priority,
            "paused": component.paused,
        }
    return dump(record, sort_keys=True)
