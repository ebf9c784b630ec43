"""Being there: the components that others see, and the leases of the providers.

Level-triggered like everything else: what should be registered is compared with what the mirror shows, so a new
session, a changed configuration and a lost answer are all mended by the same look.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import nodepool_ng
from nodepool_ng.launcher.outcome import Done, Lost, Outcome
from nodepool_ng.launcher.world import OWNER_KEY, World
from nodepool_ng.model.action import Subject
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.component import LAUNCHER, POOL, Component
from nodepool_ng.model.ids import Json, PoolId, ProviderName
from nodepool_ng.model.settings import Pool, Settings
from nodepool_ng.plan.registry import SOFTWARE
from nodepool_ng.shell.contender import prefix
from nodepool_ng.shell.effect import Effect, commit
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Committed, Create, Delete, Failure, Problem, Set


@dataclass(frozen=True, slots=True)
class Register:
    component: Component


@dataclass(frozen=True, slots=True)
class Republish:
    component: Component
    version: int


@dataclass(frozen=True, slots=True)
class Unregister:
    component: Component


@dataclass(frozen=True, slots=True)
class QueueForLease:
    """Put our contender into the queue for a provider's lease. It stays there: a standby takes over when the
    holders before it are gone."""

    provider: ProviderName


@dataclass(frozen=True, slots=True)
class LeaveLease:
    """Take our contender out of the queue for a provider that is not ours to mind any more."""

    provider: ProviderName
    contenders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StandForStats:
    """Stand for telling the numbers of the whole installation; whoever is first in the queue does."""


_Key: TypeAlias = tuple[str, PoolId | None]
"""Kind and pool id of a component."""
Chore: TypeAlias = Register | Republish | Unregister | QueueForLease | LeaveLease | StandForStats


def pool_keys(settings: Settings) -> Iterator[PoolKey]:
    for provider in settings.providers.values():
        for pool in provider.pools:
            yield provider.name, pool


def chore_subject(chore: Chore) -> Subject:
    match chore:
        case Register(component) | Republish(component) | Unregister(component):
            return "component", f"{component.kind}/{component.id or component.hostname}"
        case QueueForLease(provider) | LeaveLease(provider):
            return "lease", provider
        case StandForStats():
            return "election", "stats"


class Registration:
    """Compares what should be registered with what is. What should be is worked out anew only when it may differ."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._from: tuple[object, ...] = ()
        self._wanted: Mapping[_Key, Component] = {}
        self._right: dict[_Key, Component] = {}
        """Records that were found to say what they should."""

    def chores(self, world: World, short: frozenset[PoolKey]) -> Iterator[Chore]:
        """Yield what is missing or out of date in the registry. `short` are the pools that publish `paused`."""
        self._work_out(world, short)
        present = {
            (entry.record.kind, entry.record.id): entry
            for entry in world.picture.components.values()
            if entry.record.extra.get(OWNER_KEY) == world.owner
        }
        for key, component in self._wanted.items():
            entry = present.get(key)
            if entry is None:
                yield Register(component)
            elif self._right.get(key) is entry.record:
                pass
            elif replace(component, key=entry.record.key) != entry.record:
                yield Republish(replace(component, key=entry.record.key), entry.version)
            else:
                self._right[key] = entry.record
        for key, entry in present.items():
            if key not in self._wanted:
                yield Unregister(entry.record)
        for provider in world.settings.providers:
            queue = world.lease_queue(provider)
            if not any(world.is_ours(name) for name in queue):
                yield QueueForLease(provider)
        yield from _leases_to_leave(world)
        if world.tells_numbers and not any(world.is_ours(name) for name in world.stats_queue()):
            yield StandForStats()

    def _work_out(self, world: World, short: frozenset[PoolKey]) -> None:
        of = (world.settings, world.pool_ids, short)
        if len(self._from) == 3 and self._from[0] is of[0] and self._from[1] is of[1] and self._from[2] == short:
            return
        self._from, self._right = of, {}
        self._wanted = {(c.kind, c.id): c for c in _wanted(world, self._hostname, short)}


def _leases_to_leave(world: World) -> Iterator[LeaveLease]:
    for of, queue in world.picture.locks.items():
        if isinstance(of, paths.LeaseAt) and of.provider not in world.settings.providers:
            ours = tuple(name for name in queue if world.is_ours(name))
            if ours and of.provider not in world.leaving:
                yield LeaveLease(of.provider, ours)


def _wanted(world: World, hostname: str, short: frozenset[PoolKey]) -> Iterator[Component]:
    own: dict[str, Json] = {OWNER_KEY: world.owner, "model_api": 0}
    yield Component(
        key="", kind=LAUNCHER, hostname=hostname, state="running", version=nodepool_ng.__version__, extra=own
    )
    for key, pool_id in world.pool_ids.items():
        pool: Pool = world.settings.providers[key[0]].pools[key[1]]
        yield Component(
            key="",
            kind=POOL,
            hostname=hostname,
            state="running",
            version=nodepool_ng.__version__,
            id=pool_id,
            name=pool.name,
            provider_name=pool.provider,
            supported_labels=frozenset(pool.labels),
            priority=pool.priority,
            paused=key in short,
            software=SOFTWARE,
            extra=own,
        )


def carry_out(world: World, chore: Chore) -> Effect[Outcome]:
    match chore:
        case Register(component):
            path = paths.new_component(component.kind, component.hostname)
            answer = yield from commit(Create(path, codec.encode_component(component), ephemeral=True, sequence=True))
        case Republish(component, version):
            path = paths.component(component.kind, component.key)
            answer = yield from commit(Set(path, codec.encode_component(component), version))
        case Unregister(component):
            answer = yield from commit(Delete(paths.component(component.kind, component.key)))
        case QueueForLease(provider):
            answer = yield from _queue(world, paths.lease(provider))
        case StandForStats():
            answer = yield from _queue(world, paths.STATS_ELECTION)
            if isinstance(answer, Failure) and answer.problem is Problem.NO_NODE:
                yield from commit(Create(paths.ELECTIONS))
                answer = yield from _queue(world, paths.STATS_ELECTION)
        case LeaveLease(provider, contenders):
            answer = yield from commit(*(Delete(f"{paths.lease(provider)}/{name}") for name in contenders))
    return Lost(str(answer)) if isinstance(answer, Failure) else Done()


def _queue(world: World, directory: str) -> Effect[Committed | Failure]:
    """Put our contender into the queue for a lock; the directory is made where it is missing."""
    contender = f"{directory}/{prefix(world.owner)}"
    answer = yield from commit(Create(contender, ephemeral=True, sequence=True))
    if isinstance(answer, Failure) and answer.problem is Problem.NO_NODE:
        answer = yield from commit(Create(directory), Create(contender, ephemeral=True, sequence=True))
    if isinstance(answer, Failure) and answer.problem is Problem.NODE_EXISTS:  # another one made it just now
        answer = yield from commit(Create(contender, ephemeral=True, sequence=True))
    return answer
