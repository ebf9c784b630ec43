"""What a builder tells of itself, put together: the board of its work, its numbers, and a page for those who scrape."""

import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from nodepool_ng.builder.board import Board
from nodepool_ng.builder.measuring import Measures
from nodepool_ng.builder.reconciler import Looked
from nodepool_ng.drivers import DriverError, registry
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.settings import Provider, WebSettings
from nodepool_ng.telemetry import events
from nodepool_ng.telemetry.health import Health
from nodepool_ng.telemetry.meter import Meters
from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.telemetry.statsd import Statsd, from_environment

LOOK_EVERY = 2.0  # seconds

_log = logging.getLogger("nodepool.builder")


class Reporting:
    """Nothing here decides anything: a builder without it builds the same."""

    def __init__(self, post: Callable[[Any], None], clock: Clock, environment: Mapping[str, str]) -> None:
        self.board = Board(clock, socket.getfqdn())
        self.health = Health(clock)
        self._post = post
        self._statsd: Statsd | None = from_environment(environment)
        self._prometheus = Prometheus()
        self._meters = Meters(self._prometheus, self._statsd)
        self.witness = Measures(self._meters, self.board)

    def start(self, ticks: BackgroundScheduler, web: WebSettings | None) -> Callable[[], None]:
        """Begin to look and to count; return what ends that."""
        ends: list[Callable[[], None]] = []
        if self._statsd is not None:
            self._statsd.start()
            ends.append(self._statsd.stop)
        self.health.expect("progress", 30 * LOOK_EVERY)
        ticks.add_job(self._look, "interval", seconds=LOOK_EVERY, max_instances=1, coalesce=True)
        if web is not None:
            # Only who serves pages pays for what that takes to import.
            from nodepool_ng.web.builder import make_app
            from nodepool_ng.web.serve import WebServer

            server = WebServer(make_app(self._prometheus, self.health), web)
            server.start()
            ends.insert(0, server.stop)

        def stop() -> None:
            for end in ends:
                end()

        return stop

    def observe(self, provider: Provider) -> Callable[[str, str, str, int | None, float], None]:
        """Return what a provider's driver tells of its calls."""
        try:
            prefix = registry.metric_prefix(provider)
        except DriverError as error:
            _log.debug("%s", error)
            prefix = None

        def observed(service: str, method: str, name: str, status: int | None, seconds: float) -> None:
            self._meters.tell(events.api_call(prefix, provider.name, service, method, name, status, seconds))

        return observed

    def _look(self) -> None:
        self.health.beat("progress")
        self._post(Looked(self.board.look()))
