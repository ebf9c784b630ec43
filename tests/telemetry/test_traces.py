"""Traces of a running launcher, as an OTLP collector gets them."""

import gzip
import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest

from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.store import Commit, Create
from tests.support.daemons import Site, wait_for
from tests.telemetry.test_statsd_launcher import configure

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]

PARENT = {"name": "BuildSet", "trace_id": 2**100 + 7, "span_id": 2**40 + 9, "trace_flags": 1, "start_time": 5}


@pytest.fixture
def collector() -> Iterator[tuple[int, list[object]]]:
    """A port that takes traces, and the spans that came."""
    spans: list[object] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            told = trace_service.ExportTraceServiceRequest.FromString(body)
            spans.extend(span for r in told.resource_spans for s in r.scope_spans for span in s.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], spans
        server.shutdown()
        thread.join()


def test_a_request_and_its_launch_are_in_the_trace_of_the_ci_system(
    place: Site, collector: tuple[int, list[object]]
) -> None:
    port, spans = collector
    place.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    configure(place, min_ready=0)
    place.launcher()
    wait_for(lambda: bool(place.children(paths.FACTS)), "the launcher is there")
    request = {
        "node_types": ["fake-label"],
        "requestor": "zuul",
        "requestor_data": {"span_info": PARENT},
        "state": "requested",
        "state_time": 1.0,
        "created_time": time.time(),
    }
    made = Create(paths.new_request("200"), json.dumps(request).encode(), sequence=True)
    call(place.store(), [Commit((made,))])
    wait_for(lambda: len(spans) >= 2, "two spans have come")
    found = {span.name: span for span in spans}  # type: ignore[attr-defined]
    whole, launch = found["nodepool: request"], found["nodepool: launch"]
    assert int.from_bytes(whole.trace_id) == int.from_bytes(launch.trace_id) == PARENT["trace_id"]
    assert int.from_bytes(whole.parent_span_id) == PARENT["span_id"]
    assert launch.parent_span_id == whole.span_id
    assert whole.start_time_unix_nano <= launch.start_time_unix_nano < launch.end_time_unix_nano
