"""One ear for all numbers: what is told goes to everyone who counts."""

from collections.abc import Iterable
from typing import Protocol

from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.telemetry.sample import Sample
from nodepool_ng.telemetry.statsd import Statsd


class Meter(Protocol):
    def tell(self, samples: Iterable[Sample]) -> None:
        """Take samples. From any thread; never waits."""
        ...


class Meters:
    """Prometheus always, since that only counts; statsd where the environment names one."""

    def __init__(self, prometheus: Prometheus, statsd: Statsd | None) -> None:
        self.prometheus = prometheus
        self.statsd = statsd

    def tell(self, samples: Iterable[Sample]) -> None:
        told = tuple(samples)
        self.prometheus.tell(told)
        if self.statsd is not None:
            self.statsd.tell(told)
