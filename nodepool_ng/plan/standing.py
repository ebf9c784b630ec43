"""How the registered pools stand to a kind of request: who may serve it, who cannot, who leaves it to whom."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.component import Component
from nodepool_ng.model.reason import Code, Reason, at
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import Pool
from nodepool_ng.plan.desk import Desk
from nodepool_ng.plan.registry import SOFTWARE, key_of, rendezvous
from nodepool_ng.plan.serving import never


@dataclass(frozen=True, slots=True)
class Standing:
    """`able` are our pools that may serve it now, preferred ones first, `impossible` those that never can, `yielding`
    the reasons of those that leave it to another. `others` are the pools of other launchers that may have it.
    `reserving` are the pools of which one reserves room for it, and whether they are ours; with `alone` all of them
    are."""

    able: tuple[Pool, ...]
    impossible: dict[PoolKey, Reason]
    yielding: tuple[Reason, ...]
    others: tuple[Component, ...]
    reserving: Mapping[str, bool]
    alone: bool
    decline: bool
    """Whether it is of use to write down now which of our pools cannot."""

    def is_ours_to_reserve(self, request: NodeRequest) -> bool:
        """Tell whether room is reserved for a request here: of all launchers exactly one does so."""
        if self.alone:
            return True
        first = max(self.reserving, key=functools.partial(rendezvous, request.id))
        return self.reserving[first]


def look(desk: Desk, request: NodeRequest) -> Standing:
    """Return how pools stand to all requests with the same labels, preference and history of declines."""
    candidates = [
        pool for pool in desk.registry.supporting(frozenset(request.labels)) if pool.id not in request.declined_by
    ]
    others = desk.registry.elsewhere(candidates)
    if desk.registry.ids and desk.registry.ids <= set(request.declined_by):
        return _declined_by_all(desk, request)
    possible, impossible = _ours(desk, request, bool(others))
    decline = bool(impossible) and (not possible or bool(others))
    preferred = request.provider
    if all(pool.provider != preferred for pool in possible) and all(c.provider_name != preferred for c in others):
        preferred = None
    others = [pool for pool in others if preferred in (None, pool.provider_name)]
    best = min((pool for pool in others if not desk.registry.paused(pool)), key=lambda p: p.priority, default=None)
    able = []
    yielding = []
    for pool in possible:
        if preferred not in (None, pool.provider):
            yielding.append(at(pool.key, Code.YIELD_PROVIDER, detail=str(preferred)))
        elif best is not None and best.priority < pool.priority:
            yielding.append(at(pool.key, Code.YIELD_PRIORITY, detail=f"{best.provider_name}/{best.name}"))
        else:
            able.append(pool)
    entrants = [(pool.priority, pool.key, pool.key in desk.registry.paused_keys) for pool in able]
    entrants += [(c.priority, key_of(c), desk.registry.paused(c)) for c in others if c.software == SOFTWARE]
    top = min((priority for priority, _, paused in entrants if not paused), default=None)
    keys = dict.fromkeys(key for priority, key, _ in entrants if top is None or priority <= top)
    reserving = {"/".join(key): any(pool.key == key for pool in able) for key in keys}
    return Standing(
        able=tuple(sorted(able, key=lambda pool: pool.priority)),
        impossible=impossible,
        yielding=tuple(yielding),
        others=tuple(others),
        reserving=reserving,
        alone=all(reserving.values()),
        decline=decline,
    )


def _declined_by_all(desk: Desk, request: NodeRequest) -> Standing:
    """Return the standing of a request that all registered pools have declined, yet nobody failed: the last two did
    so at the same time, or the one pool that had not went away."""
    s = desk.s
    impossible: dict[PoolKey, Reason] = {}
    for key, pool_id in s.pool_ids.items():
        provider = s.settings.providers.get(key[0])
        pool = provider.pools.get(key[1]) if provider else None
        if pool is None or key[0] not in s.leased or pool_id not in desk.registry.ids:
            continue
        missing = next((label for label in request.labels if label not in pool.labels), None)
        if missing is not None:
            impossible[key] = at(key, Code.NO_SUCH_LABEL, label=missing)
        else:
            impossible[key] = never(s, desk.ledger, pool, request.labels) or at(key, Code.DECLINED)
    return Standing(
        able=(),
        impossible=impossible,
        yielding=(),
        others=(),
        reserving={},
        alone=True,
        decline=bool(impossible),
    )


def _ours(desk: Desk, request: NodeRequest, others: bool) -> tuple[list[Pool], dict[PoolKey, Reason]]:
    """Return our pools that might serve such requests, and why the others cannot.

    A pool that has declined does so once more for a standby that came since. A pool that lacks a label says so only
    where no pool is left that has all of them: the request is theirs.
    """
    s = desk.s
    possible: list[Pool] = []
    impossible: dict[PoolKey, Reason] = {}
    lacking: dict[PoolKey, Reason] = {}
    for key, pool_id in s.pool_ids.items():
        provider = s.settings.providers.get(key[0])
        pool = provider.pools.get(key[1]) if provider else None
        if pool is None or key[0] not in s.leased or pool_id not in desk.registry.ids:
            continue
        declined = pool_id in request.declined_by
        if declined and all(standby in request.declined_by for standby in desk.registry.answered_for(key)):
            continue
        missing = next((label for label in request.labels if label not in pool.labels), None)
        if missing is not None:
            lacking[key] = at(key, Code.NO_SUCH_LABEL, label=missing)
            continue
        reason = never(s, desk.ledger, pool, request.labels)
        if reason is None and declined:
            reason = at(key, Code.DECLINED)
        if reason is None:
            possible.append(pool)
        else:
            impossible[key] = reason
    if not possible and not others:
        impossible |= lacking
    return possible, impossible
