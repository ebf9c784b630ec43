"""Decides what a builder does next, from a snapshot and nothing else.

`plan_images` is a function of its argument: no I/O, no clock, no randomness, nothing kept between two calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.model.ids import ImageName, ProviderName, Timestamp
from nodepool_ng.model.image_action import Destination, ImageAction, LookAtDisk
from nodepool_ng.model.image_snapshot import ImageSnapshot
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.plan.image_agenda import Agenda, Stock
from nodepool_ng.plan.images_cancel import plan_cancels
from nodepool_ng.plan.images_due import plan_builds, plan_holding_on, plan_uploads
from nodepool_ng.plan.images_gone import plan_removals
from nodepool_ng.plan.images_leaks import plan_leaks


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What to do now, and when to ask again if nothing happens before.

    `builds` tells for each configured image why no build of it is started, `uploads` what an upload that is due waits
    for; `alarms` are sentences for an operator.
    """

    actions: tuple[ImageAction, ...]
    wake: Timestamp | None
    builds: Mapping[ImageName, Reason]
    uploads: Mapping[Destination, Reason]
    alarms: Mapping[ProviderName, str]


def plan_images(s: ImageSnapshot) -> ImagePlan:
    """Return what follows from the snapshot. No two actions touch the same subject, and none touches one that is in
    flight."""
    agenda, stock = Agenda(s), Stock(s)
    plan_holding_on(s, agenda)
    plan_cancels(s, agenda)
    if s.disk is None or s.disk_stale:
        agenda.add(LookAtDisk(why=Reason(code=Code.DUE)))
    uploads = plan_uploads(s, stock, agenda)
    builds = plan_builds(s, stock, agenda)
    plan_removals(s, stock, agenda)
    alarms = plan_leaks(s, agenda)
    return ImagePlan(actions=tuple(agenda.actions), wake=agenda.wake, builds=builds, uploads=uploads, alarms=alarms)
