"""What nobody else removes: lock directories that outlived their requests."""

from itertools import islice

from nodepool_ng.model.action import SweepLocks
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.pace import Agenda

LOCKS_KEPT: Seconds = 8 * 3600.0
"""As Nodepool 11 does: by then no client that was slow, or cut off, still wants the lock."""
SWEEP_AT_ONCE = 200


def plan_housekeeping(s: Snapshot, agenda: Agenda) -> None:
    """Sweep the lock directories of requests that have been gone for hours. Launchers do not agree on who does: a
    directory that another one removed first is gone as well."""
    if not s.leased:
        return
    due = [each for each, since in islice(s.orphan_locks.items(), SWEEP_AT_ONCE) if since + LOCKS_KEPT <= s.now]
    if due:
        agenda.add(SweepLocks(requests=tuple(due), why=Reason(code=Code.REQUEST_GONE)))
    elif s.orphan_locks:
        agenda.look_again(next(iter(s.orphan_locks.values())) + LOCKS_KEPT)
