"""The register of metrics: nothing is sent that is not in it, nothing is in it that is not sent."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nodepool_ng
from nodepool_ng.telemetry import events, gauges
from nodepool_ng.telemetry import metrics as declared
from nodepool_ng.telemetry.manual import manual
from nodepool_ng.telemetry.metrics import register
from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.telemetry.sample import Kind, Sample, sample
from tests.unit.telemetry.support import full_view

PACKAGE = Path(nodepool_ng.__file__).parent
ROOT = PACKAGE.parent


def everything() -> Iterator[Sample]:
    """Yield what the code sends when everything happens once."""
    view = full_view()
    yield from gauges.installation(view)
    yield from gauges.launcher(view)
    yield from gauges.internals(view, "vm")
    yield from events.launched("ready", 1.0, provider="p", az="az", requestor=None, image="i")
    yield from events.leaked("p", "instances")
    yield from events.request_served(1.0, provider="p", label="l", warm=True)
    yield from events.request_failed()
    yield from events.api_call(None, "p", "compute", "GET", "servers", 200, 1.5)
    yield from events.api_call(None, "p", "compute", "GET", "servers", None, 1.5)
    yield from events.planned("vm", 0.001)
    yield from events.action_lost("vm", "Claim")
    yield from events.built("i", 0, 60.0, 1_700_000_000.5, {"qcow2": 1})
    yield from events.uploaded("i", "p", 60.0)
    yield from events.upload_failed("i", "p")
    yield from events.build_requests({"i": True})
    yield from events.builder("h", {"i": 1}, {("i", "p"): 2}, build_workers=1, upload_workers=4)


def test_all_that_is_declared_is_sent() -> None:
    sent = {one.metric.statsd for one in everything()}
    assert sent == {metric.statsd for metric in register()}


def test_only_the_register_declares() -> None:
    makers = {"Metric", "gauge", "counter", "timer"}
    for path in PACKAGE.rglob("*.py"):
        if path.name in ("metrics.py", "sample.py") and path.parent.name == "telemetry":
            continue
        calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        imported = "telemetry.sample import" in path.read_text()
        assert not (imported and names & makers), path


def test_every_entry_is_used_by_the_code_that_sends() -> None:
    text = "".join((PACKAGE / "telemetry" / name).read_text() for name in ("gauges.py", "events.py"))
    used = set(re.findall(r"metrics\.([A-Z_]+)", text))
    assert used == {name for name, value in vars(declared).items() if value in list(register())}


def test_no_two_entries_share_a_name() -> None:
    metrics = list(register())
    names = [metric.prometheus for metric in metrics if metric.prometheus]
    assert len(names) == len(set(names))
    assert len({metric.statsd for metric in metrics}) == len(metrics)


def test_names_are_fit_for_prometheus() -> None:
    for metric in register():
        if metric.prometheus is not None:
            assert re.fullmatch(r"nodepool_[a-z_]+", metric.prometheus)
            assert metric.kind in (Kind.GAUGE, Kind.COUNTER) or metric.buckets
            assert (metric.kind is Kind.COUNTER) == metric.prometheus.endswith("_total")


@pytest.mark.parametrize("labels", [{}, {"state": "ready", "more": "x"}, {"other": "x"}])
def test_a_sample_with_other_labels_than_declared_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(TypeError, match=re.escape("nodepool.nodes.{state}")):
        sample(declared.NODES, 1, **labels)


def test_prometheus_takes_everything_and_says_it() -> None:
    prometheus = Prometheus()
    told = list(everything())
    prometheus.tell(told)
    text = prometheus.text().decode()
    for metric in register():
        if metric.prometheus is not None:
            assert re.search(rf"^{metric.prometheus}(_timer)?(_count)?(\{{.*\}})? ", text, re.M), metric.prometheus


def test_the_manual_is_current() -> None:
    path = ROOT / "docs" / "metrics.rst"
    assert path.read_text() == manual(), "run python -m nodepool_ng.telemetry.manual docs/metrics.rst"
