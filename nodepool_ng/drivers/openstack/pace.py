"""An operator's own limit on calls to a cloud: a token bucket, used only where `rate` is configured."""

import threading
import time
from dataclasses import dataclass

from nodepool_ng.drivers import Throttled


@dataclass(frozen=True, slots=True)
class Tokens:
    """A bucket as it was at one moment of the monotonic clock; `left` below zero is promised already."""

    left: float
    at: float


def take(tokens: Tokens, rate: float, now: float) -> tuple[Tokens, float]:
    """Return the bucket after one more call, and the seconds that this call has to wait.

    The bucket holds one second's worth of calls (at least one), so an idle time is not paid back in a flood.
    """
    left = min(max(1.0, rate), tokens.left + (now - tokens.at) * rate) - 1
    return Tokens(left, now), max(0.0, -left / rate)


class Pace:
    """Lets `rate` calls a second through, from any number of threads."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._tokens = Tokens(max(1.0, rate), time.monotonic())

    def wait(self, patience: float) -> None:
        """Wait for this call's turn; raise Throttled when that is more than `patience` seconds away."""
        with self._lock:
            tokens, seconds = take(self._tokens, self._rate, time.monotonic())
            if seconds > patience:
                raise Throttled(f"the configured rate of {self._rate:g} calls a second is used up", seconds - patience)
            self._tokens = tokens
        if seconds:
            time.sleep(seconds)
