"""All clouds of one simulation, who may enter them, and where they are found."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from nodepool_ng.sim.config import CloudSettings, SimSettings
from nodepool_ng.sim.ids import new_id, project_id, user_id
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A right to call, until it expires; times in seconds since the epoch."""

    id: str
    project: str  # its name
    caller: Caller
    issued: float
    expires: float


class Cloud:
    """The regions of a cloud and the tokens it has given out."""

    def __init__(self, name: str, settings: CloudSettings, regions: Mapping[str, Region], rng: random.Random) -> None:
        self.name = name
        self.settings = settings
        self.regions = regions
        self.logins = 0
        self.tokens: dict[str, Token] = {}
        self._rng = rng

    def caller(self, project: str) -> Caller:
        """Return the cloud's user in a project."""
        return Caller(project_id(self.name, project), user_id(self.name, self.settings.user))

    def log_in(self, user: str, password: str, project: str | None, *, now: float) -> Token:
        """Return a new token; user and project are given by name or id. Refused 401."""
        self.logins += 1
        known = (self.settings.user, user_id(self.name, self.settings.user))
        if user not in known or password != self.settings.password:
            raise Refused(401, "The request you have made requires authentication.")
        wanted = project or self.settings.projects[0]
        for each in self.settings.projects:
            caller = self.caller(each)
            if wanted in (each, caller.project):
                token = Token(
                    id=new_id(self._rng).replace("-", ""),
                    project=each,
                    caller=caller,
                    issued=now,
                    expires=now + self.settings.token_life,
                )
                self.tokens[token.id] = token
                return token
        raise Refused(401, f"The user has no access to the project {wanted}.")

    def token(self, token_id: str | None, *, now: float) -> Token:
        """Return a valid token; Refused 401."""
        token = self.tokens.get(token_id or "")
        if token is None or token.expires <= now:
            self.tokens.pop(token_id or "", None)
            raise Refused(401, "The request you have made requires authentication.")
        return token


class Site:
    """All clouds, at one base URL, on one clock."""

    def __init__(self, clouds: Mapping[str, Cloud], base_url: str, clock: Callable[[], float]) -> None:
        self.clouds = clouds
        self.base_url = base_url
        self.clock = clock

    def cloud(self, name: str) -> Cloud:
        """Return a cloud; Refused 404."""
        if name not in self.clouds:
            raise Refused(404, f"There is no cloud {name} here.")
        return self.clouds[name]

    def region(self, cloud: str, name: str) -> Region:
        """Return a region; Refused 404."""
        regions = self.cloud(cloud).regions
        if name not in regions:
            raise Refused(404, f"The cloud {cloud} has no region {name}.")
        return regions[name]


def build(settings: SimSettings, base_url: str, clock: Callable[[], float]) -> Site:
    """Return a site with fresh clouds; every region gets its own luck from the file's seed."""
    clouds = {}
    for name, cloud in settings.clouds.items():
        regions = {
            each: Region(each, region, random.Random(f"{settings.seed}/{name}/{each}"))
            for each, region in cloud.regions.items()
        }
        # Tokens are drawn elsewhere, or a token of a former run with the same seed would still open this one.
        clouds[name] = Cloud(name, cloud, regions, random.SystemRandom())
    return Site(clouds, base_url, clock)


def iso(at: float) -> str:
    """Return a time as Nova, Glance and Keystone write it, in whole seconds."""
    return _iso(int(at))


@lru_cache(maxsize=4096)
def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """Return the time a caller wrote, in seconds since the epoch; Refused 400."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(400, f"Invalid time: {text}") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
