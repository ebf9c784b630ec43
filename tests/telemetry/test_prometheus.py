"""Every panel for Prometheus on a real one that asks a running launcher; and the rules, as it reads them."""

import http.server
import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.telemetry.sample import Kind
from tests.support.daemons import Site, die_with_parent, free_port, wait_for
from tests.telemetry.lively import lively
from tests.telemetry.test_alerts import RULES
from tests.telemetry.test_statsd_launcher import configure
from tests.unit.telemetry.test_boards import targets

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.zookeeper,
    pytest.mark.daemons,
    pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus"),
    pytest.mark.timeout(300),
]


@contextmanager
def exporter() -> Iterator[int]:
    """A port at which everything that can be told is told, more of it at each look."""
    register = Prometheus()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            samples = list(lively())
            register.tell([one for one in samples if one.metric.kind is not Kind.GAUGE])
            body = register.text([one for one in samples if one.metric.kind is Kind.GAUGE])
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def prometheus(folder: Path, *ports: int) -> Iterator[str]:
    """A server that looks every second; where it answers."""
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "nodepool", "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in ports]}]}
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    argv = [
        str(PROMETHEUS),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, preexec_fn=die_with_parent)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


def ask(base: str, path: str, **parameters: str) -> object:
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{base}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it has not begun yet
            return None
        raise AssertionError(f"{parameters}: {error.read().decode()}") from None
    except OSError:
        return None


def filled(query: str) -> str:
    """Return a query as Grafana asks it, any value standing for its variables."""
    query = query.replace("$__rate_interval", "10s")
    return re.sub(r'="\$\w+"', '=~".+"', query)


def test_every_query_of_every_panel_returns_data_and_every_rule_is_read(place: Site, tmp_path: Path) -> None:
    configure(place)
    place.launcher()
    with exporter() as port, prometheus(tmp_path, place.web_port, port) as base:
        wait_for(lambda: bool(ask(base, "query", query="nodepool_nodes")), "the launcher was asked", 60)
        asked = {target["expr"]: where for where, target in targets("prometheus")}
        assert len(asked) > 60
        found: list[str] = []

        def none_is_empty() -> bool:
            found[:] = [
                f"{where}: {query}"
                for query, where in asked.items()
                if not ask(base, "query", query=filled(query))["result"]  # type: ignore[index]
            ]
            return not found

        try:
            wait_for(none_is_empty, "all queries return data", 60)
        except TimeoutError:
            pytest.fail("no data:\n" + "\n".join(found))
        launcher = ask(base, "query", query=f'nodepool_nodes_by_label{{instance="127.0.0.1:{place.web_port}"}}')
        assert any(one["metric"]["label"] == "fake-label" for one in launcher["result"])  # type: ignore[index]
        (group,) = ask(base, "rules")["groups"]  # type: ignore[index]
        wait_for(
            lambda: all(rule["health"] == "ok" for rule in ask(base, "rules")["groups"][0]["rules"]),  # type: ignore[index]
            "every rule was evaluated",
        )
        assert len(group["rules"]) >= 10
