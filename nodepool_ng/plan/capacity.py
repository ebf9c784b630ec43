"""What is free where, during one pass: limits, minus what is used, in flight, promised and reserved."""

import math

from nodepool_ng.model.action import Claim, LaunchNodes, takes
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import LabelName, ProviderName
from nodepool_ng.model.quota import Resources, Shortage, left, shortage
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import Pool, Provider
from nodepool_ng.model.snapshot import Snapshot


class Ledger:
    """Books what a pass gives away, so that no two decisions spend the same capacity."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._s = snapshot
        self._provider_room: dict[ProviderName, dict[str, float]] = {}
        self._pool_room: dict[PoolKey, dict[str, float]] = {}
        self._launches: dict[ProviderName, int] = {}
        for action in set(snapshot.in_flight.values()):
            if isinstance(action, Claim | LaunchNodes) and action.provider in snapshot.settings.providers:
                self.take((action.provider, action.pool), takes(action), len(action.launches))

    def take(self, key: PoolKey, needs: Resources, count: int) -> None:
        """Book `needs` for `count` launches in a pool; may go below zero."""
        for room in (self._provider(key[0]), self._pool(key)):
            for name, amount in needs.amounts.items():
                if name in room:
                    room[name] -= amount
        self._launches[key[0]] = self._launching(key[0]) + count

    def reserve(self, key: PoolKey, needs: Resources) -> None:
        """Set `needs` aside for somebody who cannot start yet."""
        for room in (self._provider(key[0]), self._pool(key)):
            for name, amount in needs.amounts.items():
                if name in room:
                    room[name] -= amount

    def obstacle(self, pool: Pool, labels: tuple[LabelName, ...], needs: Resources) -> Reason | None:
        """Return why launches that need so much cannot start in the pool now, or None when they can."""
        key = pool.key
        short = self.shortage(pool, needs)
        if short is not None:
            code, missing = short
            return _short(code, pool, missing)
        provider = self._s.settings.providers[pool.provider]
        launching = self._launching(pool.provider)
        if provider.max_concurrency >= 0 and launching + len(labels) > max(provider.max_concurrency, 0) and launching:
            return Reason(
                code=Code.CONCURRENCY,
                provider=key[0],
                pool=key[1],
                used=launching,
                limit=provider.max_concurrency,
            )
        for label in labels:
            backoff = self._s.launch_backoff.get((pool.provider, pool.name, label))
            if backoff is not None and backoff.until > self._s.now:
                return Reason(
                    code=Code.BACKOFF,
                    provider=key[0],
                    pool=key[1],
                    wanted=backoff.until - self._s.now,
                    detail=backoff.detail,
                )
        return None

    def shortage(self, pool: Pool, needs: Resources) -> tuple[Code, Shortage] | None:
        """Return which limit lacks most for `needs` at the moment."""
        missing = shortage(Resources(self._pool(pool.key)), needs)
        if missing is not None:
            return Code.POOL_LIMIT, missing
        if not pool.ignore_provider_quota:
            missing = shortage(Resources(self._provider(pool.provider)), needs)
            if missing is not None:
                return Code.PROVIDER_QUOTA, missing
        return None

    def never_fits(self, pool: Pool, needs: Resources) -> Reason | None:
        """Return why `needs` could not be met even by an empty pool, or None when it could."""
        missing = shortage(pool.limits, needs)
        if missing is None and not pool.ignore_provider_quota:
            missing = shortage(self._ours(pool.provider), needs)
        return None if missing is None else _short(Code.NEVER_FITS, pool, missing)

    def room(self, pool: Pool, needs: Resources) -> float:
        """Return how many times `needs` fits at the moment; infinite where nothing limits it."""
        rooms = [self._pool(pool.key)]
        if not pool.ignore_provider_quota:
            rooms.append(self._provider(pool.provider))
        times = [
            room[name] / amount for room in rooms for name, amount in needs.amounts.items() if amount and name in room
        ]
        return max(min(times, default=math.inf), 0)

    def _ours(self, provider: ProviderName) -> Resources:
        facts = self._s.facts.get(provider)
        if facts is None:
            return Resources()
        return left(facts.limits, self._s.foreign_use.get(provider, Resources()))

    def _launching(self, provider: ProviderName) -> int:
        return self._launches.setdefault(provider, self._s.nodes.launching.get(provider, 0))

    def _provider(self, provider: ProviderName) -> dict[str, float]:
        room = self._provider_room.get(provider)
        if room is None:
            used = self._s.nodes.used_in_provider(provider)
            room = self._provider_room[provider] = dict(left(self._ours(provider), used).amounts)
        return room

    def _pool(self, key: PoolKey) -> dict[str, float]:
        room = self._pool_room.get(key)
        if room is None:
            limits = self._s.settings.providers[key[0]].pools[key[1]].limits if self._configured(key) else Resources()
            room = self._pool_room[key] = dict(left(limits, self._s.nodes.used_in_pool(key)).amounts)
        return room

    def _configured(self, key: PoolKey) -> bool:
        provider: Provider | None = self._s.settings.providers.get(key[0])
        return provider is not None and key[1] in provider.pools


def _short(code: Code, pool: Pool, missing: Shortage) -> Reason:
    return Reason(
        code=code,
        provider=pool.provider,
        pool=pool.name,
        resource=missing.resource,
        limit=max(missing.limit, 0),
        wanted=missing.wanted,
    )
