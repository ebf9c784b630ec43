"""How far a list of changes reaches back beyond the instant that changes are wanted since.

A cloud's instants may have whole seconds only, come from clocks of several hosts, and be seen a while after they were
written; so each change is listed more than once. How often, is most of what lists cost while many servers come and go:
therefore most lists reach back a little, and one every few seconds far enough for whatever was seen late.
"""

from nodepool_ng.model.ids import Seconds, Timestamp

NEAR: Seconds = 1.0
FAR: Seconds = 5.0
FAR_EVERY: Seconds = 5.0


class Reach:
    """Which lists of one provider reach far back."""

    def __init__(self) -> None:
        self._far: Timestamp | None = None
        """When the newest list was asked for that reached far back, or had all servers."""

    def start(self, since: Timestamp, now: Timestamp) -> Timestamp:
        """Return where the list of changes since an instant starts that is asked for now.

        One that reaches far back starts before the last such one was asked for, so that nothing which came to be seen
        since then is missed.
        """
        if self._far is None:
            return since - FAR
        return since - NEAR if self._near(now) else min(since, self._far) - FAR

    def listed(self, now: Timestamp, *, full: bool) -> None:
        """Take note that a list was answered that was asked for at an instant: of changes, or a full one."""
        if full or not self._near(now):
            self._far = now

    def _near(self, now: Timestamp) -> bool:
        return self._far is not None and now < self._far + FAR_EVERY
