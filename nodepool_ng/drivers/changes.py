"""How far a list of changes reaches back beyond the instant that changes are wanted since.

A cloud's instants have whole seconds only, come from clocks of several hosts, and are seen a while after they were
written; so each change is listed more than once. How often, is most of what lists cost while many servers come and go:
therefore most lists reach back a little, and one every few seconds far enough for whatever was seen late.
"""

import math

from nodepool_ng.model.ids import Seconds, Timestamp

NEAR: Seconds = 0.5
"""Clocks of hosts that are this far apart, and records that are written this long after the instant they bear, make no
list late; others are found by the next one that reaches far."""
FAR: Seconds = 5.0
FAR_EVERY: Seconds = 5.0


class Reach:
    """Which lists of one provider reach far back."""

    def __init__(self) -> None:
        self._far: Timestamp | None = None
        """When the newest list was asked for that reached far back, or had all servers."""

    def start(self, since: Timestamp, now: Timestamp, behind: Seconds) -> Timestamp:
        """Return where the list of changes since an instant starts that is asked for now: a whole second of the cloud's
        clock, which is that much behind ours.

        One that reaches far back starts before the last such one was asked for, so that nothing which came to be seen
        since then is missed.
        """
        if self._far is None:
            reach = since - FAR
        elif self._near(now):
            reach = since - NEAR
        else:
            reach = min(since, self._far) - FAR
        return math.floor(reach - behind)

    def listed(self, now: Timestamp, *, full: bool) -> None:
        """Take note that a list was answered that was asked for at an instant: of changes, or a full one."""
        if full or not self._near(now):
            self._far = now

    def _near(self, now: Timestamp) -> bool:
        return self._far is not None and now < self._far + FAR_EVERY
