"""Goes through the open requests in their order: those that we hold go on, those that wait are served or told why
not."""

from nodepool_ng.model.action import AdoptRequest, CompleteRequest, Release, Unlock, request_subject
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.snapshot import Side
from nodepool_ng.plan.claimed import go_on, rests
from nodepool_ng.plan.desk import Desk
from nodepool_ng.plan.waiting import Queue

MOST_STARTED = 100
"""Requests that one pass begins to serve. What carries them out takes much longer than deciding; meanwhile others, ones
that come just then too, wait for it."""


def plan_requests(desk: Desk) -> bool:
    """Add what is to be done for each open request; tell whether each of them was looked at. If not, nothing may be
    given to anything of a lower rank, and the next pass is due at once."""
    _give_back_locks(desk)
    queue = Queue(desk)
    whole = True
    for request in sorted(_open(desk), key=rank):
        match request.state, desk.s.request_locks.get(request.id):
            case RequestState.PENDING, Side.OURS:
                go_on(desk, request)
            case RequestState.PENDING, None:
                _lost(desk, request)
            case RequestState.REQUESTED, None if len(desk.started) >= MOST_STARTED:
                desk.verdicts[request.id] = (Reason(code=Code.AHEAD, request=desk.started[-1]),)
                whole = False
            case RequestState.REQUESTED, None:
                queue.serve(request)
            case RequestState.REQUESTED, Side.FOREIGN:
                desk.verdicts[request.id] = (Reason(code=Code.LOCKED),)
            case _:
                pass
    _complete(desk)
    if not whole:
        desk.agenda.look_again(desk.s.now)
    return whole


def _complete(desk: Desk) -> None:
    """Have waiting requests completed that lack what Zuul needs, and that nothing else is written to now: a scheduler
    that comes across one stops."""
    if not desk.s.leased:
        return
    for request in desk.s.requests.values():
        waits = request.state is RequestState.REQUESTED and desk.s.request_locks.get(request.id) is None
        if waits and not request.complete:
            why = Reason(code=Code.INCOMPLETE, request=request.id)
            desk.agenda.add(CompleteRequest(request=request.id, why=why))


def _give_back_locks(desk: Desk) -> None:
    """Give back the locks that we hold on requests which are not ours to go on with."""
    for request_id, side in desk.s.request_locks.items():
        held = desk.s.requests.get(request_id)
        if side is Side.OURS and (held is None or held.state is not RequestState.PENDING):
            why = Reason(code=Code.NOT_NEEDED if held else Code.REQUEST_GONE, request=request_id)
            desk.agenda.add(Unlock(request=request_id, why=why))


def _open(desk: Desk) -> list[NodeRequest]:
    """Return the requests that something can be decided about now."""
    found = []
    for request in desk.s.requests.values():
        if request.state is RequestState.PENDING:
            if desk.s.request_locks.get(request.id) is Side.OURS and rests(desk, request):
                continue
        elif request.state is not RequestState.REQUESTED:
            continue
        subject = request_subject(request.id)
        if desk.agenda.free(subject):
            found.append(request)
        elif request.state is RequestState.REQUESTED and subject in desk.s.cooling:
            wait = max(desk.s.cooling[subject] - desk.s.now, 0)
            detail = "the last step was lost to somebody else's change"
            desk.verdicts[request.id] = (Reason(code=Code.BACKOFF, request=request.id, wanted=wait, detail=detail),)
    return found


def _lost(desk: Desk, request: NodeRequest) -> None:
    """A pending request that nobody holds: go on with it if its nodes are ours, else put it back after a while."""
    s = desk.s
    if any(node.provider in s.leased and node.attempt is not None for node in s.nodes.of_request(request.id)):
        desk.agenda.add(AdoptRequest(request=request.id, why=Reason(code=Code.ADOPTED, request=request.id)))
        return
    since = s.unlocked_since.get(request.id, s.now)
    if s.now >= since + s.registry_settle:
        desk.agenda.add(Release(request=request.id, why=Reason(code=Code.ABANDONED, request=request.id)))
    else:
        desk.agenda.look_again(since + s.registry_settle)
