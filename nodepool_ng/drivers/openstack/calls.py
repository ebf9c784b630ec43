"""What the driver needs of a cloud: calls, and what clouds.yaml says. `cloud.Cloud` is the real one.

No SDK here, so that the driver's decisions can be tested as a conversation.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from nodepool_ng.drivers import Unavailable
from nodepool_ng.drivers.openstack.networks import Access
from nodepool_ng.model.ids import Json

COMPUTE = "compute"
IMAGE = "image"
NETWORK = "network"
VOLUME = "block-storage"
BARE_METAL = "baremetal"

Microversion = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a cloud answered to a call that succeeded."""

    subject: str
    """What was asked of whom, for messages."""
    status: int
    body: bytes = b""
    date: str | None = None
    """The Date header."""

    def json(self) -> Any:
        """Return the decoded body; raise Unavailable when it is not a JSON object."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise Unavailable(f"{self.subject}: the answer is not what this API answers")
        return content

    def member(self, key: str) -> Any:
        """Return one member of the decoded body; raise Unavailable when it is not there."""
        try:
            return self.json()[key]
        except KeyError:
            raise Unavailable(f"{self.subject}: the answer has no {key!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What clouds.yaml says about a cloud, as far as it matters to the driver."""

    access: Access = field(default_factory=Access)
    vendor_properties: Mapping[str, str] = field(default_factory=dict)
    """Image properties that the cloud's profile asks for."""
    image_tasks: bool = False
    """Images must be imported by tasks; long gone from Glance, still a switch of the SDK."""
    project: str | None = None


class Door(Protocol):
    """One region of a cloud. Everything raises `DriverError` only."""

    def connect(self) -> None: ...

    def close(self) -> None: ...

    def traits(self) -> Traits: ...

    def has(self, service: str) -> bool:
        """Tell whether the cloud has the service."""
        ...

    def microversion(self) -> Microversion | None:
        """Return the version that the main service is spoken to in, or None where it knows none of those wanted."""
        ...

    def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        json: Json = None,
        params: Mapping[str, str] | None = None,
        data: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        fine: tuple[int, ...] = (),
    ) -> Answer:
        """Make one call and return its answer; an error status is an error unless it is one of `fine`.

        `data` is iterated from the start again when the call has to be repeated with a fresh token.
        """
        ...


@contextmanager
def understanding() -> Iterator[None]:
    """Read an answer; raise Unavailable when it has not the shape that this API's answers have.

    For answers as a whole: an entry that was left out of a list of servers would count as a server that is gone.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise Unavailable(f"the answer is not what this API answers ({type(error).__name__}: {error})") from error


def pages(
    door: Door, service: str, path: str, key: str, params: Mapping[str, str] | None = None
) -> Iterator[tuple[Answer, list[Any]]]:
    """Yield every page of a list: the answer, and its member `key`.

    Nova, Neutron and Cinder link to the next page in `<key>_links`, Glance in `next`.
    """
    query: Mapping[str, str] | None = params
    while True:
        answer = door.call(service, "GET", path, params=query)
        content = answer.json()
        if key not in content:
            raise Unavailable(f"{answer.subject}: the answer has no {key!r}")
        yield answer, content[key]
        href = content.get("next") or _next_link(content.get(f"{key}_links"))
        if not href or not content[key]:
            return
        # The link's host is left behind: behind a proxy it is often one that cannot be reached from here.
        query = dict(parse_qsl(urlsplit(href).query))


def listed(door: Door, service: str, path: str, key: str, params: Mapping[str, str] | None = None) -> list[Any]:
    """Return all entries of a list, page after page."""
    return [entry for _, page in pages(door, service, path, key, params) for entry in page]


def call_name(path: str) -> str:
    """Return what metrics call a call, as the SDK does: `/servers/ID/action` is `server_action`."""
    parts = path.strip("/").split("/")
    if parts[-1] == "detail":
        return "_".join(parts[-2:])
    names = []
    for index in range(0, len(parts), 2):
        one_of_many = index + 1 < len(parts) and parts[index].endswith("s") and not parts[index].endswith("is")
        names.append(parts[index][:-1] if one_of_many else parts[index])
    return "_".join(names).replace(".", "_").replace(":", "_")


def _next_link(links: Iterable[Mapping[str, str]] | None) -> str | None:
    return next((link["href"] for link in links or () if link.get("rel") == "next"), None)
