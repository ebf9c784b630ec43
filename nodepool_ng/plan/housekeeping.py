"""What nobody else removes: lock directories that outlived their requests, and what servers left in a network."""

from itertools import islice

from nodepool_ng.model.action import SweepLocks, SweepNetwork
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.settings import Provider
from nodepool_ng.model.snapshot import Snapshot, freeze_of
from nodepool_ng.plan.pace import Agenda

LOCKS_KEPT: Seconds = 8 * 3600.0
"""As Nodepool 11 does: by then no client that was slow, or cut off, still wants the lock."""
SWEEP_AT_ONCE = 200
FLOATING_SWEPT_EVERY: Seconds = 600.0


def plan_housekeeping(s: Snapshot, agenda: Agenda) -> None:
    """Add what is due of the sweeps."""
    _locks(s, agenda)
    for provider in s.settings.providers.values():
        if provider.name in s.leased:
            _network(s, agenda, provider)


def _network(s: Snapshot, agenda: Agenda, provider: Provider) -> None:
    """Sweep what servers left behind in a network, as often as the operator wants."""
    facts = s.facts.get(provider.name)
    ports, floating_ips = provider.port_cleanup_interval > 0, provider.clean_floating_ips
    if facts is None or not facts.network or facts.error is not None or not (ports or floating_ips):
        return
    if freeze_of(s, provider.name).deletes:
        return
    last = s.swept.get(provider.name)
    due = s.now if last is None else last + (provider.port_cleanup_interval or FLOATING_SWEPT_EVERY)
    if due <= s.now:
        why = Reason(code=Code.DUE, provider=provider.name)
        agenda.add(SweepNetwork(provider=provider.name, ports=ports, floating_ips=floating_ips, why=why))
    else:
        agenda.look_again(due)


def _locks(s: Snapshot, agenda: Agenda) -> None:
    """Sweep the lock directories of requests that have been gone for hours. Launchers do not agree on who does: a
    directory that another one removed first is gone as well."""
    if not s.leased:
        return
    oldest = next(iter(s.orphan_locks.values()), None)
    if oldest is None:
        return
    if oldest + LOCKS_KEPT > s.now:
        agenda.look_again(oldest + LOCKS_KEPT)
        return
    due = [each for each, since in islice(s.orphan_locks.items(), SWEEP_AT_ONCE) if since + LOCKS_KEPT <= s.now]
    agenda.add(SweepLocks(requests=tuple(due), why=Reason(code=Code.REQUEST_GONE)))
