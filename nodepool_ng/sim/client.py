"""A client of the simulation's admin door, for tests, demonstrations and measurements.

region = SimClient("http://127.0.0.1:8774").region("acme", "north")
region.fault(call="server.create", fate="answer-lost", times=1)
region.change(quota={"instances": 5})
[server.name for server in region.state().servers if server.deleted is None]
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIMEOUT = 30.0  # seconds


class SimError(Exception):
    """The admin door refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """A server and its history; times in seconds since the epoch, None for what has not happened."""

    id: str
    name: str
    status: str
    task: str | None
    project: str
    user: str
    metadata: Mapping[str, str]
    flavor: str
    image: str | None
    zone: str
    addresses: tuple[str, ...]
    created: float
    active: float | None
    delete_asked: float | None
    deleted: float | None
    fault: str | None
    planted: bool
    twin_of: str | None
    answers_ssh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """How often each call came, and how often it was refused with which status (`server.create 403`)."""

    calls: Mapping[str, int]
    refusals: Mapping[str, int]

    @property
    def total(self) -> int:
        """All calls together."""
        return sum(self.calls.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionState:
    """What a region holds, in the words of its services; projects gives the id of each project's name."""

    now: float
    projects: Mapping[str, str]
    servers: tuple[ServerState, ...]
    images: tuple[Mapping[str, Any], ...]
    deleted_images: tuple[Mapping[str, Any], ...]
    ports: tuple[Mapping[str, Any], ...]
    floating_ips: tuple[Mapping[str, Any], ...]
    volumes: tuple[Mapping[str, Any], ...]
    machines: tuple[Mapping[str, Any], ...]
    allocations: tuple[Mapping[str, Any], ...]
    ssh_port: int | None
    settings: Mapping[str, Any]
    counters: Counters

    @property
    def live(self) -> tuple[ServerState, ...]:
        """The servers that exist."""
        return tuple(server for server in self.servers if server.status != "DELETED")


class RegionClient:
    """The admin door of one region."""

    def __init__(self, url: str) -> None:
        self._url = url

    def state(self) -> RegionState:
        """Return everything the region knows, servers that are gone included."""
        raw = _call("GET", f"{self._url}/state")
        counters = Counters(calls=raw.pop("calls"), refusals=raw.pop("refusals"))
        servers = tuple(_server(each) for each in raw.pop("servers"))
        rows: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
        return RegionState(servers=servers, counters=counters, **rows)

    def counters(self) -> Counters:
        """Return the counters."""
        return Counters(**_call("GET", f"{self._url}/counters"))

    def reset_counters(self) -> Counters:
        """Return the counters and set them to zero."""
        return Counters(**_call("DELETE", f"{self._url}/counters"))

    def change(self, **settings: object) -> None:
        """Change settings of the region, by the keys of its configuration."""
        _call("POST", f"{self._url}/settings", settings)

    def fault(self, **fault: object) -> None:
        """Let something go wrong, by the keys of a fault in the configuration; give `times` for just the next calls."""
        _call("POST", f"{self._url}/faults", {"faults": [fault]})

    def forget_faults(self) -> None:
        """Drop the faults that were asked for with `fault`."""
        _call("DELETE", f"{self._url}/faults")

    def plant_server(
        self, name: str, *, project: str | None = None, error: str | None = None, **fields: object
    ) -> ServerState:
        """Put a booted server there, or one in ERROR; fields are those of Nova's create."""
        body = {"server": {"name": name, **fields}, "project": project, "error": error}
        return _server(_call("POST", f"{self._url}/servers", body))

    def fail_server(self, server_id: str, message: str) -> ServerState:
        """Let a server go to ERROR."""
        return _server(_call("POST", f"{self._url}/servers/{server_id}/fail", {"message": message}))

    def vanish_server(self, server_id: str) -> ServerState:
        """Let a server be gone, as if somebody else had deleted it."""
        return _server(_call("DELETE", f"{self._url}/servers/{server_id}"))

    def plant_image(self, name: str, *, project: str | None = None, size: int = 1 << 30, **fields: object) -> str:
        """Put an active image there and return its id; fields are those of Glance's create."""
        body = {"image": {"name": name, **fields}, "project": project, "size": size}
        return str(_call("POST", f"{self._url}/images", body)["id"])

    def plant_port(self, *, project: str | None = None, device_owner: str = "", name: str = "") -> str:
        """Put a DOWN port there and return its id."""
        body = {"project": project, "device_owner": device_owner, "name": name}
        return str(_call("POST", f"{self._url}/ports", body)["id"])

    def change_machine(self, machine: str, **fields: object) -> Mapping[str, Any]:
        """Change a machine, by id or name, as if others had: its fields in the simulation, such as `state`."""
        changed: Mapping[str, Any] = _call("POST", f"{self._url}/machines", {"machine": machine, **fields})
        return changed


class SimClient:
    """The admin door of a whole simulation."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def region(self, cloud: str = "sim", region: str = "RegionOne") -> RegionClient:
        """Return the door of one region."""
        return RegionClient(f"{self.url}/_sim/{cloud}/{region}")

    def regions(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of all clouds and their regions."""
        clouds = _call("GET", f"{self.url}/_sim")["clouds"]
        return {name: tuple(cloud["regions"]) for name, cloud in clouds.items()}

    def logins(self, cloud: str = "sim") -> int:
        """Return how often somebody asked a cloud for a token."""
        return int(_call("GET", f"{self.url}/_sim")["clouds"][cloud]["logins"])


def _server(raw: dict[str, Any]) -> ServerState:
    return ServerState(**{**raw, "addresses": tuple(raw["addresses"])})


def _call(verb: str, url: str, body: Mapping[str, object] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=verb)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            raise SimError(f"{verb} {url}: {error.code}: {error.read().decode()}") from None
