"""What a launcher tells of itself, put together: the showcase, the numbers, the health of its loops, the web server."""

import logging
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as NoAnswer
from functools import partial
from pathlib import Path
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from nodepool_ng.drivers import DriverError, registry
from nodepool_ng.launcher.documents import documents
from nodepool_ng.launcher.measuring import PATIENCE, Counting, Measures, observer
from nodepool_ng.launcher.reconciler import Reconciler
from nodepool_ng.launcher.recording import SAMPLE_EVERY, Recorder, samples
from nodepool_ng.launcher.showcase import Showcase
from nodepool_ng.launcher.tracing import Tracer
from nodepool_ng.launcher.witness import All, Witness
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.settings import HistorySettings, Provider, WebSettings
from nodepool_ng.telemetry import tracing
from nodepool_ng.telemetry.health import Health
from nodepool_ng.telemetry.history import History
from nodepool_ng.telemetry.meter import Meters
from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.telemetry.statsd import from_environment
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Store

LOOK_EVERY = 1.0  # seconds

_log = logging.getLogger("nodepool.launcher")


class Reporting:
    """Nothing here decides anything: a launcher without it works the same."""

    def __init__(self, post: Callable[[Any], None], clock: Clock, environment: Mapping[str, str]) -> None:
        self.showcase = Showcase(post, clock)
        self.statsd = from_environment(environment)
        self.meters = Meters(Prometheus(), self.statsd)
        self._hostname = socket.gethostname()
        self.history: History | None = None
        self._traces: tracing.Traces | None = None
        self._measures = Measures(self.meters, self._hostname)
        self.witness: Witness = self._measures
        self.health = Health(clock)

    def remember(self, settings: HistorySettings, environment: Mapping[str, str]) -> None:
        """Begin to write history; before the reconciler is made."""
        self.history = History(_place(settings, environment), settings.days, settings.megabytes)
        self.history.start()
        witnesses: list[Witness] = [self._measures, Recorder(self.history)]
        make = tracing.configured(environment)
        if make is not None:
            self._traces = make()
            witnesses.append(Tracer(self._traces))
        self.witness = All(*witnesses)

    def start(self, ticks: BackgroundScheduler, web: WebSettings | None, store: Store) -> Callable[[], None]:
        """Begin to count and to serve; return what ends both. `store` is read only, for what all launchers tell."""
        ends: list[Callable[[], None]] = []
        if self.history is not None:
            ticks.add_job(self._sample, "interval", seconds=SAMPLE_EVERY, max_instances=1, coalesce=True)
            ends.append(self.history.stop)
        if self._traces is not None:
            ends.append(self._traces.stop)
        if self.statsd is not None:
            self.statsd.start()
            counting = Counting(self.showcase, self.statsd, self._hostname)
            ticks.add_job(counting.look, "interval", seconds=LOOK_EVERY, max_instances=1, coalesce=True)
            statsd = self.statsd
            self.health.probe("statistics", lambda: None if statsd.alive else "its thread has ended")
            ends.append(statsd.stop)
        if web is not None:
            # Only who serves pages pays for what that takes to import.
            from nodepool_ng.web.app import make_app
            from nodepool_ng.web.serve import WebServer

            app = make_app(
                self.showcase,
                self.meters.prometheus,
                self.health,
                self._hostname,
                history=self.history,
                told=partial(documents, store, paths.FACTS),
            )
            server = WebServer(app, web)
            server.start()
            ends.insert(0, server.stop)

        def stop() -> None:
            for end in ends:
                end()

        return stop

    def _sample(self) -> None:
        """Note how full pools are; on the ticks' thread."""
        try:
            view = self.showcase.look().result(PATIENCE)
        except NoAnswer:
            return  # the counting tells of it
        if self.history is not None:
            for sample in samples(view):
                self.history.tell(sample)

    def observe(self, provider: Provider) -> Callable[[str, str, str, int | None, float], None]:
        """Return what a provider's driver tells of its calls."""
        try:
            prefix = registry.metric_prefix(provider)
        except DriverError as error:
            _log.debug("%s", error)
            prefix = None
        return observer(self.meters, provider.name, prefix)

    def show(self, reconciler: Reconciler, letters: int, verbs: int) -> None:
        """Answer those who asked for a view. On the reconciler's thread."""
        try:
            self.showcase.put(reconciler.view(letters, verbs))
        except Exception:  # noqa: BLE001 - the reconciler's edge: it goes on without being seen
            _log.exception("No view could be made")


def _place(settings: HistorySettings, environment: Mapping[str, str]) -> Path | None:
    """Return where history is kept: where the configuration says, else in the service manager's folder for us."""
    folder = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if settings.path is not None:
        return Path(settings.path)
    return Path(folder) / "history.sqlite" if folder else None
