"""Dashboards and alert rules ask only for what is sent, and the files are what the code makes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import nodepool_ng
from nodepool_ng.telemetry.boards.files import files
from nodepool_ng.telemetry.metrics import register
from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.telemetry.sample import Kind
from nodepool_ng.telemetry.statsd import name_of
from tests.unit.telemetry.test_register import everything

ETC = Path(nodepool_ng.__file__).parent.parent / "etc"
RULES = ETC / "prometheus" / "nodepool.rules.yaml"
NOT_OURS = {"up"}
"""What Prometheus itself knows of whom it asks."""


def targets(source: str) -> Iterator[tuple[str, Any]]:
    for name, text in files().items():
        if name.startswith(source):
            for panel in json.loads(text)["panels"]:
                for target in panel["targets"]:
                    yield f"{name}: {panel['title']}", target


@pytest.mark.parametrize("name", sorted(files()))
def test_the_files_are_current(name: str) -> None:
    assert (ETC / "grafana" / name).read_text() == files()[name], (
        "run python -m nodepool_ng.telemetry.boards etc/grafana"
    )


def test_there_is_no_other_file() -> None:
    assert {path.name for path in (ETC / "grafana").iterdir()} == set(files())


def sent_to_graphite() -> set[str]:
    """Return the paths that a statsd server makes of all that we send."""
    prefixes = {
        Kind.GAUGE: [("stats.gauges.", "")],
        Kind.COUNTER: [("stats_counts.", "")],
        Kind.TIMER: [("stats.timers.", ".mean")],
        Kind.TIMED: [("stats_counts.", ""), ("stats.timers.", ".mean")],
    }
    return {f"{before}{name_of(one)}{after}" for one in everything() for before, after in prefixes[one.metric.kind]}


def as_pattern(path: str) -> re.Pattern[str]:
    text = re.sub(r"\$\w+", "*", path)
    parts = (re.escape(part) if part not in "*" else "[^.]+" for part in re.split(r"(\*)", text) if part)
    pattern = "".join(parts)
    return re.compile(re.sub(r"\\{(.*?)\\}", lambda found: f"(?:{found[1].replace(',', '|')})", pattern))


def test_every_graphite_query_finds_something_that_is_sent() -> None:
    sent = sent_to_graphite()
    # What is not in the examples of `everything`: failures, full host names, and tasks of other names.
    sent |= {re.sub(r"\.ready(\.mean)?$", r".error.quota\1", path) for path in sent}
    tasks = {
        found[1]
        for _, target in targets("graphite")
        if (found := re.search(r"provider\.(\w+\.[A-Z]+\.\w+)", target["target"]))
    }
    sent |= {path.replace(".builder.h.", f".builder.{host}.") for path in sent for host in ("h.a", "h.a.b", "h.a.b.c")}
    sent |= {f"stats.timers.nodepool.task.p.{task}.200.mean" for task in tasks}
    paths = [
        (where, path)
        for where, target in targets("graphite")
        for path in re.findall(r"stats[.\w*$-]+(?:\{[^}]*\}[.\w*$-]*)*", target["target"])
    ]
    assert len(paths) > 60
    for where, path in paths:
        found = as_pattern(path)
        assert any(found.fullmatch(one) for one in sent), (where, path)


def test_graphite_lines_are_named_by_the_right_level() -> None:
    """The level that names a line is one that differs between lines: it stands open in the path."""
    for where, target in targets("graphite"):
        for path, node in re.findall(
            r"(?:aliasByNode|groupByNode)\((?:scale\()?([^,(){]*(?:\{[^}]*\}[^,(){]*)?)(?:, 0\.001\))?, (\d+)",
            target["target"],
        ):
            level = path.split(".")[int(node)]
            assert level[0] in "*${", (where, path, level)


def prometheus_names() -> set[str]:
    """Return the names of all series that a scrape brings when everything happened once."""
    prometheus = Prometheus()
    prometheus.tell(everything())
    return set(re.findall(r"^(nodepool_\w+)[{ ]", prometheus.text().decode(), re.M))


def names_in(expression: str) -> set[str]:
    """Return the metrics of a PromQL expression."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(r"\b(nodepool_\w+|up)\b(?!\s*=)", bare))


def test_every_prometheus_query_asks_for_what_is_served() -> None:
    served = prometheus_names()
    for where, target in targets("prometheus"):
        assert names_in(target["expr"]), (where, target)
        assert names_in(target["expr"]) <= served, where


def test_labels_in_queries_are_those_of_the_register() -> None:
    labels: dict[str, set[str]] = {}
    for metric in register():
        for ending in ("", "_timer", "_timer_bucket", "_bucket"):
            labels[f"{metric.prometheus}{ending}"] = {*metric.prometheus_labels, "le"}
    for where, target in targets("prometheus"):
        for name, matchers in re.findall(r"(nodepool_\w+)\{([^}]*)\}", target["expr"]):
            assert set(re.findall(r"(\w+)=~?", matchers)) <= labels[name], where


def test_the_ten_things_that_page_somebody_ask_for_what_is_served() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert len(rules) == 10
    for rule in rules:
        assert names_in(rule["expr"]) <= prometheus_names() | NOT_OURS, rule["alert"]
        assert rule["annotations"]["remedy"]
