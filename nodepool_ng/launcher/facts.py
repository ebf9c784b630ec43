"""What a launcher tells about itself to whoever asks why: limits, and the reasons of every request that waits."""

import math
from dataclasses import replace
from typing import Any

import nodepool_ng
from nodepool_ng.launcher.world import World
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.quota import NONE, Resources, left, tightest
from nodepool_ng.model.reason import Reason, sentence
from nodepool_ng.plan import Plan

AT_MOST_EVERY: Seconds = 2.0


def document_of(world: World, plan: Plan) -> dict[str, Any]:
    """Return all of it; JSON knows every value in it."""
    reasons: dict[Reason, int] = {}
    waiting = {
        str(request): [reasons.setdefault(_steady(reason), len(reasons)) for reason in found]
        for request, found in sorted(plan.verdicts.items())
    }
    return {
        "version": nodepool_ng.__version__,
        "web": world.web,
        "broken-files": world.broken_files or None,
        "providers": {str(name): _provider(world, plan, name) for name in sorted(world.leased)},
        "pools": {"/".join(key): _pool(world, plan, key) for key in sorted(world.pool_ids) if key[0] in world.leased},
        "reasons": [_reason(reason) for reason in reasons],
        "waiting": waiting,
    }


def _steady(reason: Reason) -> Reason:
    """Return the reason without what changes with every look at the clock."""
    return replace(reason, wanted=float(math.ceil(reason.wanted)), used=float(math.floor(reason.used)))


def _reason(reason: Reason) -> dict[str, Any]:
    places = {"provider": reason.provider, "pool": reason.pool, "label": reason.label, "request": reason.request}
    figures = {"resource": reason.resource, "limit": reason.limit, "used": reason.used, "wanted": reason.wanted}
    named = {key: value for key, value in {**places, **figures, "detail": reason.detail}.items() if value}
    return {"code": reason.code.value, "sentence": sentence(reason), **named}


def _provider(world: World, plan: Plan, name: Any) -> dict[str, Any]:
    facts = world.clouds.facts.get(name)
    pace = world.memory.paces.view(world.now).get(name)
    frozen = world.frozen().get(name)
    configured = world.settings.providers.get(name)
    return {
        "error": facts.error if facts else "no answer yet",
        "alarm": plan.alarms.get(name),
        "frozen": {"creates": frozen.creates, "deletes": frozen.deletes} if frozen else None,
        "leaving": name in world.leaving,
        "launching": world.census.launching.get(name, 0),
        "concurrency": configured.max_concurrency if configured else -1,
        "calls-per-second": None if pace is None or math.isinf(pace.rate) else float(f"{pace.rate:.1g}"),
    }


def _pool(world: World, plan: Plan, key: PoolKey) -> dict[str, Any]:
    pool = world.settings.providers[key[0]].pools[key[1]]
    facts = world.clouds.facts.get(key[0])
    quota = facts.limits if facts and not pool.ignore_provider_quota else NONE
    used_here, used_there = world.census.used_in_pool(key), world.census.used_in_provider(key[0])
    foreign = world.clouds.foreign_use.get(key[0], NONE) + world.clouds.away.get(key[0], NONE)
    foreign = foreign + (facts.loose if facts else NONE)
    room, provider_room = left(pool.limits, used_here), left(left(quota, foreign), used_there)
    free = tightest(room, provider_room)
    known = {label: facts.label(key[1], label) if facts else None for label in pool.labels}
    return {
        "short": key in plan.short,
        "limits": dict(pool.limits.amounts),
        "quota": dict(quota.amounts),
        "foreign": dict(foreign.amounts),
        "used": {name: amount for name, amount in used_here.amounts.items() if amount},
        "free": dict(free.amounts),
        "room": dict(room.amounts),
        "provider-room": dict(provider_room.amounts),
        "priority": pool.priority,
        "costs": {label: dict(each.needs.amounts) for label, each in known.items() if each and not each.broken},
        "broken": {label: each.broken for label, each in known.items() if each and each.broken},
        "spans": world.spans.of(key),
        "binding": _binding(tightest(pool.limits, quota), free),
    }


def _binding(limits: Resources, free: Resources) -> str | None:
    """Return the resource of which the smallest share is left."""
    shares = {name: free.get(name) / limit if limit > 0 else 0.0 for name, limit in limits.amounts.items()}
    return min(shares, key=lambda name: (shares[name], name), default=None)
