"""Nobody waits without a reason: judged now and then, from outside.

A request may wait although a pool has room for it, because the room is reserved for one that is ahead of it. But each
of those ahead reserves in one pool only. So with more pools that have room than requests ahead, it has to be served;
pools of lower preference do not count, since it may wait for a better one.
"""

from collections.abc import Iterator

from nodepool_ng.model.ids import RequestId, Seconds, Timestamp
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.settings import Pool
from nodepool_ng.sim.virtual.promise import Promise
from nodepool_ng.sim.virtual.world import Installation
from nodepool_ng.zk import paths

LOOK_EVERY: Seconds = 2.0
PATIENCE: Seconds = 12.0


class Patience:
    """Looks at all requests every now and then."""

    def __init__(self, place: Installation) -> None:
        self._place = place
        self._since: dict[RequestId, Timestamp] = {}

    def begin(self) -> None:
        self._place.timeline.schedule(LOOK_EVERY, self._look)

    def _look(self) -> None:
        now = self._place.timeline.now()
        passed_over = set(self._passed_over())
        self._since = {request: self._since.get(request, now) for request in passed_over}
        for request, since in self._since.items():
            if now >= since + PATIENCE:
                self._place.referee.breach(Promise.SERVED, f"{request} waits, though there is room for it")
                return
        self._place.timeline.schedule(LOOK_EVERY, self._look)

    def _passed_over(self) -> Iterator[RequestId]:
        place = self._place
        waiting = [r for r in place.tree.requests().values() if r.state is RequestState.REQUESTED]
        if not waiting:
            return
        pools = list(self._pools())
        for ahead, request in enumerate(sorted(waiting, key=rank)):
            best = min((pool.priority for pool in self._configured() if self._able(pool, request)), default=0)
            roomy = sum(pool.priority <= best and self._has_room(pool, request) for pool in pools)
            if request.provider is None and roomy > ahead:
                yield request.id

    def _configured(self) -> Iterator[Pool]:
        for launcher in self._place.living():
            for provider in launcher.reconciler.world.settings.providers.values():
                yield from provider.pools.values()

    def _pools(self) -> Iterator[Pool]:
        """Yield the pools that a launcher acts for at the moment, as far as nothing keeps it from doing so."""
        place = self._place
        for name in place.regions:
            launcher = place.launcher_of(place.tree.holder(paths.lease(name)))
            provider = launcher.reconciler.world.settings.providers.get(name) if launcher else None
            if launcher is None or provider is None or name in place.referee.excused:
                continue
            if launcher.name in place.referee.slow:
                continue
            if launcher.undisturbed and provider.max_concurrency < 0:
                yield from provider.pools.values()

    def _has_room(self, pool: Pool, request: NodeRequest) -> bool:
        there = self._place.referee.members(pool.key)
        return there + len(request.labels) <= pool.limits.get("instances") and self._able(pool, request)

    def _able(self, pool: Pool, request: NodeRequest) -> bool:
        ids = {pool_id for known in self._place.pool_ids.values() for key, pool_id in known.items() if key == pool.key}
        if not set(request.labels) <= set(pool.labels) or ids.intersection(request.declined_by):
            return False
        images = {image for name in request.labels if (image := pool.labels[name].diskimage) is not None}
        return all(self._place.referee.images.is_ready(image, pool.provider) for image in images)
