"""Saying no: one write for all of our pools that cannot serve a request, and never a hasty last one."""

from collections.abc import Mapping

from nodepool_ng.model.action import Decline
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import PoolId
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.plan.desk import Desk


def decline(desk: Desk, request: NodeRequest, impossible: Mapping[PoolKey, Reason]) -> bool:
    """Decline for the pools that cannot, and for their standbys; tell whether that settles the request for now.

    A decline that would fail the request waits until the registry has been quiet for a while: a pool that is about to
    come back must be given the chance to serve it.
    """
    s = desk.s
    ids: dict[PoolId, None] = {}
    for key in impossible:
        if key in s.pool_ids:
            ids.update(dict.fromkeys((s.pool_ids[key], *desk.registry.answered_for(key))))
    new = tuple(pool for pool in ids if pool not in request.declined_by)
    over = request.state is RequestState.REQUESTED and desk.registry.ids <= set(request.declined_by)
    if not new and not (ids and over):
        return False
    because = tuple(impossible.values())
    fail = desk.registry.ids <= {*request.declined_by, *new}
    settled = s.registry_changed + s.registry_settle
    if fail and s.now < settled:
        desk.agenda.look_again(settled)
        unsettled = Reason(code=Code.REGISTRY_UNSETTLED, used=s.now - s.registry_changed, limit=s.registry_settle)
        desk.verdicts[request.id] = (*because, unsettled)
        return True
    return desk.agenda.add(Decline(request=request.id, pools=new, fail=fail, because=because, why=because[0]))
