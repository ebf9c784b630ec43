"""The third seam: time.

Decisions get the time as an argument. Only the shells (daemon, simulation) hold a clock.
"""

import time
from typing import Protocol

from nodepool_ng.model.ids import Timestamp


class Clock(Protocol):
    """Tells the time and nothing else; waiting belongs to the shell that owns the event loop."""

    def now(self) -> Timestamp:
        """Return Unix time in seconds, as it is written into records."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump, for measuring and for timeouts inside one process."""
        ...

    def worked(self) -> float:
        """Return the seconds of CPU that the calling thread has used, whatever else the machine is busy with."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Timestamp:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def worked(self) -> float:
        return time.thread_time()
