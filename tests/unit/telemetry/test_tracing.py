"""Spans of requests, below the span that the CI system was in."""

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from nodepool_ng.telemetry.tracing import Stretch, Traces, configured

PARENT = {"name": "BuildSet", "trace_id": 2**100 + 7, "span_id": 2**40 + 9, "trace_flags": 1, "start_time": 5}
PART = Stretch(name="launch", begin=101.0, end=107.5, attributes={"node": "1"})
WHOLE = Stretch(name="request", begin=100.0, end=108.0, attributes={"labels": ["a", "b"]}, parts=(PART,))


@pytest.fixture
def sent():
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, at_once=True)

    def send(parent, stretch=WHOLE):
        traces.tell(parent, stretch)
        return {span.name: span for span in exporter.get_finished_spans()}

    yield send
    traces.stop()


def test_spans_belong_to_the_trace_of_the_ci_system(sent):
    found = sent(PARENT)
    request, launch = found["request"], found["launch"]
    assert {request.context.trace_id, launch.context.trace_id} == {PARENT["trace_id"]}
    assert (request.parent.span_id, launch.parent.span_id) == (PARENT["span_id"], request.context.span_id)
    assert (request.start_time, request.end_time) == (100 * 10**9, 108 * 10**9)
    assert launch.end_time - launch.start_time == 6_500_000_000
    assert dict(request.attributes) == {"labels": ("a", "b")}
    assert request.resource.attributes["service.name"] == "nodepool-launcher"


@pytest.mark.parametrize(
    "parent",
    [None, {}, {"trace_id": "x", "span_id": 1}, {"trace_id": 0, "span_id": 0}, {**PARENT, "trace_flags": 0}, "junk"],
)
def test_without_a_valid_sampled_parent_nothing_is_sent(sent, parent):
    assert sent(parent) == {}


def test_what_failed_is_an_error(sent):
    found = sent(PARENT, Stretch(name="request", begin=1.0, end=0.5, attributes={}, failed=True))
    assert found["request"].status.status_code is StatusCode.ERROR
    assert found["request"].end_time >= found["request"].start_time


def test_traces_are_made_only_where_the_environment_asks(caplog):
    assert configured({}) is None
    assert configured({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}) is None
