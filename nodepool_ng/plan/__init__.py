"""Decides what to do next, from a snapshot and nothing else.

`plan` is a function of its argument: no I/O, no clock, no randomness, nothing kept between two calls. Everything
that competes for the same capacity is decided in this one pass: first nodes go on with what they are in the middle
of, then requests are served in their order, then the warm pool takes what is left.

What a plan finds to need nothing for a while (`resting`) comes back in the next snapshots, as long as there is no news
of it; without that a plan decides the same, and takes longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.model.action import Action
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import NodeId, ProviderName, RequestId, Timestamp
from nodepool_ng.model.reason import Reason
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.canary import plan_canaries
from nodepool_ng.plan.desk import laid_out
from nodepool_ng.plan.housekeeping import plan_housekeeping
from nodepool_ng.plan.leaks import plan_leaks
from nodepool_ng.plan.looks import plan_looks
from nodepool_ng.plan.metastatic import plan_metastatic
from nodepool_ng.plan.nodes import plan_nodes
from nodepool_ng.plan.pace import Agenda
from nodepool_ng.plan.requests import plan_requests
from nodepool_ng.plan.static import plan_static
from nodepool_ng.plan.warm import plan_warm


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and when to ask again if nothing happens before.

    `verdicts` tells for every request that waits what each pool makes of it; `short` are the pools that cannot launch
    what something waits for; `alarms` are sentences for an operator. `resting` are nodes that the next plans need not
    look at before an instant, unless there is news of them. A plan that is not `whole` has begun as much as one may
    begin: what is left has to be asked for at once.
    """

    actions: tuple[Action, ...]
    wake: Timestamp | None
    verdicts: Mapping[RequestId, tuple[Reason, ...]]
    short: frozenset[PoolKey]
    alarms: Mapping[ProviderName, str]
    resting: Mapping[NodeId, Timestamp]
    whole: bool = True


def plan(snapshot: Snapshot) -> Plan:
    """Return what follows from the snapshot. No two actions touch the same subject, and none touches one that is
    in flight."""
    agenda = Agenda(snapshot)
    plan_nodes(snapshot, agenda)
    plan_static(snapshot, agenda)
    plan_metastatic(snapshot, agenda)
    alarms = plan_leaks(snapshot, agenda)
    desk = laid_out(snapshot, agenda)
    whole = plan_requests(desk)
    if whole:
        plan_canaries(desk)
        plan_warm(desk)
    plan_looks(snapshot, agenda)
    plan_housekeeping(snapshot, agenda)
    if snapshot.settings_until is not None:
        agenda.look_again(snapshot.settings_until)
    return Plan(
        actions=tuple(agenda.actions),
        wake=agenda.wake,
        verdicts=desk.verdicts,
        short=frozenset(desk.short),
        alarms={**desk.alarms, **alarms},
        resting=agenda.resting,
        whole=whole,
    )
