"""More than anybody should send: ten thousand requests, records of nearly a megabyte, nested, and hostile ones."""

import json
import time
import urllib.request

import pytest

from nodepool_ng.demo.scheduler import NORMAL, request_record
from nodepool_ng.model.ids import LabelName, TenantName
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Commit, Committed, Create
from tests.bench.figures import usage
from tests.daemons.test_launcher import clouds, configure
from tests.support.daemons import Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(240)]

FLOOD = 10_000
MOST_MEMORY = 500.0  # MiB
HOSTILE = "small\x1b[2J\r\n<script>alert(1)</script>\u202e"
BIG = 900_000  # bytes; ZooKeeper takes a megabyte


def request(label: str, **more: object) -> bytes:
    record = request_record([LabelName(label)], name="flood", tenant=TenantName("flood"), now=time.time())
    return json.dumps({**record, **more}).encode()


def write(store: KazooStore, records: list[bytes]) -> None:
    for start in range(0, len(records), 500):
        verbs = [Commit((Create(paths.new_request(NORMAL), data, sequence=True),)) for data in records[start:][:500]]
        assert all(isinstance(answer, Committed) for answer in call(store, verbs))


def test_a_flood_is_worked_off_within_bounds(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    configure(place, "north", min_ready=0, max_servers=2)
    launcher = place.launcher()
    wait_for(lambda: "Launcher of installation" in place.logs(), "the launcher runs")
    zuul = place.scheduler()
    jobs = [zuul.take(zuul.wait(zuul.ask(["small"]), 30))[0] for _ in range(2)]
    store = KazooStore(place.zookeeper)
    store.start()
    try:
        assert wait_connected(store, 20)
        odd = [request("small", requestor_data={"x": "y" * BIG}), b"[" * 5000, b"\xff" * 1000, b'{"a":' * 2000]
        write(store, [*odd, *(request(HOSTILE, requestor=HOSTILE) for _ in range(5))])
        write(store, [request("small")] * FLOOD)
    finally:
        store.stop()
    asked = zuul.ask(["small"], priority="100")  # before all of them
    for job in jobs:
        zuul.give_back(zuul.use(job))
    assert zuul.wait(asked, 60)
    assert launcher.process is not None
    assert usage(launcher.process.pid).peak < MOST_MEMORY
    with urllib.request.urlopen(f"http://127.0.0.1:{place.web_port}/", timeout=20) as answer:
        assert "<script>alert" not in answer.read().decode()
    said = place.logs()
    assert "Traceback" not in said
    assert all(line.replace("\t", " ").isprintable() for line in said.splitlines())
