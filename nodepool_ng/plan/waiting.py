"""Which waiting request is served next, by which pool, with what; and which goes on waiting, or is declined, and why.

A request waits open for everybody until one pool can serve all of it. Whoever has to wait reserves what it needs in
the pool that it would take, so that a large request is not starved by small ones behind it.
"""

import math
from dataclasses import dataclass

from nodepool_ng.model.action import Claim, HandOut, RetireNode
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code, Reason, at
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.snapshot import cordon_of
from nodepool_ng.plan.declining import decline
from nodepool_ng.plan.desk import Desk
from nodepool_ng.plan.registry import SOFTWARE, key_of
from nodepool_ng.plan.serving import IMPATIENT, Offer, offer
from nodepool_ng.plan.standing import Standing, look
from nodepool_ng.plan.static import knocks

READY_ELSEWHERE_WAIT: Seconds = 2.0
"""How long a request is left to another pool that has ready nodes for it, before nodes are launched."""

DECIDE_WITHIN: Seconds = 300.0
"""How long a pool may take to find out whether it can serve a request. Then it is left out: a request never hangs."""

_SHORT = (Code.POOL_LIMIT, Code.PROVIDER_QUOTA)


@dataclass(frozen=True, slots=True)
class Stuck:
    """What holds for every further request of the same shape in this pass. `offer` is the one for which room may
    still be made."""

    verdicts: tuple[Reason, ...]
    offer: Offer | None = None


