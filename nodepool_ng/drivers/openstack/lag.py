"""How far a cloud's clock is behind ours, as the Date of its answers shows.

A Date has whole seconds, so one answer leaves a second of doubt; several, each come at another part of a second, leave
little. What is in doubt has to be listed twice.
"""

import math
from email.utils import parsedate_to_datetime

from nodepool_ng.model.ids import Seconds, Timestamp

WHOLE: Seconds = 1.0
"""A Date tells an instant of the second that begins with it."""


class Lag:
    """What all answers so far leave possible. Where one contradicts those before it a clock was set, or another host
    answered, and that one counts."""

    def __init__(self) -> None:
        self._least, self._most = -math.inf, math.inf

    def heard(self, date: str | None, asked: Timestamp, came: Timestamp) -> None:
        """Take in the Date of an answer that was asked for, and came, at instants of our clock."""
        told = _instant(date)
        if told is None:
            return
        least, most = asked - told - WHOLE, came - told
        self._least, self._most = max(self._least, least), min(self._most, most)
        if self._least > self._most:
            self._least, self._most = least, most

    @property
    def at_most(self) -> Seconds:
        """A clock that is ahead counts as right: asking for changes since too early costs little, too late loses
        some."""
        return max(self._most, 0.0) if self._most < math.inf else 0.0


def _instant(date: str | None) -> Timestamp | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
