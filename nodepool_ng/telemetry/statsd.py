"""The door to statsd: samples become datagrams, on a thread of its own.

Nobody who tells a number waits: it goes into a queue, and what finds the queue full is dropped, as UDP would.
"""

import logging
import math
import queue
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import statsd

from nodepool_ng.model.ids import Seconds
from nodepool_ng.telemetry.sample import Kind, Sample

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 8125
MOST_WAITING = 1000
"""Batches. A batch is what was told at once: an event, or all gauges of one second."""
DATAGRAM = 512  # bytes; fits everywhere, and is what Nodepool 11 sends
RESOLVE_AGAIN: Seconds = 30.0

NORMALISED = frozenset({"requestor", "tenant", "limit"})
"""Labels in whose values dots and colons become underscores. In others dots stay and make further levels: that is
how dashboards know them."""
_UNSAFE = re.compile(r"[^\x21-\x7e]|[:|@#]")
"""What would end a name, or cannot be sent; no server ever understood it."""

_log = logging.getLogger("nodepool.statsd")


def name_of(sample: Sample) -> str:
    """Return what statsd calls a sample."""
    values = {name: _written(name, value) for name, value in sample.labels.items()}
    return sample.metric.statsd.format_map(values)


def _written(label: str, value: str) -> str:
    if label in NORMALISED:
        value = value.replace(".", "_").replace(":", "_")
    return _UNSAFE.sub("_", value)


def address(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where the environment says that statsd listens; None where it says nothing.

    Raises ValueError when the port is no number.
    """
    host, port = environment.get("STATSD_HOST"), environment.get("STATSD_PORT")
    if not host and not port:
        return None
    return host or DEFAULT_HOST, int(port or DEFAULT_PORT)


def from_environment(environment: Mapping[str, str]) -> "Statsd | None":
    """Return what sends where the environment says; None where it says nothing, or nothing that can be used."""
    try:
        found = address(environment)
    except ValueError:
        _log.error("STATSD_PORT is no number: no statistics are sent")
        return None
    return Statsd(*found) if found is not None else None


class Statsd:
    """Sends what it is told until it is stopped."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._queue: queue.Queue[tuple[Sample, ...] | None] = queue.Queue(MOST_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statsd", daemon=True)
        self.dropped = 0
        """Batches that came while the queue was full."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, and end."""
        self._stopping.set()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            _log.warning("Statistics were dropped at the end")
        self._thread.join(2.0)

    def tell(self, samples: Iterable[Sample]) -> None:
        """Take samples, from any thread."""
        try:
            self._queue.put_nowait(tuple(samples))
        except queue.Full:
            self.dropped += 1

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        client = self._resolved()
        while client is not None:
            batch = self._queue.get()
            pipeline = client.pipeline()
            while batch is not None:
                for sample in batch:
                    _put(pipeline, sample)
                try:
                    batch = self._queue.get_nowait()
                except queue.Empty:
                    break
            pipeline.send()
            if batch is None:
                client.close()
                return

    def _resolved(self) -> Any:
        """Return a client once the name can be resolved; None when told to stop before that."""
        while not self._stopping.is_set():
            for ipv6 in (False, True):
                try:
                    return statsd.StatsClient(*self._address, maxudpsize=DATAGRAM, ipv6=ipv6)
                except OSError as error:
                    trouble = error
            _log.error("The statsd server %s cannot be found: %s", self._address[0], trouble)
            self._stopping.wait(RESOLVE_AGAIN)
        return None


def _put(pipeline: Any, sample: Sample) -> None:
    name, value = name_of(sample), sample.value
    if not math.isfinite(value):
        return
    match sample.metric.kind:
        case Kind.GAUGE:
            pipeline.gauge(name, int(value) if float(value).is_integer() else value)
        case Kind.COUNTER:
            pipeline.incr(name, int(value))
        case Kind.TIMER:
            pipeline.timing(name, value * 1000)
        case Kind.TIMED:
            pipeline.timing(name, value * 1000)
            pipeline.incr(name)
