"""What a launcher derives from the records of requests and their locks."""

from collections.abc import Collection
from typing import TypeAlias

from nodepool_ng.model.ids import LabelName, RequestId, Seconds, TenantName, Timestamp
from nodepool_ng.model.lifecycle import RequestState
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.snapshot import Side

_WAITING = (RequestState.REQUESTED, RequestState.PENDING)
_Kind: TypeAlias = tuple[tuple[LabelName, ...], str | None, TenantName | None, bool]


class Requests:
    """The requests there are, who holds their locks, and since when locks and requests have been without each other."""

    def __init__(self) -> None:
        self.records: dict[RequestId, NodeRequest] = {}
        self.waiting: set[RequestId] = set()
        """Those that are not answered yet."""
        self._left: set[_Kind] = set()
        """What those were for that the latest plan left waiting."""
        self._hurried: set[RequestId] = set()
        """Those of `waiting` that joined nobody, and that no plan has left waiting since."""
        self.locks: dict[RequestId, Side] = {}
        self.unlocked_since: dict[RequestId, Timestamp] = {}
        """Pending requests that nobody holds."""
        self.orphan_locks: dict[RequestId, Timestamp] = {}
        """Lock directories whose requests are gone."""

    def planned(self, left: Collection[RequestId]) -> None:
        """A plan was made, which left some waiting. Those that somebody has locked are about to be served."""
        records = self.records
        if self._hurried:
            self._hurried.difference_update(left)
        self._left = {_kind(records[id]) for id in left if id in records and id not in self.locks}

    @property
    def queued(self) -> bool:
        """Tell whether requests queue, and nobody beside them waits for milliseconds."""
        return bool(self._left) and not self._hurried

    def joins_a_queue(self, id: RequestId) -> bool:
        """Tell whether others like this one wait already, so that it can hardly be served at once."""
        return bool(self._left) and _kind(self.records[id]) in self._left

    def changed(
        self, id: RequestId, record: NodeRequest | None, side: Side | None, now: Timestamp, *, lockable: bool
    ) -> None:
        """A request or its lock is another one now; `lockable` tells whether it has a lock directory."""
        if record is None:
            self.records.pop(id, None)
        else:
            self.records[id] = record
        if record is None or record.state not in _WAITING:
            self.waiting.discard(id)
            self._hurried.discard(id)
        elif id not in self.waiting:
            self.waiting.add(id)
            if not self.joins_a_queue(id):
                self._hurried.add(id)
        if side is None:
            self.locks.pop(id, None)
        else:
            self.locks[id] = side
        abandoned = record is not None and record.state is RequestState.PENDING and side is None
        _since(self.unlocked_since, id, now, holds=abandoned)
        _since(self.orphan_locks, id, now, holds=record is None and side is None and lockable)

    def clock_jumped(self, by: Seconds) -> None:
        """Shift what is remembered of instants."""
        self.unlocked_since = {key: since + by for key, since in self.unlocked_since.items()}
        self.orphan_locks = {key: since + by for key, since in self.orphan_locks.items()}


def _kind(request: NodeRequest) -> _Kind:
    return request.labels, request.provider, request.tenant_name, request.reuse


def _since(known: dict[RequestId, Timestamp], id: RequestId, now: Timestamp, *, holds: bool) -> None:
    if holds:
        known.setdefault(id, now)
    else:
        known.pop(id, None)
