"""Plays demand through an installation as it is configured, in virtual time: how long would requests wait, how full
would pools be, how many node-hours would that take, and how many nodes of each label are to be kept ready.

One launcher, the real one, has it all. Clouds are models, with the boot times, quotas and sizes that are handed in; a
provider has one boot time, the middle one of its labels'. Left out are images (they are taken to be there), floating
IPs, volumes and zones, host key scans, calls that a cloud refuses or limits, machines that are there already,
priorities, tenants, and clients that lose patience.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nodepool_ng.model.ids import LabelName, ProviderName, Seconds
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import CORES, INSTANCES, RAM, Resources
from nodepool_ng.model.settings import CloudImage, Pool, PoolLabel, Provider, Settings
from nodepool_ng.sim.calls import Call, Fate
from nodepool_ng.sim.settings import RegionSettings
from nodepool_ng.sim.virtual.check import nodes_in
from nodepool_ng.sim.virtual.client import Job, VirtualScheduler
from nodepool_ng.sim.virtual.world import MESSAGE_TIME, Installation

WARM_UP: Seconds = 900.0
"""So long pools may fill before the first request comes."""
SAMPLE_EVERY: Seconds = 15.0
AFTERWARDS: Seconds = 4 * 3600.0
"""How long the last requests may take."""
MOST_ROUNDS = 14
IMAGE = "simulated"
_BUSY = (NodeState.IN_USE, NodeState.USED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request: when it comes, for what, and for how long its nodes are used; seconds from the beginning."""

    at: Seconds
    labels: tuple[LabelName, ...]
    seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is known of the clouds. Boots are a median and a sigma of a log-normal distribution, by label."""

    boot: Seconds = 60.0
    sigma: float = 0.3
    delete: Seconds = 5.0
    failures: float = 0.0
    """Share of boots, from 0 to 1, at whose end there is an error."""
    boots: Mapping[LabelName, tuple[Seconds, float]] = field(default_factory=dict)
    costs: Mapping[LabelName, Resources] = field(default_factory=dict)
    quotas: Mapping[ProviderName, Resources] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOutcome:
    """How requests for a label fared; those for several labels count for each. Waits are sorted seconds."""

    waits: tuple[Seconds, ...]
    failed: int
    unserved: int
    min_ready: int

    def within(self, share: float) -> Seconds:
        """Return how long that share of the requests waited at most; infinite where fewer were served."""
        count = len(self.waits) + self.failed + self.unserved
        place = max(math.ceil(count * share) - 1, 0)
        return self.waits[place] if place < len(self.waits) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    labels: Mapping[LabelName, LabelOutcome]
    node_hours: float
    busy_hours: float
    most_nodes: int

    @property
    def utilisation(self) -> float:
        return self.busy_hours / self.node_hours if self.node_hours else 0.0


def play(settings: Settings, wanted: Sequence[Wanted], model: Model, seed: int = 0) -> Outcome:
    """Return what came of the demand."""
    simulated, regions = prepared(settings, model)
    place = Installation(simulated, regions, seed)
    client = VirtualScheduler(place.timeline, place.tree, MESSAGE_TIME)
    place.launcher()
    jobs: list[Job] = []
    for one in wanted:
        place.timeline.schedule(WARM_UP + one.at, partial(_begin, client, jobs, one))
    last = WARM_UP + max((one.at for one in wanted), default=0.0)
    counts = {"nodes": 0.0, "busy": 0.0, "most": 0.0}
    place.timeline.schedule(WARM_UP, partial(_sample, place, counts, last))
    place.timeline.run(last)
    place.timeline.wait_for(lambda: len(jobs) == len(wanted) and all(_served(job) for job in jobs), AFTERWARDS)
    labels = dict.fromkeys(label for one in wanted for label in one.labels)
    return Outcome(
        labels={label: _of_label(label, jobs, settings) for label in sorted(labels)},
        node_hours=counts["nodes"] * SAMPLE_EVERY / 3600,
        busy_hours=counts["busy"] * SAMPLE_EVERY / 3600,
        most_nodes=int(counts["most"]),
    )


def propose(
    settings: Settings,
    wanted: Sequence[Wanted],
    model: Model,
    objective: Seconds,
    share: float,
    tell: Callable[[Mapping[LabelName, int]], None] = lambda tried: None,
    seed: int = 0,
) -> tuple[dict[LabelName, int], Outcome]:
    """Return the fewest ready nodes for each label with which that share of its requests waits no longer than the
    objective, and what comes of them. What more ready nodes do not help is left at what came closest."""
    labels = sorted({label for one in wanted for label in one.labels})
    low = dict.fromkeys(labels, -1)  # fails, as far as is known
    high: dict[LabelName, int | None] = dict.fromkeys(labels)  # does
    trial = dict.fromkeys(labels, 0)
    for _ in range(MOST_ROUNDS):
        tell(trial)
        outcome = play(with_min_ready(settings, trial), wanted, model, seed)
        for label in labels:
            if outcome.labels[label].within(share) <= objective:
                high[label] = trial[label]
            else:
                low[label] = max(trial[label], low[label])
        most = {label: _next(low[label], high[label], outcome.most_nodes) for label in labels}
        if most == trial:
            break
        trial = most
    chosen = {label: found if (found := high[label]) is not None else max(low[label], 0) for label in labels}
    tell(chosen)
    return chosen, play(with_min_ready(settings, chosen), wanted, model, seed)


def _next(fails: int, does: int | None, most: int) -> int:
    if does is None:
        # More than there ever were at a time do not fit: it is not their number that is missing.
        return fails if fails > most else max(fails * 2, 1)
    return does if does - fails <= 1 else (does + fails) // 2


def with_min_ready(settings: Settings, numbers: Mapping[LabelName, int]) -> Settings:
    """Return the settings with other numbers of ready nodes; a timetable gives way."""
    labels = {
        name: replace(label, min_ready=numbers[name], timetable=()) if name in numbers else label
        for name, label in settings.labels.items()
    }
    return replace(settings, labels=labels)


def synthetic(rates: Mapping[LabelName, float], seconds: Seconds, job: Seconds, seed: int = 0) -> list[Wanted]:
    """Return requests that come at random, so many an hour of each label, with jobs of that median length."""
    rng = random.Random(seed)
    found = []
    for label, per_hour in sorted(rates.items()):
        at = rng.expovariate(per_hour / 3600) if per_hour > 0 else seconds
        while at < seconds:
            found.append(Wanted(at, (label,), rng.lognormvariate(math.log(max(job, 1.0)), 0.6)))
            at += rng.expovariate(per_hour / 3600)
    return sorted(found, key=lambda one: one.at)


def prepared(settings: Settings, model: Model) -> tuple[Settings, dict[ProviderName, RegionSettings]]:
    """Return the settings as models of clouds can serve them, and the models. Machines that are there already are left
    out: nothing is launched for them."""
    providers, regions = {}, {}
    for name, provider in settings.providers.items():
        if provider.has_cloud:
            providers[name] = _provider(provider)
            regions[name] = _region(provider, model)
    return replace(settings, providers=providers, zookeeper=None), regions


def _provider(provider: Provider) -> Provider:
    pools = {name: _pool(pool) for name, pool in provider.pools.items()}
    return replace(
        provider, pools=pools, cloud_images={IMAGE: CloudImage(name=IMAGE)}, images={}, launch_timeout=3600.0, rate=None
    )


def _pool(pool: Pool) -> Pool:
    labels = {name: PoolLabel(name=name, cloud_image=IMAGE, flavor_name=_flavor(name)) for name in pool.labels}
    return replace(pool, labels=labels, availability_zones=(), security_groups=(), auto_floating_ip=False)


def _flavor(label: LabelName) -> str:
    return f"for-{label}"


def _region(provider: Provider, model: Model) -> RegionSettings:
    labels = sorted({label for pool in provider.pools.values() for label in pool.labels})
    boots = [model.boots[label] for label in labels if label in model.boots] or [(model.boot, model.sigma)]
    median = sorted(median for median, _ in boots)[len(boots) // 2]
    sigma = sorted(sigma for _, sigma in boots)[len(boots) // 2]
    quota = model.quotas.get(provider.name, Resources())
    told: dict[str, Any] = {
        "boot": {"lognormal": {"median": median, "sigma": sigma}},
        "delete": model.delete,
        "latency": {"default": 0.05},
        "flavors": [_size(label, model) for label in labels],
        "images": [{"name": IMAGE}],
        "faults": [{"call": Call.SERVER_CREATE, "fate": Fate.ERROR, "probability": model.failures}],
        "quota": {key: int(quota.get(key)) for key in (INSTANCES, CORES, RAM) if key in quota.amounts},
    }
    return RegionSettings.model_validate(told)


def _size(label: LabelName, model: Model) -> dict[str, Any]:
    cost = model.costs.get(label, Resources())
    cores, ram = int(cost.get(CORES, 1)), int(cost.get(RAM, 1024))
    return {"name": _flavor(label), "vcpus": max(cores, 1), "ram": max(ram, 1), "disk": 10}


def _begin(client: VirtualScheduler, jobs: list[Job], one: Wanted) -> None:
    jobs.append(client.run_job(one.labels, one.seconds))


def _sample(place: Installation, counts: dict[str, float], until: Seconds) -> None:
    nodes = nodes_in(place).values()
    counts["nodes"] += len(nodes)
    counts["busy"] += sum(node.state in _BUSY for node in nodes)
    counts["most"] = max(counts["most"], len(nodes))
    if place.timeline.monotonic() < until:
        place.timeline.schedule(SAMPLE_EVERY, partial(_sample, place, counts, until))


def _served(job: Job) -> bool:
    return job.served is not None or job.failed


def _of_label(label: LabelName, jobs: Iterable[Job], settings: Settings) -> LabelOutcome:
    mine = [job for job in jobs if label in job.labels]
    configured = settings.labels.get(label)
    return LabelOutcome(
        waits=tuple(sorted(job.served - job.asked for job in mine if job.served is not None)),
        failed=sum(job.failed for job in mine),
        unserved=sum(not _served(job) for job in mine),
        min_ready=configured.min_ready if configured else 0,
    )
