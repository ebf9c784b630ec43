"""What a launcher still does when it is told to stop.

Its requests are kept for whoever goes on with them: another launcher of ours with the same provider, or its own next
life. Where no such launcher is there, but another software that could serve a request, that is put back: Nodepool 11
looks for what was left once a minute, and may miss even then that it waits again.
"""

from nodepool_ng.model.action import Release, request_subject
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.snapshot import Side, Snapshot
from nodepool_ng.plan.registry import SOFTWARE, Registry


def plan_leaving(s: Snapshot) -> tuple[Release, ...]:
    """Return the requests to put back before the end, as far as nothing is in flight for them."""
    registry = Registry(s)
    return tuple(
        Release(request=request.id, why=Reason(code=Code.STOPPING, request=request.id))
        for request in s.requests.values()
        if request.state is RequestState.PENDING
        and s.request_locks.get(request.id) is Side.OURS
        and request_subject(request.id) not in s.in_flight
        and request_subject(request.id) not in s.cooling
        and _better_put_back(s, registry, request)
    )


def _better_put_back(s: Snapshot, registry: Registry, request: NodeRequest) -> bool:
    able = registry.unanswered(request.declined_by)
    others = [
        pool
        for pool in able
        if pool.id not in registry.own
        and set(request.labels) <= pool.supported_labels
        and request.provider in (None, pool.provider_name)
    ]
    providers = {node.provider for node in s.nodes.of_request(request.id)}
    successors = [pool for pool in others if pool.software == SOFTWARE and pool.provider_name in providers]
    return not successors and any(pool.software != SOFTWARE for pool in others)
