"""The manual's page about metrics, made of the register: `python -m nodepool_ng.telemetry.manual docs/metrics.rst`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from nodepool_ng.telemetry.metrics import register
from nodepool_ng.telemetry.sample import Kind, Metric, Scope

INTRODUCTION = """\
Metrics
=======

.. This page is made by ``python -m nodepool_ng.telemetry.manual docs/metrics.rst``; a test holds it current.

**statsd**: set ``STATSD_HOST`` (and ``STATSD_PORT``, 8125 otherwise) in the environment of the daemons. Durations are
in milliseconds. A statsd server puts its own prefixes before the names: ``stats.gauges.``, ``stats.timers.``,
``stats_counts.``. In requestors, tenants and their limits dots and colons become underscores; in other names dots
stay and make further levels. Numbers of the whole installation are sent by one launcher, which all elect; launchers of
Nodepool 11 take part.

**Prometheus**: every launcher serves its own numbers at ``/metrics`` of its web port, without being asked to. Durations
are in seconds. Numbers of the whole installation are served by every launcher: take ``max without (instance)`` of
several. *timer and counter* is a histogram whose name ends in ``_timer`` and a counter without an ending.

"""

TITLES = {
    Scope.INSTALLATION: "The whole installation",
    Scope.LAUNCHER: "Each launcher",
    Scope.BUILDER: "Each builder",
}
_KINDS = {
    Kind.GAUGE: "gauge",
    Kind.COUNTER: "counter",
    Kind.TIMER: "timer",
    Kind.TIMED: "timer and counter",
}


def manual() -> str:
    """Return the page."""
    return INTRODUCTION + "\n".join("\n".join(_section(scope)) for scope in Scope)


def _section(scope: Scope) -> Iterator[str]:
    yield TITLES[scope]
    yield "-" * len(TITLES[scope])
    yield ""
    for metric in register():
        if metric.scope is scope:
            yield f"``{metric.statsd}``"
            unit = f", {metric.unit}" if metric.unit else ""
            yield f"    {_KINDS[metric.kind]}{unit}. {metric.meaning.replace('`', '``')}"
            if metric.prometheus is not None:
                yield ""
                yield f"    Prometheus: ``{prometheus_of(metric)}``"
            yield ""


def prometheus_of(metric: Metric) -> str:
    """Return the Prometheus name with its labels."""
    labels = ", ".join(metric.prometheus_labels)
    names = f"{metric.prometheus}" if metric.kind is not Kind.TIMED else f"{metric.prometheus}[_timer]"
    return f"{names}{{{labels}}}" if labels else names


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual())
