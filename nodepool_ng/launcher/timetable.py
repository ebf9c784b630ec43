"""What a timetable of `min-ready` says at an instant.

APScheduler knows when a line of a crontab fires next; when it fired last is found by asking from further and further
back. Both depend on nothing but the instant and the time zone, which is the machine's unless another is named.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from apscheduler.triggers.cron import CronTrigger

from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.model.settings import Settings, Shift

_DAY: Seconds = 86400.0
_LOOKS_BACK: tuple[Seconds, ...] = (3600.0, 2 * _DAY, 8 * _DAY, 32 * _DAY, 367 * _DAY, 1500 * _DAY)
"""How far back a time is looked for. There are at most sixty in an hour, and as few in each longer stretch whose
shorter one had none."""


def in_force(shifts: Sequence[Shift], now: Timestamp, zone: tzinfo | None = None) -> tuple[int, Timestamp | None]:
    """Return how many nodes are to be ready, and when that may change. Of two entries with one time the later
    one in the list counts; before the first time of all, none are."""
    latest: Timestamp | None = None
    count = 0
    for shift in shifts:
        fired = _last(_trigger(shift.cron, zone), now)
        if fired is not None and (latest is None or fired >= latest):
            latest, count = fired, shift.min_ready
    coming = (_next(_trigger(shift.cron, zone), now) for shift in shifts)
    return count, min((at for at in coming if at is not None), default=None)


def at_this_hour(settings: Settings, now: Timestamp) -> tuple[Settings, Timestamp | None]:
    """Return the settings with the numbers that timetables say, and when they may say another."""
    timed = [label for label in settings.labels.values() if label.timetable]
    if not timed:
        return settings, None
    labels = dict(settings.labels)
    changes: list[Timestamp] = []
    for label in timed:
        count, until = in_force(label.timetable, now)
        labels[label.name] = replace(label, min_ready=count)
        changes += [until] if until is not None else []
    return replace(settings, labels=labels), min(changes, default=None)


@lru_cache(maxsize=1024)
def _trigger(cron: str, zone: tzinfo | None) -> CronTrigger:
    return CronTrigger.from_crontab(cron, timezone=zone)


def _next(trigger: CronTrigger, after: Timestamp) -> Timestamp | None:
    """Return the first time after an instant."""
    found = trigger.get_next_fire_time(None, datetime.fromtimestamp(int(after) + 1, UTC))
    return None if found is None else float(found.timestamp())


def _last(trigger: CronTrigger, now: Timestamp) -> Timestamp | None:
    """Return the last time up to an instant."""
    for span in _LOOKS_BACK:
        fired = _next(trigger, now - span)
        if fired is None or fired > now:
            continue
        while (later := _next(trigger, fired)) is not None and later <= now:
            fired = later
        return fired
    return None
