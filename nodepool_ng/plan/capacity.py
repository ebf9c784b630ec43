"""What is free where, during one pass: limits, minus what is used, in flight, promised and reserved."""

import math
from collections.abc import Iterator

from nodepool_ng.model.action import Claim, HandOut, LaunchNodes, subjects, takes
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import LabelName, ProviderName, RequestId, TenantName
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.quota import NONE, Resources, Shortage, left, shortage, total
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import Pool, Provider
from nodepool_ng.model.snapshot import Backoff, Snapshot, cordon_of, freeze_of


class Ledger:
    """Books what a pass gives away, so that no two decisions spend the same capacity."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._s = snapshot
        self._provider_room: dict[ProviderName, dict[str, float]] = {}
        self._pool_room: dict[PoolKey, dict[str, float]] = {}
        self._tenant_room: dict[TenantName, dict[str, float]] = {}
        self._launches: dict[ProviderName, int] = {}
        self._available: dict[ProviderName, Resources] = {}
        self._costs: dict[tuple[PoolKey, tuple[LabelName, ...]], Resources | str] = {}
        self.ruled_out: dict[tuple[PoolKey, tuple[LabelName, ...]], Reason | None] = {}
        """Why a pool can never serve labels, or None, as far as that was asked for in this pass."""
        self.unsettled: set[ProviderName] = set()
        """Providers where launches in flight may be counted twice for a moment: as such, and by their records."""
        for action in starting(snapshot):
            self._take_in_flight(action)

    def take(self, key: PoolKey, needs: Resources, count: int) -> None:
        """Book `needs` for `count` launches in a pool; may go below zero."""
        self.reserve(key, needs)
        self._launches[key[0]] = self.launching(key[0]) + count

    def landed(self, provider: ProviderName, count: int) -> None:
        """Take off launches that are up, though not yet written down as ready: they wait for the rest of their set."""
        self._launches[provider] = self.launching(provider) - count

    def reserve(self, key: PoolKey, needs: Resources) -> None:
        """Set `needs` aside for somebody who cannot start yet."""
        for room in (self._provider(key[0]), self._pool(key)):
            _subtract(room, needs)

    def give_tenant(self, tenant: TenantName | None, needs: Resources) -> None:
        """Book what a tenant gets."""
        if tenant is not None and tenant in self._s.settings.tenant_limits:
            _subtract(self._tenant(tenant), needs)

    def barrier(self, pool: Pool, labels: tuple[LabelName, ...]) -> Reason | None:
        """Return why nothing at all may be launched in the pool now, however little it needs; None when it may."""
        key = pool.key
        if freeze_of(self._s, key[0]).creates:
            return Reason(code=Code.FROZEN, provider=key[0], pool=key[1])
        barred = cordoned(self._s, pool, labels)
        if barred is not None:
            return barred
        backoff = self._backoff(key, labels)
        if backoff is None:
            return None
        wait = backoff.until - self._s.now
        return Reason(code=Code.BACKOFF, provider=key[0], pool=key[1], wanted=wait, detail=backoff.detail)

    def obstacle(self, pool: Pool, labels: tuple[LabelName, ...], needs: Resources) -> Reason | None:
        """Return why launches that need so much cannot start in the pool now, or None when they can."""
        barrier = self.barrier(pool, labels)
        if barrier is not None:
            return barrier
        short = self.shortage(pool, needs)
        if short is not None:
            code, missing = short
            return _short(code, pool, missing)
        provider = self._s.settings.providers[pool.provider]
        launching = self.launching(pool.provider)
        if provider.max_concurrency >= 0 and launching and launching + len(labels) > provider.max_concurrency:
            return Reason(
                code=Code.CONCURRENCY,
                provider=pool.provider,
                pool=pool.name,
                used=launching,
                limit=provider.max_concurrency,
            )
        return None

    def shortage(
        self, pool: Pool, needs: Resources, *, in_pool: Resources = NONE, in_provider: Resources = NONE
    ) -> tuple[Code, Shortage] | None:
        """Return which limit lacks most for `needs`: at the moment, or once `in_pool` and `in_provider` more is
        free."""
        if not self.lacks(pool, needs, in_pool=in_pool, in_provider=in_provider):
            return None
        missing = shortage(_with(self._pool(pool.key), in_pool), needs)
        if missing is not None:
            return Code.POOL_LIMIT, missing
        missing = shortage(_with(self._provider(pool.provider), in_provider), needs)
        return (Code.PROVIDER_QUOTA, missing) if missing is not None else None

    def lacks(self, pool: Pool, needs: Resources, *, in_pool: Resources = NONE, in_provider: Resources = NONE) -> bool:
        """Tell whether any limit lacks something for `needs`: the question that a pass asks most often."""
        if _lacks(self._pool(pool.key), in_pool, needs):
            return True
        return not pool.ignore_provider_quota and _lacks(self._provider(pool.provider), in_provider, needs)

    def never_fits(self, pool: Pool, needs: Resources) -> Reason | None:
        """Return why `needs` could not be met even by an empty pool, or None when it could."""
        missing = shortage(pool.limits, needs)
        if missing is None and not pool.ignore_provider_quota:
            missing = shortage(self._ours(pool.provider), needs)
        return None if missing is None else _short(Code.NEVER_FITS, pool, missing)

    def tenant_obstacle(self, tenant: TenantName | None, needs: Resources) -> Reason | None:
        """Return why a tenant may not have so much more now. Ready nodes count like launched ones."""
        if tenant is None or tenant not in self._s.settings.tenant_limits:
            return None
        missing = shortage(Resources(self._tenant(tenant)), needs)
        if missing is None:
            return None
        limit = max(missing.limit, 0)
        return Reason(code=Code.TENANT_LIMIT, resource=missing.resource, limit=limit, wanted=missing.wanted)

    def room(self, pool: Pool, needs: Resources) -> float:
        """Return how many times `needs` fits at the moment; infinite where nothing limits it."""
        least = _times(self._pool(pool.key), needs)
        if not pool.ignore_provider_quota:
            least = min(least, _times(self._provider(pool.provider), needs))
        return max(least, 0)

    def launching(self, provider: ProviderName) -> int:
        """Return how many nodes a provider is in the middle of launching."""
        return self._launches.setdefault(provider, self._s.nodes.launching.get(provider, 0))

    def cost(self, key: PoolKey, labels: tuple[LabelName, ...]) -> Resources | str:
        """Return what launching the labels in a pool takes, or, in words, what the cloud has not told yet."""
        cost = self._costs.get((key, labels))
        if cost is None:
            cost = self._costs[key, labels] = self._cost(key, labels)
        return cost

    def _cost(self, key: PoolKey, labels: tuple[LabelName, ...]) -> Resources | str:
        facts = self._s.facts.get(key[0])
        if facts is None or facts.limits_read is None or facts.full_listed is None:
            return facts.error if facts and facts.error else "no answer yet"
        needs = []
        for label in labels:
            known = facts.label(key[1], label)
            if known is None:
                return f"nothing about label {label} yet"
            needs.append(known.needs)
        return needs[0] if len(needs) == 1 else total(needs)

    def _backoff(self, key: PoolKey, labels: tuple[LabelName, ...]) -> Backoff | None:
        found = [self._s.provider_backoff.get(key[0])]
        if self._s.launch_backoff:
            found += [self._s.launch_backoff.get((*key, label)) for label in labels]
        live = (backoff for backoff in found if backoff is not None and backoff.until > self._s.now)
        return max(live, key=lambda backoff: backoff.until, default=None)

    def _take_in_flight(self, action: Claim | HandOut | LaunchNodes) -> None:
        if not isinstance(action, HandOut) and self._configured((action.provider, action.pool)):
            self.take((action.provider, action.pool), takes(action), len(action.launches))
        if isinstance(action, LaunchNodes):
            self.unsettled.add(action.provider)
        else:
            request = self._s.requests.get(action.request)
            nodes = total(self._s.nodes.uses(node) for node in action.nodes)
            self.give_tenant(request.tenant_name if request else None, nodes + takes(action))

    def _ours(self, provider: ProviderName) -> Resources:
        ours = self._available.get(provider)
        if ours is None:
            facts = self._s.facts.get(provider)
            limits = facts.limits if facts else NONE
            foreign = self._s.foreign_use.get(provider, NONE)
            if facts is not None and facts.loose:
                foreign = foreign + facts.loose
            ours = self._available[provider] = left(limits, foreign)
        return ours

    def _provider(self, provider: ProviderName) -> dict[str, float]:
        room = self._provider_room.get(provider)
        if room is None:
            used = self._s.nodes.used_in_provider(provider)
            away = self._s.away.get(provider)
            room = self._provider_room[provider] = dict(
                left(self._ours(provider), used + away if away else used).amounts
            )
        return room

    def _pool(self, key: PoolKey) -> dict[str, float]:
        room = self._pool_room.get(key)
        if room is None:
            limits = self._s.settings.providers[key[0]].pools[key[1]].limits if self._configured(key) else NONE
            room = self._pool_room[key] = dict(left(limits, self._s.nodes.used_in_pool(key)).amounts)
        return room

    def _tenant(self, tenant: TenantName) -> dict[str, float]:
        room = self._tenant_room.get(tenant)
        if room is None:
            limits = self._s.settings.tenant_limits[tenant]
            room = self._tenant_room[tenant] = dict(left(limits, self._s.nodes.used_by_tenant(tenant)).amounts)
        return room

    def _configured(self, key: PoolKey) -> bool:
        provider: Provider | None = self._s.settings.providers.get(key[0])
        return provider is not None and key[1] in provider.pools


def cordoned(s: Snapshot, pool: Pool, labels: tuple[LabelName, ...]) -> Reason | None:
    """Return that an operator has cordoned the pool, or the image of one of the labels; None where nobody has."""
    if not s.cordons:
        return None
    images = (pool.labels[label].diskimage for label in labels if label in pool.labels)
    order = cordon_of(s, pool.key, images)
    if order is None:
        return None
    return Reason(code=Code.CORDONED, provider=pool.provider, pool=pool.name, detail=" ".join(order))


def starting(s: Snapshot) -> Iterator[Claim | HandOut | LaunchNodes]:
    """Yield each action in flight whose use of capacity no record shows yet.

    A claim and a hand-out change the request in the same transaction as the nodes: once the request is not waiting
    any more the nodes are counted by their records.
    """
    for subject, action in s.in_flight.items():
        match action:
            case Claim() | HandOut() if subjects(action)[0] == subject and _waits(s, action.request):
                yield action
            case LaunchNodes() if subjects(action)[0] == subject:
                yield action
            case _:
                pass


def _waits(s: Snapshot, request_id: RequestId) -> bool:
    request = s.requests.get(request_id)
    return request is None or request.state is RequestState.REQUESTED


def _subtract(room: dict[str, float], needs: Resources) -> None:
    for name, amount in needs.amounts.items():
        if name in room:
            room[name] -= amount


def _times(room: dict[str, float], needs: Resources) -> float:
    times = [room[name] / amount for name, amount in needs.amounts.items() if amount > 0 and name in room]
    return min(times) if times else math.inf


def _lacks(room: dict[str, float], more: Resources, needs: Resources) -> bool:
    """Tell whether `needs` does not fit."""
    for name, amount in needs.amounts.items():
        if 0 < amount > room.get(name, math.inf) + more.amounts.get(name, 0):
            return True
    return False


def _with(room: dict[str, float], more: Resources) -> Resources:
    if not more.amounts:
        return Resources(room)
    return Resources({name: amount + more.get(name) for name, amount in room.items()})


def _short(code: Code, pool: Pool, missing: Shortage) -> Reason:
    return Reason(
        code=code,
        provider=pool.provider,
        pool=pool.name,
        resource=missing.resource,
        limit=max(missing.limit, 0),
        wanted=missing.wanted,
    )
