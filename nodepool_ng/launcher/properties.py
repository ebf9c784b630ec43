"""The metadata an operator wants on servers, some of it made from the request."""

import logging
from collections.abc import Mapping
from types import SimpleNamespace

from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import PoolLabel

_log = logging.getLogger("nodepool.launcher")

REQUEST_FIELDS = (
    "id",
    "labels",
    "requestor",
    "requestor_data",
    "relative_priority",
    "event_id",
    "created_time",
    "tenant_name",
)


def rendered(label: PoolLabel, request: NodeRequest | None) -> dict[str, str]:
    """Return a label's properties; the dynamic ones are format strings over `request`, and one that cannot be
    rendered is left out."""
    properties = {name: str(value) for name, value in label.instance_properties.items()}
    view = _view(request)
    for name, template in label.dynamic_instance_properties.items():
        try:
            properties[name] = str(template).format(request=view)
        except (AttributeError, KeyError, IndexError, ValueError, TypeError) as error:
            _log.warning("Property %s of label %s cannot be rendered: %s", name, label.name, error)
    return properties


def _view(request: NodeRequest | None) -> SimpleNamespace:
    fields: Mapping[str, object] = {name: getattr(request, name, None) for name in REQUEST_FIELDS}
    return SimpleNamespace(**{**fields, "requestor_data": _Data(fields["requestor_data"])})


class _Data:
    """A JSON value whose object keys can be reached by attribute or by index, as templates do."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __getattr__(self, name: str) -> "_Data":
        return self[name]

    def __getitem__(self, name: str) -> "_Data":
        if isinstance(self._value, Mapping) and name in self._value:
            return _Data(self._value[name])
        raise AttributeError(name)

    def __format__(self, spec: str) -> str:
        return format(self._value, spec)

    def __str__(self) -> str:
        return str(self._value)
