"""How much the simulated clouds bear: calls a second and CPU per call, against a process of their own.

Run it as `python tests/bench/sim_rate.py`; it needs nothing else. Clients are few, plain and in this process, so the
figures are the server's: its CPU time is read before and after each round.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SERVERS = 1000
CLIENTS = 8
PREFIX = "/sim/RegionOne/compute/v2.1"


@contextmanager
def simulation() -> Iterator[tuple[psutil.Process, int]]:
    """Run the command and give its process and port."""
    with tempfile.TemporaryDirectory() as folder:
        config, port_file = Path(folder, "sim.yaml"), Path(folder, "port")
        config.write_text("clouds: {sim: {defaults: {boot: 0, delete: 0}}}")
        command = [sys.executable, "-m", "nodepool_ng.sim.main", "--config", str(config), "--port-file", str(port_file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield psutil.Process(process.pid), int(port_file.read_text())
            finally:
                process.terminate()


def log_in(port: int) -> str:
    """Return a token."""
    user = {"name": "ci", "password": "simulated", "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/sim/identity/v3/auth/tokens", json.dumps(body))
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers["X-Subject-Token"]


def round_of(
    name: str, process: psutil.Process, port: int, token: str, calls: list[tuple[str, str, bytes | None]]
) -> list[bytes]:
    """Make all calls from a few threads; print what they took, return the answers."""
    answers: list[bytes] = []
    left = list(reversed(calls))
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while True:
            try:
                verb, path, body = left.pop()
            except IndexError:
                break
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            answers.append(response.read())
            assert response.status < 300, (response.status, answers[-1])
        connection.close()

    before, started = _cpu(process), time.perf_counter()
    _together(client)
    took, used = time.perf_counter() - started, _cpu(process) - before
    each = 1000 * used / len(calls)
    print(f"{name:42} {len(calls):5} calls {len(calls) / took:7.0f}/s   CPU {each:6.2f} ms each", flush=True)
    return answers


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _together(client: Callable[[], None]) -> None:
    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Print a line for each kind of call."""
    body = {"name": "n", "flavorRef": "small", "networks": "auto", "metadata": {"nodepool_node_id": "0000000001"}}
    create = json.dumps({"server": body}).encode()
    since = "/servers/detail?changes-since=2100-01-01T00:00:00Z"
    with simulation() as (process, port):
        token = log_in(port)

        def measure(name: str, calls: list[tuple[str, str, bytes | None]]) -> list[bytes]:
            return round_of(name, process, port, token, calls)

        made = measure("create", [("POST", f"{PREFIX}/servers", create)] * SERVERS)
        ids = [json.loads(answer)["server"]["id"] for answer in made]
        measure(f"list {SERVERS} in detail, for the first time", [("GET", f"{PREFIX}/servers/detail", None)])
        measure(f"list {SERVERS} in detail", [("GET", f"{PREFIX}/servers/detail", None)] * 100)
        measure(f"changes-since among {SERVERS}, none", [("GET", PREFIX + since, None)] * 500)
        measure("get", [("GET", f"{PREFIX}/servers/{each}", None) for each in ids])
        measure("limits", [("GET", f"{PREFIX}/limits", None)] * 1000)
        measure("delete", [("DELETE", f"{PREFIX}/servers/{each}", None) for each in ids])


if __name__ == "__main__":
    main()
