"""One simulated server: what was asked for, and when it becomes what.

A server's whole life is written down when it is created, and corrected when somebody deletes it. Its status
at a moment is read off these times, so nothing has to run for a server to boot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from nodepool_ng.sim.settings import Flavor

NEVER = math.inf


class Status(StrEnum):
    """Nova's words for what a server is."""

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    ERROR = "ERROR"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a user in a project."""

    project: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFault:
    """Why a server is in ERROR."""

    code: int
    message: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of a server, on the network of the given name."""

    network: str
    address: str
    mac: str
    version: int = 4
    floating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAsk:
    """What somebody wants when asking for a server.

    flavor, image: ids. networks: ids of networks; None lets the cloud choose. ports: ids of existing ports.
    volume_size: GiB of a boot volume made from the image, None for a local disk.
    """

    name: str
    flavor: str
    image: str | None = None
    metadata: Mapping[str, str] | None = None
    networks: tuple[str, ...] | None = None
    ports: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ("default",)
    zone: str | None = None
    key_name: str | None = None
    config_drive: bool = False
    user_data: str | None = None
    volume_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server with its past and, unless somebody intervenes, its future; times are in seconds."""

    id: str
    ask: ServerAsk
    caller: Caller
    flavor: Flavor
    zone: str
    metadata: Mapping[str, str]
    created: float
    settles: float
    outcome: Status = Status.ACTIVE
    fault: ServerFault | None = None
    addresses: tuple[Address, ...] = ()
    volumes: tuple[str, ...] = ()
    answers_ssh: bool = True
    changed: float = -NEVER
    delete_asked: float = NEVER
    gone: float = NEVER
    twin_of: str | None = None
    planted: bool = False

    @property
    def name(self) -> str:
        """The name it was asked for with."""
        return self.ask.name

    def status(self, now: float) -> Status:
        """Return what the server is at this time."""
        if self.gone <= now:
            return Status.DELETED
        return self.outcome if self.settles <= now else Status.BUILD

    def task(self, now: float) -> str | None:
        """Return what is being done to the server, in Nova's words."""
        match self.status(now):
            case Status.DELETED:
                return None
            case _ if self.delete_asked <= now:
                return "deleting"
            case Status.BUILD:
                return "spawning"
            case _:
                return None

    def updated(self, now: float) -> float:
        """Return when the server last changed, in seconds."""
        latest = self.created
        for at in (self.settles, self.changed, self.delete_asked, self.gone):
            if latest < at <= now:
                latest = at
        return latest

    def active_at(self) -> float | None:
        """Return when the server became or becomes ACTIVE; None when it never does."""
        if self.outcome is not Status.ACTIVE or self.settles == NEVER or self.settles > self.gone:
            return None
        return self.settles
