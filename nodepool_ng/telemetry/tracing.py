"""Traces: a span for each request that was answered and each launch for it, below the span that the CI system is in.

An optional extra: without OpenTelemetry, or without its usual variables (`OTEL_EXPORTER_OTLP_ENDPOINT` …), there are
none. Spans are made when they are over, of instants that records have; nothing is carried about meanwhile.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nodepool_ng.model.ids import Timestamp

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "nodepool-launcher"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_log = logging.getLogger("nodepool.tracing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Something that took time; `parts` lie within it."""

    name: str
    begin: Timestamp
    end: Timestamp
    attributes: Mapping[str, str | int | bool | Sequence[str]]
    failed: bool = False
    parts: Sequence["Stretch"] = ()


class Traces:
    """Sends spans to an exporter, on a thread of OpenTelemetry's own."""

    def __init__(self, exporter: "SpanExporter", *, at_once: bool = False) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("nodepool_ng")

    def tell(self, parent: object, stretch: Stretch) -> None:
        """Send a span and its parts. `parent` is the span context as Zuul writes it into requests; where there is none,
        or it is not to be sampled, nothing is sent."""
        from opentelemetry import trace

        context = context_of(parent)
        if context is not None:
            self._tell(trace.set_span_in_context(trace.NonRecordingSpan(context)), stretch)

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _tell(self, context: Any, stretch: Stretch) -> None:
        from opentelemetry import trace

        begin, end = int(stretch.begin * 1e9), int(max(stretch.end, stretch.begin) * 1e9)
        span = self._tracer.start_span(stretch.name, context, start_time=begin, attributes=dict(stretch.attributes))
        if stretch.failed:
            span.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(span)
        for part in stretch.parts:
            self._tell(inside, part)
        span.end(end)


def context_of(told: object) -> Any:
    """Return the span context of a request's `span_info`, None where there is no valid one."""
    from opentelemetry import trace

    match told:
        case {"trace_id": int(trace_id), "span_id": int(span_id), **rest}:
            flags = rest.get("trace_flags")
            sampled = trace.TraceFlags(flags if isinstance(flags, int) else trace.TraceFlags.SAMPLED)
            context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled)
            return context if context.is_valid else None
    return None


def configured(environment: Mapping[str, str]) -> Callable[[], Traces] | None:
    """Return what makes the traces that the environment asks for; None where it asks for none."""
    if not any(environment.get(name) for name in _ENDPOINTS) or environment.get("OTEL_SDK_DISABLED") == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        _log.error("No traces are sent: install nodepool_ng[tracing], or unset %s", " and ".join(_ENDPOINTS))
        return None
    return lambda: Traces(OTLPSpanExporter())
