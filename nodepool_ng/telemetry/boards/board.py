"""A dashboard: rows of panels, and what the viewer may choose. Grafana's JSON comes out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nodepool_ng.telemetry.boards.query import Query
from nodepool_ng.telemetry.sample import Metric

WIDTH = 24
HEIGHT = 8


class Source(StrEnum):
    GRAPHITE = "graphite"
    PROMETHEUS = "prometheus"


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit` is Grafana's word. A `stat` panel shows the last value only."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    stat: bool = False
    stack: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose: the values of a label, as a gauge has them."""

    name: str
    metric: Metric
    label: str


@dataclass(frozen=True, slots=True)
class Board:
    name: str
    title: str
    panels: Sequence[Panel]
    choices: Sequence[Choice] = field(default=())


def grafana(board: Board, source: Source) -> dict[str, Any]:
    """Return the dashboard as Grafana imports it; it asks for the data source on import."""
    return {
        "uid": f"nodepool-{board.name}-{source}",
        "title": f"Nodepool: {board.title}",
        "tags": ["nodepool", source.value],
        "timezone": "utc",
        "schemaVersion": 38,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(source), *(_variable(choice, source) for choice in board.choices)]},
        "panels": list(_panels(board.panels, source)),
    }


def _datasource(source: Source) -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": source.value}


def _variable(choice: Choice, source: Source) -> dict[str, Any]:
    if source is Source.PROMETHEUS:
        query: Any = f"label_values({choice.metric.prometheus}, {choice.label})"
    else:
        query = "stats.gauges." + choice.metric.statsd.partition(f"{{{choice.label}}}")[0] + "*"
    return {
        "name": choice.name,
        "type": "query",
        "datasource": _reference(source),
        "query": query,
        "refresh": 2,
        "sort": 1,
    }


def _reference(source: Source) -> dict[str, str]:
    return {"type": source.value, "uid": "${datasource}"}


def _panels(panels: Sequence[Panel], source: Source) -> Iterator[dict[str, Any]]:
    x = y = 0
    for number, panel in enumerate(panels, 1):
        width, height = (4, 4) if panel.stat else (12, HEIGHT)
        if x + width > WIDTH:
            x, y = 0, y + (4 if panels[number - 2].stat else HEIGHT)
        yield {
            "id": number,
            "title": panel.title,
            "type": "stat" if panel.stat else "timeseries",
            "datasource": _reference(source),
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **_custom(panel)}, "overrides": []},
            "targets": [_target(query, index, source) for index, query in enumerate(panel.queries)],
        }
        x += width


def _custom(panel: Panel) -> Mapping[str, Any]:
    if panel.stat:
        return {}
    stacking = {"mode": "normal" if panel.stack else "none"}
    return {"custom": {"fillOpacity": 40 if panel.stack else 5, "stacking": stacking}}


def _target(query: Query, index: int, source: Source) -> dict[str, Any]:
    ref = {"refId": chr(ord("A") + index), "datasource": _reference(source)}
    if source is Source.GRAPHITE:
        return {**ref, "target": query.graphite}
    return {**ref, "expr": query.prometheus, "legendFormat": query.legend}
