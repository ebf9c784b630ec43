"""What can be chosen about a simulated region: its sizes, its times, its faults.

Every value has a default, so that an almost empty file describes a working cloud. Times are in seconds,
ram in MiB, disks in GiB, and -1 means unlimited wherever a number limits something.
"""

from __future__ import annotations

import ipaddress
import math
import random
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nodepool_ng.sim.calls import Call, Fate, fates_of

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=-1)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=255)]

UNLIMITED = -1


class Settings(BaseModel):
    """Strict about unknown keys and never changed in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LogNormal(Settings):
    """A duration with a long tail: half of them are below the median."""

    median: Seconds
    sigma: Annotated[float, Field(ge=0, le=5)] = 0.3
    most: Seconds = 3600.0


class Span(Settings):
    """A duration: `{fixed: 5}`, `{uniform: [2, 8]}` or `{lognormal: {median: 5, sigma: 0.4}}`; a number is fixed."""

    fixed: Seconds | None = None
    uniform: tuple[Seconds, Seconds] | None = None
    lognormal: LogNormal | None = None
    per_item: Seconds = 0.0

    @model_validator(mode="before")
    @classmethod
    def _number_is_fixed(cls, value: Any) -> Any:
        return {"fixed": value} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if sum(shape is not None for shape in (self.fixed, self.uniform, self.lognormal)) != 1:
            raise ValueError("a duration needs exactly one of fixed, uniform, lognormal")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform needs the smaller number first")
        return self

    def draw(self, rng: random.Random, items: int = 0) -> float:
        """Return one duration in seconds; lists add per_item for each thing they return."""
        extra = self.per_item * items
        if self.fixed is not None:
            return self.fixed + extra
        if self.uniform is not None:
            return rng.uniform(*self.uniform) + extra
        assert self.lognormal is not None
        drawn = rng.lognormvariate(math.log(max(self.lognormal.median, 1e-9)), self.lognormal.sigma)
        return min(drawn, self.lognormal.most) + extra


class Latency(Settings):
    """How long calls take: one span for all, others for some."""

    default: Span = Span(fixed=0.0)
    calls: Mapping[Call, Span] = {}


class Flavor(Settings):
    """A size of server; without an id its name is its id."""

    name: Name
    id: Name = "-"
    vcpus: Annotated[int, Field(ge=0)] = 2
    ram: Annotated[int, Field(ge=0)] = 4096
    disk: Annotated[int, Field(ge=0)] = 20
    extra_specs: Mapping[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _named_by_default(cls, value: Any) -> Any:
        return {"id": value.get("name"), **value} if isinstance(value, Mapping) else value


class NetworkSettings(Settings):
    """A network with one subnet for each cidr.

    A server that names no network joins the one that is not external or, where all are, the only one there is.
    Two of them, one `{external: true, shared: false}`, make a cloud whose servers need floating IPs.
    """

    name: Name
    cidrs: Annotated[tuple[str, ...], Field(min_length=1)]
    external: bool = False
    shared: bool = True

    @field_validator("cidrs")
    @classmethod
    def _are_networks(cls, cidrs: tuple[str, ...]) -> tuple[str, ...]:
        for cidr in cidrs:
            ipaddress.ip_network(cidr)
        return cidrs


class ImageSettings(Settings):
    """An image that is there from the beginning."""

    name: Name
    id: str | None = None
    size: Annotated[int, Field(ge=0)] = 1 << 30
    min_disk: Annotated[int, Field(ge=0)] = 0
    properties: Mapping[str, str] = {}


class Quota(Settings):
    """What one project may use in this region."""

    instances: Limit = UNLIMITED
    cores: Limit = UNLIMITED
    ram: Limit = UNLIMITED
    key_pairs: Limit = 100
    ports: Limit = UNLIMITED
    floating_ips: Limit = UNLIMITED
    networks: Limit = 100
    security_groups: Limit = 100
    volumes: Limit = UNLIMITED
    gigabytes: Limit = UNLIMITED


class Capacity(Settings):
    """What the hosts of the region hold for all projects; a server that finds no room goes to ERROR."""

    instances: Limit = UNLIMITED
    cores: Limit = UNLIMITED
    ram: Limit = UNLIMITED


class RateLimit(Settings):
    """So many calls in so many seconds, then 429; retry_after is worked out unless given."""

    calls: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(gt=0)] = 1.0
    retry_after: Annotated[int, Field(ge=0)] | None = None


class Fault(Settings):
    """Something that goes wrong with a call: with a probability, or the given number of times.

    A fault with `times` hits the next so many calls of its kind and is then over.
    """

    call: Call
    fate: Fate
    probability: Share = 1.0
    times: Annotated[int, Field(ge=1)] | None = None
    status: Annotated[int, Field(ge=400, le=599)] = 500
    message: str = "The simulated cloud was told to fail."
    seconds: Seconds = 30.0
    retry_after: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.fate not in fates_of(self.call):
            raise ValueError(f"{self.call} cannot meet the fate {self.fate}")
        return self


class Ssh(Settings):
    """Booted servers answer SSH on addresses of 127.0.0.0/8; an empty network is chosen for the run."""

    network: str = ""
    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    delay: Span = Span(fixed=0.0)
    keys: Annotated[tuple[str, ...], Field(min_length=1)] = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
    key_per_server: bool = False

    @field_validator("network")
    @classmethod
    def _is_loopback(cls, network: str) -> str:
        if network and not ipaddress.ip_network(network).is_loopback:
            raise ValueError("the network of ssh servers must lie in 127.0.0.0/8")
        return network


class MachineSettings(Settings):
    """Machines that are enrolled and available from the beginning: NAME-0, NAME-1, ..."""

    name: Name = "machine"
    count: Annotated[int, Field(ge=1, le=10000)] = 1
    resource_class: Name = "baremetal"
    traits: tuple[Name, ...] = ()
    owner: str | None = None
    lessee: str | None = None
    extra: Mapping[str, Any] = {}


class BareMetal(Settings):
    """How long Ironic takes for what, and the newest version that it speaks."""

    allocate: Span = Span(fixed=0.1)
    deploy: Span = Span(fixed=5.0)
    undeploy: Span = Span(fixed=1.0)
    clean: Span = Span(fixed=2.0)
    newest: Annotated[str, Field(pattern=r"^1\.[0-9]{1,3}$")] = "1.115"


class RegionSettings(Settings):
    """All that can be chosen about one region."""

    boot: Span = Span(fixed=5.0)
    delete: Span = Span(fixed=1.0)
    image_activation: Span = Span(fixed=0.0)
    latency: Latency = Latency()
    quota: Quota = Quota()
    capacity: Capacity = Capacity()
    rate_limit: RateLimit | None = None
    faults: tuple[Fault, ...] = ()
    flavors: tuple[Flavor, ...] = (
        Flavor(name="small", vcpus=1, ram=2048, disk=20),
        Flavor(name="medium", vcpus=2, ram=4096, disk=40),
        Flavor(name="large", vcpus=8, ram=8192, disk=80),
    )
    networks: tuple[NetworkSettings, ...] = (NetworkSettings(name="public", cidrs=("10.20.0.0/16",), external=True),)
    images: tuple[ImageSettings, ...] = (ImageSettings(name="base"),)
    zones: Annotated[tuple[Name, ...], Field(min_length=1)] = ("nova",)
    key_pairs: tuple[Name, ...] = ()
    page: Annotated[int, Field(ge=1)] = 1000
    ssh: Ssh | None = None
    machines: tuple[MachineSettings, ...] = ()
    bare_metal: BareMetal = BareMetal()

    @field_validator("ssh", mode="before")
    @classmethod
    def _ssh_is_a_switch(cls, value: Any) -> Any:
        match value:
            case True:
                return {}
            case False:
                return None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for call, total in _certainties(self.faults).items():
            if total > 1 + 1e-9:
                raise ValueError(f"the probabilities of the faults of {call} add up to more than 1")
        for kind, names in (
            ("flavor", [flavor.name for flavor in self.flavors]),
            ("network", [network.name for network in self.networks]),
            ("zone", self.zones),
            ("machine", [machine.name for machine in self.machines]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"the {kind} {twice[0]} is named twice")
        return self


def _certainties(faults: tuple[Fault, ...]) -> Counter[Call]:
    sums: Counter[Call] = Counter()
    for fault in faults:
        if fault.times is None and fault.fate is not Fate.SLOW:
            sums[fault.call] += fault.probability  # type: ignore[assignment]
    return sums
