"""Keeps the warm pool filled: `min-ready` is demand of the lowest priority in the same pass.

`min-ready` is one target for the whole installation. The places to fill are numbered, and each belongs to one pool:
of those with the lowest priority number the one that rendezvous hashing names, or the next one where that is full.
Every launcher comes to the same division without talking to another, and what one pool has too much another one
leaves out. Pools of other software keep a target of their own; their nodes count, but nothing is left to them.
"""

import functools
import math
from collections import Counter
from dataclasses import dataclass

from nodepool_ng.model.action import Launch, LaunchNodes, warm_subject
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import LabelName
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import Label, Pool
from nodepool_ng.model.snapshot import cordon_of
from nodepool_ng.plan.desk import Desk
from nodepool_ng.plan.registry import SOFTWARE, key_of, rendezvous
from nodepool_ng.plan.serving import launches, never, pick_zone, unable


@dataclass(frozen=True, slots=True)
class Place:
    """A pool that may keep nodes of a label ready: `have` it has, and up to `most` it can have."""

    key: PoolKey
    priority: int
    have: int
    most: float
    ours: bool


def plan_warm(desk: Desk) -> None:
    """Add launches for labels with too few ready nodes, and note the pools that lack the room for theirs."""
    for label in sorted(desk.s.settings.labels.values(), key=lambda label: label.name):
        if label.min_ready > 0:
            _fill(desk, label)


def _fill(desk: Desk, label: Label) -> None:
    have = {key: count for key, count in desk.s.nodes.warm.get(label.name, {}).items() if count}
    for action in desk.s.in_flight.values():
        if not isinstance(action, LaunchNodes) or action.canary is not None:
            continue
        if action.request is None and action.launches[0].label == label.name:
            key = (action.provider, action.pool)
            have[key] = have.get(key, 0) + len(action.launches)
    ready = sum(have.values())
    if ready >= label.min_ready:
        return
    places = _places(desk, label, have)
    for place, count in division(desk, label, places, have):
        if place.ours:
            pool = desk.s.settings.providers[place.key[0]].pools[place.key[1]]
            _launch(desk, pool, label, ready, count)


def _places(desk: Desk, label: Label, have: dict[PoolKey, int]) -> list[Place]:
    """Return the pools among which the places of a label are divided."""
    places = {}
    for component in desk.registry.supporting(frozenset({label.name})):
        key = key_of(component)
        if component.software == SOFTWARE and key not in places:
            ours = key in desk.s.pool_ids and key[0] in desk.s.leased
            most = _most_of_ours(desk, key, label.name) if ours else _most_elsewhere(desk, key, label.name)
            if most is not None:
                count = have.get(key, 0)
                places[key] = Place(key=key, priority=component.priority, have=count, most=count + most, ours=ours)
    return list(places.values())


def _most_of_ours(desk: Desk, key: PoolKey, label: LabelName) -> float | None:
    """Return how many more nodes a pool of ours has room for; None where it cannot make them at all.

    A cloud that has not answered yet keeps its places; one that is in trouble leaves them to others.
    """
    s = desk.s
    provider = s.settings.providers.get(key[0])
    pool = provider.pools.get(key[1]) if provider else None
    if (
        pool is None
        or pool.hosts is not None
        or label not in pool.labels
        or never(s, desk.ledger, pool, (label,)) is not None
    ):
        return None
    needs = desk.ledger.cost(key, (label,))
    if isinstance(needs, str):
        return 0 if key[0] in s.facts and s.facts[key[0]].error is not None else math.inf
    barrier = desk.ledger.barrier(pool, (label,))
    if barrier is not None and barrier.code is Code.BACKOFF:
        desk.agenda.look_again(s.now + barrier.wanted)
    if barrier is not None:
        return 0
    return desk.ledger.room(pool, needs) // 1


def _most_elsewhere(desk: Desk, key: PoolKey, label: LabelName) -> float | None:
    """Return the same for a pool that another launcher acts for: what its registration and our configuration say."""
    provider = desk.s.settings.providers.get(key[0])
    pool = provider.pools.get(key[1]) if provider else None
    if pool is not None and (
        pool.hosts is not None or label not in pool.labels or unable(desk.s, pool, (label,)) is not None
    ):
        return None
    image = pool.labels[label].diskimage if pool is not None else None
    barred = cordon_of(desk.s, key, (image,)) is not None
    return 0 if barred or key in desk.registry.paused_keys else math.inf


