"""What a metric is, and one value of it."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STATSD_ONLY = frozenset({"hostname", "prefix"})
"""Labels that Prometheus has no use for: it knows whom it asked, and has no prefixes."""


class Kind(StrEnum):
    """How a value is to be understood. The value of each is what statsd calls it."""

    GAUGE = "g"
    COUNTER = "c"
    TIMER = "ms"
    TIMED = "ms+c"
    """A timer and a counter of the same name; in Prometheus, a histogram and a counter."""


class Scope(StrEnum):
    """Who sends it."""

    INSTALLATION = "one launcher for all"
    LAUNCHER = "every launcher"
    BUILDER = "every builder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One entry of the register. Labels are the places left open in the statsd name, in its order, and what is
    `beside` them.

    Durations are seconds here and in Prometheus, milliseconds in statsd.
    """

    statsd: str
    prometheus: str | None
    kind: Kind
    scope: Scope
    unit: str
    meaning: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Labels that have another name in Prometheus."""
    buckets: tuple[float, ...] = ()
    beside: tuple[str, ...] = ()
    """Labels that have no place in the statsd name."""
    labels: tuple[str, ...] = field(init=False)
    told_to_prometheus: tuple[str, ...] = field(init=False)
    """Those of the labels that Prometheus has a use for, by the names that they have here."""
    label_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        in_name = [name for _, name, _, _ in string.Formatter().parse(self.statsd) if name]
        labels = (*in_name, *self.beside)
        # Worked out once: samples are made by the thousand.
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "told_to_prometheus", tuple(name for name in labels if name not in STATSD_ONLY))
        object.__setattr__(self, "label_names", frozenset(labels))

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        return tuple(self.renamed.get(name, name) for name in self.told_to_prometheus)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, with a value for every label of its metric."""

    metric: Metric
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def sample(metric: Metric, value: float, /, **labels: str) -> Sample:
    """Return a value of a metric. Raises `TypeError` when the labels are not exactly those of the register."""
    if labels.keys() != metric.label_names:
        raise TypeError(f"{metric.statsd} has the labels {metric.labels}, not {tuple(labels)}")
    return Sample(metric, value, labels)


def gauge(scope: Scope, statsd: str, prometheus: str | None, unit: str, meaning: str, **renamed: str) -> Metric:
    """Declare what goes up and down."""
    return Metric(
        statsd=statsd,
        prometheus=prometheus,
        kind=Kind.GAUGE,
        scope=scope,
        unit=unit,
        meaning=meaning,
        renamed=renamed,
    )


def counter(
    scope: Scope, statsd: str, prometheus: str | None, unit: str, meaning: str, beside: tuple[str, ...] = ()
) -> Metric:
    """Declare what is counted."""
    return Metric(
        statsd=statsd,
        prometheus=prometheus,
        kind=Kind.COUNTER,
        scope=scope,
        unit=unit,
        meaning=meaning,
        beside=beside,
    )


def timer(
    scope: Scope,
    statsd: str,
    prometheus: str,
    buckets: tuple[float, ...],
    meaning: str,
    kind: Kind = Kind.TIMER,
    beside: tuple[str, ...] = (),
) -> Metric:
    """Declare what is timed; with `Kind.TIMED` it is counted, too."""
    return Metric(
        statsd=statsd,
        prometheus=prometheus,
        kind=kind,
        scope=scope,
        unit="s",
        meaning=meaning,
        buckets=buckets,
        beside=beside,
    )