class Queue:
    """Serves waiting requests, which have to come in their order.

    Within a pass room only becomes less, so what cannot start for one request cannot for the next one like it.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._standings: dict[object, Standing] = {}
        self._stuck: dict[object, Stuck] = {}

    def serve(self, request: NodeRequest) -> None:
        """Serve a request, or say why it goes on waiting."""
        kind = (request.labels, request.provider, request.declined_by)
        standing = self._standings.get(kind)
        if standing is None:
            standing = self._standings[kind] = look(self._desk, request)
        reserving = standing.is_ours_to_reserve(request)
        impatient = request.requestor == IMPATIENT
        shape = (kind, request.reuse, request.tenant_name, reserving, impatient)
        stuck = self._stuck.get(shape)
        if stuck is not None:
            self._desk.verdicts[request.id] = stuck.verdicts
            if stuck.offer is not None and not self._reserve(request, stuck.offer):
                self._stuck[shape] = Stuck(stuck.verdicts)
            return
        if standing.decline and decline(self._desk, request, standing.impossible):
            return
        stuck = self._start_or_wait(request, standing, reserving)
        if stuck is not None:
            ahead = Reason(code=Code.AHEAD, request=request.id)
            self._stuck[shape] = Stuck((*stuck.verdicts, ahead), stuck.offer)

    def _start_or_wait(self, request: NodeRequest, standing: Standing, reserving: bool) -> Stuck | None:
        """Start what is best for the request; otherwise return what keeps it and all like it waiting."""
        desk = self._desk
        verdicts = [*standing.impossible.values(), *standing.yielding]
        offers = []
        without_cloud = []
        enough: float = math.inf
        for pool in standing.able:
            if pool.priority > enough:
                break
            made = offer(desk.s, desk.ledger, desk.shelf, pool, request)
            obstacle = desk.ledger.tenant_obstacle(request.tenant_name, made.gives) or made.obstacle
            if obstacle is None:
                offers.append(made)
                enough = pool.priority
            else:
                verdicts.append(obstacle)
                self._note(made, obstacle)
                if obstacle.code is Code.NO_FREE_NODE:
                    without_cloud.append(made)
                if obstacle is made.obstacle and obstacle.code in _SHORT:
                    offers.append(made)
        startable = [made for made in offers if made.obstacle is None]
        if startable:
            best = min(startable, key=self._rank)
            elsewhere = self._ready_elsewhere(request, standing, best) if best.missing else None
            if elsewhere is None:
                self._start(request, best)
            else:
                desk.verdicts[request.id] = (*verdicts, elsewhere)
            return None
        desk.verdicts[request.id] = tuple(verdicts)
        if request.requestor == IMPATIENT and (offers or without_cloud):
            full = {made.pool.key: made.obstacle for made in (*offers, *without_cloud) if made.obstacle is not None}
            decline(desk, request, {**standing.impossible, **full})
            return None
        if not standing.able and not standing.others and not standing.impossible:
            verdicts += self._silent(request)
            desk.verdicts[request.id] = tuple(verdicts)
        undecided = self._undecided(request, standing)
        if undecided and decline(desk, request, {**standing.impossible, **undecided}):
            return None
        if not offers or not reserving:
            if without_cloud and reserving:
                desk.shelf.promise(without_cloud[0].picks)
            return Stuck(tuple(verdicts))
        soonest = min(offers, key=lambda made: (made.pool.priority, _lacks(made)))
        return Stuck(tuple(verdicts), soonest if self._reserve(request, soonest) else None)

    def _rank(self, made: Offer) -> tuple[int, int, float, int]:
        """Return how a pool that could start comes out, the best one least: where clouds have as much room, or none has
        a limit, the one that is busy with the fewest launches."""
        ledger = self._desk.ledger
        room = ledger.room(made.pool, made.needs)
        return made.pool.priority, len(made.missing), -room, ledger.launching(made.pool.provider)

    def _undecided(self, request: NodeRequest, standing: Standing) -> dict[PoolKey, Reason]:
        """Return our pools that may serve the request and are left out, since their clouds have not answered for too
        long; none as long as one of the pools has a cloud that answers, or needs none."""
        s = self._desk.s
        due = request.state_time + DECIDE_WITHIN
        left_out = {}
        for pool in standing.able:
            facts = s.facts.get(pool.provider)
            answered = facts.listed if facts else None
            if pool.hosts is not None or (facts is not None and facts.error is None and answered is not None):
                return {}
            due = max(due, (answered or 0.0) + DECIDE_WITHIN)
            error = facts.error if facts else None
            left_out[pool.key] = at(pool.key, Code.CLOUD_UNKNOWN, detail=error or "no answer yet")
        if left_out and s.now < due:
            self._desk.agenda.look_again(due)
            return {}
        return left_out

    def _silent(self, request: NodeRequest) -> list[Reason]:
        """Return the registered pools of others whose answer the request waits for, all of ours having declined. Nobody
        overrules them; after a while an operator is told."""
        s = self._desk.s
        waited = max(s.now - request.state_time, 0.0)
        silent = [pool for pool in self._desk.registry.unanswered(request.declined_by) if pool.software != SOFTWARE]
        reasons = []
        for pool in silent:
            where = key_of(pool)
            reasons.append(Reason(code=Code.SILENT, detail="/".join(where), used=waited))
            if waited >= DECIDE_WITHIN:
                words = f"pool {where[1]} of another launcher ({pool.hostname}) does not answer requests"
                self._desk.alarms[where[0]] = words
        if silent and waited < DECIDE_WITHIN:
            self._desk.agenda.look_again(request.state_time + DECIDE_WITHIN)
        return reasons

    def _reserve(self, request: NodeRequest, made: Offer) -> bool:
        """Set aside what the request needs, and send spare nodes away where that helps; tell whether for another
        request like it there might be something to be done too."""
        room = self._desk.evictions.make_room(made)
        for node in room or ():
            why = Reason(code=Code.SPARE, provider=node.provider, pool=node.pool, request=request.id)
            self._desk.agenda.add(RetireNode(node=node.id, expect=NodeState.READY, why=why))
        self._desk.ledger.reserve(made.pool.key, made.needs)
        return room is not None

    def _note(self, made: Offer, obstacle: Reason) -> None:
        """Remember that something waits for a pool that can launch nothing now, and when that may be over."""
        if obstacle.code is Code.BACKOFF:
            self._desk.agenda.look_again(self._desk.s.now + obstacle.wanted)
        facts = self._desk.s.facts.get(made.pool.provider)
        sick = obstacle.code is Code.CLOUD_UNKNOWN and facts is not None and facts.error is not None
        if obstacle.code in (*_SHORT, Code.BACKOFF, Code.FROZEN, Code.CORDONED, Code.NO_FREE_NODE) or sick:
            self._desk.short.add(made.pool.key)

    def _ready_elsewhere(self, request: NodeRequest, standing: Standing, best: Offer) -> Reason | None:
        """Return that another live pool, as good as ours, has enough ready nodes, as long as that may be waited
        for."""
        desk = self._desk
        until = request.state_time + READY_ELSEWHERE_WAIT
        if not request.reuse or not request.state_time <= desk.s.now < until:
            return None
        for other in standing.others:
            barred = cordon_of(desk.s, key_of(other)) is not None
            if barred or other.priority > best.pool.priority or desk.registry.paused(other):
                continue
            picks = desk.shelf.pick(key_of(other), request.labels)
            if picks and all(picks):
                desk.shelf.promise(picks)
                desk.agenda.look_again(until)
                return Reason(code=Code.YIELD_READY, detail=f"{other.provider_name}/{other.name}")
        return None

    def _start(self, request: NodeRequest, best: Offer) -> None:
        desk = self._desk
        provider, pool = best.pool.key
        why = at(best.pool.key, Code.ASKED_FOR, request=request.id)
        asked = knocks(desk.s, best.pool, [node for node in best.picks if node is not None])
        action: HandOut | Claim = HandOut(
            request=request.id, provider=provider, pool=pool, nodes=best.nodes, knocks=asked, why=why
        )
        if best.missing:
            launches = best.launches(desk.s, request)
            action = Claim(
                request=request.id, provider=provider, pool=pool, nodes=best.nodes, launches=launches, why=why
            )
        if desk.agenda.add(action):
            desk.started.append(request.id)
            desk.ledger.take(best.pool.key, best.needs, len(best.missing))
            desk.ledger.give_tenant(request.tenant_name, best.gives)


def _lacks(made: Offer) -> float:
    return made.obstacle.wanted - made.obstacle.limit if made.obstacle else 0.0