def division(desk: Desk, label: Label, places: list[Place], have: dict[PoolKey, int]) -> list[tuple[Place, int]]:
    """Return who launches how many of the missing nodes.

    Places are given to pools one by one. A pool's own places are filled by what it has; what is too much somewhere
    fills the first of the places that are left empty. A pool of ours that is passed over for want of room is short.
    """
    chosen = _first_choices(label.name, label.min_ready, _entrants(places))
    if any(len(numbers) > place.most for place, numbers in zip(places, chosen, strict=True)):
        return one_by_one(desk, label, places, have)
    # Nobody is full, so that each gets all places that are its first choice.
    empty = sorted(
        (number, position)
        for position, (place, numbers) in enumerate(zip(places, chosen, strict=True))
        for number in numbers[place.have :]
    )
    given = {place.key: len(numbers) for place, numbers in zip(places, chosen, strict=True)}
    counts = Counter(position for _, position in empty[_surplus(have, given) :])
    return [(place, counts[position]) for position, place in enumerate(places) if counts[position]]


def one_by_one(desk: Desk, label: Label, places: list[Place], have: dict[PoolKey, int]) -> list[tuple[Place, int]]:
    """Go through the places in their order, as `division` says."""
    entrants = _entrants(places)
    given: dict[PoolKey, int] = {}
    empty: list[Place] = []
    for ranks in _choices(label.name, label.min_ready, entrants):
        for place in (places[rank] for rank in ranks):
            if given.get(place.key, 0) >= place.most:
                if place.ours:
                    desk.short.add(place.key)
                continue
            given[place.key] = given.get(place.key, 0) + 1
            if given[place.key] > place.have:
                empty.append(place)
            break
        else:
            break
    counts = Counter(place.key for place in empty[_surplus(have, given) :])
    return [(place, counts[place.key]) for place in places if counts[place.key]]


def _surplus(have: dict[PoolKey, int], given: dict[PoolKey, int]) -> int:
    """Return how many nodes pools have beyond the places that they were given."""
    return sum(max(count - given.get(key, 0), 0) for key, count in have.items())


def _entrants(places: list[Place]) -> tuple[tuple[int, PoolKey], ...]:
    return tuple((place.priority, place.key) for place in places)


@functools.lru_cache(maxsize=1 << 8)
def _first_choices(
    name: LabelName, count: int, entrants: tuple[tuple[int, PoolKey], ...]
) -> tuple[tuple[int, ...], ...]:
    """Return, for each pool, those of a label's places that it is the first choice for, in their order."""
    chosen: list[list[int]] = [[] for _ in entrants]
    for number, ranks in enumerate(_choices(name, count, entrants) if entrants else ()):
        chosen[ranks[0]].append(number)
    return tuple(map(tuple, chosen))


@functools.lru_cache(maxsize=1 << 8)
def _choices(name: LabelName, count: int, entrants: tuple[tuple[int, PoolKey], ...]) -> tuple[tuple[int, ...], ...]:
    """Return, for each of a label's places, the pools that may have it, in their order."""
    return tuple(_ranks(f"{name}/{number}", entrants) for number in range(count))


@functools.lru_cache(maxsize=1 << 14)
def _ranks(thing: str, entrants: tuple[tuple[int, PoolKey], ...]) -> tuple[int, ...]:
    """Return positions in `entrants`, of priorities and pools, in the order in which they may have a thing."""

    def rank(position: int) -> tuple[int, int, PoolKey]:
        priority, key = entrants[position]
        return priority, -rendezvous(thing, "/".join(key)), key

    return tuple(sorted(range(len(entrants)), key=rank))


def _launch(desk: Desk, pool: Pool, label: Label, ready: int, count: int) -> None:
    """Launch up to `count` nodes, as many as may start now."""
    needs = desk.ledger.cost(pool.key, (label.name,))
    if isinstance(needs, str) or not desk.agenda.free(warm_subject(pool.provider, pool.name, label.name)):
        return
    started: list[Launch] = []
    while len(started) < count and desk.ledger.obstacle(pool, (label.name,), needs) is None:
        zone = pick_zone(desk.s, pool, f"{label.name}/{len(desk.s.nodes.nodes)}/{len(started)}")
        started += launches(desk.s, pool, (label.name,), zone)
        desk.ledger.take(pool.key, needs, 1)
    if started:
        why = Reason(
            code=Code.WARM, provider=pool.provider, pool=pool.name, label=label.name, used=ready, limit=label.min_ready
        )
        desk.agenda.add(
            LaunchNodes(request=None, provider=pool.provider, pool=pool.name, launches=tuple(started), why=why)
        )
