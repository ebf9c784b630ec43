"""A question to a data source about one metric of the register."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nodepool_ng.telemetry.sample import Kind, Metric, Scope

API_PREFIX = "nodepool.task.{provider}"
_LEVELS = {"task": "*.*.*", "queue": "*.*"}
"""What stands for any value of a label whose values have several levels."""
_HOSTS = ("*", "*.*", "*.*.*", "*.*.*.*")
"""Builders call themselves by their full names, whose dots make levels."""


@dataclass(frozen=True, slots=True)
class Query:
    """`graphite` and `prometheus` ask the same; `legend` is Prometheus's, Graphite has its alias in the query."""

    graphite: str
    prometheus: str
    legend: str


def called(query: Query, name: str) -> Query:
    """Give the line of a query a name of its own."""
    return Query(f"alias({query.graphite}, '{_quoted(name)}')", query.prometheus, name)


def level(metric: Metric, by: str | None = None, /, **fixed: str) -> Query:
    """Ask for a gauge, a line for each value of the label `by`."""
    path = "stats.gauges." + _path(metric, fixed)
    selector = f"{metric.prometheus}{_matchers(metric, fixed)}"
    # Every launcher serves the numbers of all: whatever each says is the same, and its highest is the freshest.
    return Query(_aliased(path, metric, by, fixed), f"max{_by(metric, by)} ({selector})", _legend(metric, by, fixed))


def total(metric: Metric, by: str | None = None, /, **fixed: str) -> Query:
    """Ask for the sum over everything that is not `by`."""
    hosts = _HOSTS if metric.scope is Scope.BUILDER and "hostname" in metric.labels else ("*",)
    paths = [f"stats.gauges.{_path(metric, {'hostname': host, **fixed})}" for host in hosts]
    if by is None:
        graphite = f"alias(sumSeries({', '.join(paths)}), '{_quoted(_legend(metric, None, fixed))}')"
    else:
        graphite = f"groupByNode({paths[0]}, {_node(paths[0], metric, by, fixed)}, 'sumSeries')"
    selector = f"{metric.prometheus}{_matchers(metric, fixed)}"
    return Query(graphite, f"sum{_by(metric, by)} ({selector})", _legend(metric, by, fixed))


def rate(metric: Metric, by: str | None = None, /, **fixed: str) -> Query:
    """Ask how often something happened, per minute."""
    path = "stats_counts." + _path(metric, fixed)
    name = metric.prometheus
    node = _node(path, metric, by, fixed) if by else None
    summed = f"sumSeries({path})" if node is None else f"groupByNode({path}, {node}, 'sumSeries')"
    selector = f"{name}{_matchers(metric, fixed)}[$__rate_interval]"
    counted = f"summarize({summed}, '1min', 'sum')"
    return Query(
        f"alias({counted}, '{_quoted(_legend(metric, None, fixed))}')" if by is None else counted,
        f"60 * sum{_by(metric, by)} (rate({selector}))",
        _legend(metric, by, fixed),
    )


def took(metric: Metric, by: str | None = None, /, **fixed: str) -> Query:
    """Ask how long something took: the mean in Graphite, the median in Prometheus."""
    path = "stats.timers." + _path(metric, fixed) + ".mean"
    name = f"{metric.prometheus}_timer" if metric.kind is Kind.TIMED else metric.prometheus
    selector = f"{name}_bucket{_matchers(metric, fixed)}[$__rate_interval]"
    grouping = ", ".join(("le", metric.renamed.get(by, by))) if by else "le"
    return Query(
        _aliased(f"scale({path}, 0.001)", metric, by, fixed),
        f"histogram_quantile(0.5, sum by ({grouping}) (rate({selector})))",
        _legend(metric, by, fixed),
    )


def _path(metric: Metric, fixed: Mapping[str, str]) -> str:
    pattern = metric.statsd.replace("{prefix}", API_PREFIX)
    names = set(re.findall(r"{(\w+)}", pattern))
    return pattern.format_map({name: fixed.get(name, _LEVELS.get(name, "*")) for name in names})


def _matchers(metric: Metric, fixed: Mapping[str, str]) -> str:
    """Return Prometheus's way to choose series. `$x` is a variable, `{a,b}` a choice, `*` any text."""
    parts = []
    for name, value in fixed.items():
        label = metric.renamed.get(name, name)
        if label not in metric.prometheus_labels:
            continue
        if value.startswith("{"):
            parts.append(f'{label}=~"{value.strip("{}").replace(",", "|")}"')
        elif "*" in value:
            parts.append(f'{label}=~"{value.replace(".", "[.]").replace("*", ".*")}"')
        else:
            parts.append(f'{label}="{value}"')
    return f"{{{', '.join(parts)}}}" if parts else ""


def _by(metric: Metric, by: str | None) -> str:
    return f" by ({metric.renamed.get(by, by)})" if by else ""


def _legend(metric: Metric, by: str | None, fixed: Mapping[str, str]) -> str:
    if by:
        return f"{{{{{metric.renamed.get(by, by)}}}}}"
    chosen = [value for value in fixed.values() if not value.startswith("$")]
    return ", ".join(chosen) or metric.meaning.partition(".")[0].partition(";")[0]


def _quoted(text: str) -> str:
    """Return a text that may stand between Graphite's single quotes, which it cannot escape."""
    return text.replace("'", "’")


def _node(path: str, metric: Metric, by: str, fixed: Mapping[str, str]) -> int:
    """Return which level of a path holds a label; the last one of a value with several."""
    pattern = metric.statsd.replace("{prefix}", API_PREFIX)
    before = pattern[: pattern.index(f"{{{by}}}")].format_map(
        {name: fixed.get(name, "*") for name in (*metric.labels, *metric.beside)}
    )
    inside = fixed.get(by, "").count(".")
    return before.count(".") + inside + path.partition("nodepool.")[0].count(".")


def _aliased(path: str, metric: Metric, by: str | None, fixed: Mapping[str, str]) -> str:
    if by is None:
        return f"alias({path}, '{_quoted(_legend(metric, None, fixed))}')"
    return f"aliasByNode({path}, {_node(path.removeprefix('scale('), metric, by, fixed)})"
