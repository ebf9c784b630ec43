"""The door to prometheus-client: one process's own numbers, as text to be scraped.

Counters and histograms grow as samples are told; gauges are made for each scrape from a view, or kept as last told.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client import ProcessCollector as ProcessNumbers
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from nodepool_ng.telemetry.metrics import register
from nodepool_ng.telemetry.sample import Kind, Metric, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 2000
"""Series of one metric. Some labels come from records that others write; they may not eat our memory."""

_log = logging.getLogger("nodepool.prometheus")
_Labels = tuple[str, ...]


@dataclass(slots=True)
class _Instruments:
    counter: Counter | None = None
    histogram: Histogram | None = None
    series: dict[_Labels, tuple[Histogram | None, Counter | None]] = field(default_factory=dict)
    """What there is already, by the values of its labels."""


class _Unsuffixed(Collector):
    """A counter under a name without `_total`: those that Nodepool 11's mapping for statsd_exporter gave."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def collect(self) -> Iterator[Family]:
        for family in self._counter.collect():
            renamed = Family(family.name, family.documentation, "unknown")
            for one in family.samples:
                renamed.add_sample(one.name.removesuffix("_total"), one.labels, one.value)
            yield renamed


class _Gauges(Collector):
    """Gauges handed in for one scrape."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        families: dict[str, GaugeMetricFamily] = {}
        for one in self._samples:
            name = one.metric.prometheus
            if name is None:
                continue
            if name not in families:
                labels = one.metric.prometheus_labels
                families[name] = GaugeMetricFamily(name, one.metric.meaning, labels=labels)
            families[name].add_metric(labels_of(one), one.value)
        yield from families.values()


def labels_of(sample: Sample) -> _Labels:
    """Return the values of a sample's Prometheus labels, in the order of the register."""
    return tuple(sample.labels[name] for name in sample.metric.told_to_prometheus)


class Prometheus:
    """The numbers of one process. `tell` may be called from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._instruments: dict[str, _Instruments] = {}
        self._kept: dict[tuple[str, _Labels], Sample] = {}
        for metric in register():
            if metric.prometheus is not None and metric.kind is not Kind.GAUGE:
                self._instruments[metric.statsd] = _made(metric, metric.prometheus, self._registry)
        ProcessNumbers(registry=self._registry)

    def tell(self, samples: Iterable[Sample]) -> None:
        for one in samples:
            if one.metric.prometheus is None:
                continue
            labels = labels_of(one)
            if one.metric.kind is Kind.GAUGE:
                self._kept[one.metric.prometheus, labels] = one
            else:
                self._count(one, labels)

    def text(self, gauges: Iterable[Sample] = ()) -> bytes:
        """Return everything in Prometheus's text format, together with gauges made for this scrape."""
        scraped = CollectorRegistry()
        scraped.register(_Gauges((*self._kept.copy().values(), *gauges)))
        return generate_latest(scraped) + generate_latest(self._registry)

    def _count(self, one: Sample, labels: _Labels) -> None:
        instruments = self._instruments[one.metric.statsd]
        series = instruments.series.get(labels)
        if series is None:
            if len(instruments.series) >= MOST_SERIES:
                return
            series = instruments.series[labels] = _series(instruments, labels)
            if len(instruments.series) == MOST_SERIES:
                _log.error("%s has too many different labels; no further ones are counted", one.metric.prometheus)
        histogram, counter = series
        if histogram is not None:
            histogram.observe(one.value)
        if counter is not None:
            counter.inc(one.value if one.metric.kind is Kind.COUNTER else 1)


def _series(instruments: _Instruments, labels: _Labels) -> tuple[Histogram | None, Counter | None]:
    histogram, counter = instruments.histogram, instruments.counter
    if not labels:
        return histogram, counter
    return histogram and histogram.labels(*labels), counter and counter.labels(*labels)


def _made(metric: Metric, name: str, registry: CollectorRegistry) -> _Instruments:
    labels = metric.prometheus_labels
    match metric.kind:
        case Kind.COUNTER:
            return _Instruments(counter=Counter(name.removesuffix("_total"), metric.meaning, labels, registry=registry))
        case Kind.TIMER:
            return _Instruments(
                histogram=Histogram(name, metric.meaning, labels, buckets=metric.buckets, registry=registry)
            )
        case _:
            counter = Counter(name, metric.meaning, labels, registry=None)
            registry.register(_Unsuffixed(counter))
            timed = Histogram(f"{name}_timer", metric.meaning, labels, buckets=metric.buckets, registry=registry)
            return _Instruments(counter=counter, histogram=timed)
