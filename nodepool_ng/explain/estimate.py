"""When a waiting request will be served, with the spread: the queue is played many times, each time with jobs, boots
and deletions that take as long as they did lately.

It is an estimate: jobs that nobody knows of may come, and clouds may fail. What has no precedent is not estimated.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from nodepool_ng.explain.told import BOOT, DELETE, LIFE, Deciles, PoolTold
from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node, hold_limit
from nodepool_ng.model.quota import Resources, total

HORIZON: Seconds = 7 * 24 * 3600.0
MOST_DRAWS = 60
FEWEST_DRAWS = 8
WORK = 400_000
"""About how many steps an estimate may take; with long queues fewer histories are played."""
OVERTIME = 0.1
"""What has taken longer than anything before is expected to take so much longer again."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from now: with one chance in ten sooner than `early`, with one in ten later than `late`."""

    early: Seconds
    median: Seconds
    late: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request in the queue. `pools` may serve it, the preferred one first; `needs` is what it takes in each."""

    labels: tuple[str, ...]
    pools: tuple[str, ...]
    needs: Mapping[str, Resources]


@dataclass(slots=True)
class _Book:
    """What is free at an instant of a history."""

    pools: dict[str, dict[str, float]]
    providers: dict[str, dict[str, float]]
    events: list[tuple[float, int, str, Resources]] = field(default_factory=list)

    def fits(self, pool: str, needs: Resources) -> bool:
        rooms = (self.pools[pool], self.providers.get(pool.partition("/")[0], {}))
        return all(room.get(name, amount) >= amount for room in rooms for name, amount in needs.amounts.items())

    def add(self, pool: str, amounts: Resources, sign: int) -> None:
        for room in (self.pools[pool], self.providers.setdefault(pool.partition("/")[0], {})):
            for name, amount in amounts.amounts.items():
                if name in room:
                    room[name] += sign * amount


def draw(deciles: Deciles, rng: random.Random, age: Seconds = 0.0) -> Seconds:
    """Return how long something takes in all that has taken `age` so far."""
    if age >= deciles[-1]:
        return age * (1 + OVERTIME * rng.random())
    least = share_below(deciles, age)
    place = (least + (1 - least) * rng.random()) * (len(deciles) - 1)
    index = min(int(place), len(deciles) - 2)
    return max(deciles[index] + (deciles[index + 1] - deciles[index]) * (place - index), age)


def share_below(deciles: Deciles, value: float) -> float:
    """Return how much of what was seen took less than `value`, from 0 to 1."""
    if value <= deciles[0]:
        return 0.0
    for index, (low, high) in enumerate(itertools.pairwise(deciles)):
        if value < high:
            return (index + (value - low) / (high - low)) / (len(deciles) - 1)
    return 1.0


def seen(pools: Mapping[str, PoolTold], pool: str, stage: str, label: str | None) -> Deciles | None:
    """Return how long a stage took: with this label there, else with any label there, else anywhere."""
    for name in (pool, *pools):
        there = pools[name].spans.get(stage, {}) if name in pools else {}
        found = there.get(label or "") or next(iter(there.values()), None)
        if found:
            return found
    return None


def estimate(
    queue: Sequence[Waiting],
    pools: Mapping[str, PoolTold],
    nodes: Sequence[Node],
    now: Timestamp,
    max_hold_age: Seconds = 0,
) -> Estimate | None:
    """Return when the last one of the queue will have its nodes; None where there is no precedent to go by."""
    target = queue[-1]
    boots = [seen(pools, pool, BOOT, label) for pool in target.pools for label in target.labels]
    there = [node for node in nodes if f"{node.provider}/{node.pool}" in pools]
    if not target.pools or not any(boots):
        return None
    steps = (len(there) + len(queue)) * len(queue)
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, WORK // max(steps, 1)))
    rng = random.Random(0)  # the same question has the same answer
    found = sorted(
        _play(queue, pools, _book(pools, there, now, max_hold_age, rng), rng) or HORIZON for _ in range(draws)
    )
    if found[len(found) // 2] >= HORIZON:
        return None
    return Estimate(found[len(found) // 10], found[len(found) // 2], found[-1 - len(found) // 10])


def _book(
    pools: Mapping[str, PoolTold], nodes: Sequence[Node], now: Timestamp, max_hold_age: Seconds, rng: random.Random
) -> _Book:
    """Return what is free now, and when each node will have gone."""
    book = _Book(
        {name: dict(pool.room.amounts) for name, pool in pools.items()},
        {pool.provider: dict(pool.provider_room.amounts) for pool in pools.values()},
    )
    for number, node in enumerate(nodes):
        pool = f"{node.provider}/{node.pool}"
        gone = _gone_in(node, pool, pools, max(now - node.state_time, 0.0), max_hold_age, rng)
        if gone is not None:
            uses = node.resources or pools[pool].costs.get(node.label or "") or Resources({"instances": 1})
            book.events.append((gone, number, pool, uses))
    heapify(book.events)
    return book


def _gone_in(
    node: Node, pool: str, pools: Mapping[str, PoolTold], age: Seconds, max_hold_age: Seconds, rng: random.Random
) -> Seconds | None:
    """Return in how many seconds a node will have gone; None: nobody knows, or it stays."""
    spans = {stage: seen(pools, pool, stage, node.label) for stage in (BOOT, LIFE, DELETE)}

    def rest(stage: str, age: Seconds) -> Seconds | None:
        known = spans[stage]
        return None if known is None else draw(known, rng, age) - age

    match node.state:
        case NodeState.DELETING | NodeState.DELETED:
            return rest(DELETE, age) or 0.0
        case NodeState.USED | NodeState.FAILED | NodeState.ABORTED:
            return rest(DELETE, 0.0) or 0.0
        case NodeState.READY if node.allocated_to is None:
            return rest(DELETE, 0.0) or 0.0
        case NodeState.HOLD:
            limit = hold_limit(node, max_hold_age)
            return max(limit - age, 0.0) if limit else None
        case NodeState.IN_USE:
            parts = [rest(LIFE, age), rest(DELETE, 0.0) or 0.0]
        case NodeState.READY:
            parts = [rest(LIFE, 0.0), rest(DELETE, 0.0) or 0.0]
        case _:
            parts = [rest(BOOT, age) or 0.0, rest(LIFE, 0.0), rest(DELETE, 0.0) or 0.0]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _play(queue: Sequence[Waiting], pools: Mapping[str, PoolTold], book: _Book, rng: random.Random) -> Seconds | None:
    """Return in how many seconds the last one of the queue is served in one history; None: not in it."""
    waiting = list(enumerate(queue))
    now, number = 0.0, len(book.events)
    while True:
        still: list[tuple[int, Waiting]] = []
        reserved: list[tuple[str, Resources]] = []
        for place_in_queue, one in waiting:
            pool = next((name for name in one.pools if book.fits(name, one.needs[name])), None)
            if pool is None:
                still.append((place_in_queue, one))
                if one.pools:
                    reserved.append((one.pools[0], one.needs[one.pools[0]]))
                    book.add(*reserved[-1], -1)
                continue
            book.add(pool, one.needs[pool], -1)
            boot = max(
                (draw(known, rng) for label in one.labels if (known := seen(pools, pool, BOOT, label))), default=0
            )
            if place_in_queue == len(queue) - 1:
                return now + boot
            life, leave = seen(pools, pool, LIFE, one.labels[0]), seen(pools, pool, DELETE, one.labels[0])
            if life is not None:
                number += 1
                ends = now + boot + draw(life, rng) + (draw(leave, rng) if leave else 0.0)
                heappush(book.events, (ends, number, pool, one.needs[pool]))
        for place, amounts in reserved:
            book.add(place, amounts, 1)
        waiting = still
        if not book.events or now > HORIZON:
            return None
        now, _, place, amounts = heappop(book.events)
        book.add(place, amounts, 1)


def needs_of(labels: Sequence[str], pool: PoolTold) -> Resources:
    """Return what a request takes in a pool, as far as that is known; each node is at least a server."""
    return total(pool.costs.get(label) or Resources({"instances": 1}) for label in labels)
