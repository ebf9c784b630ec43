"""Nodepool 11's web application and ours on the same tree: equal but for what is listed here, which has to differ."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.codec import encode_node
from nodepool_ng.zk.store import Commit, Committed, Set
from tests.peers.test_nodepool11 import CLOUD, SLOW, borrow, ours, with_image
from tests.support.daemons import Site, free_port, site, wait_for
from tests.support.nodepool11 import Nodepool11, comparable

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.peers, pytest.mark.timeout(400)]

LISTS = ("/node-list", "/request-list", "/image-list", "/dib-image-list", "/image-status", "/label-list")
NARROWED = ("/node-list?fields=id,state,label", "/image-list?fields=image,state", "/label-list?fields=label")
HEADERS = ("content-type", "cache-control", "access-control-allow-origin")
CONFIDENTIAL = ("User Data", "Driver Data")
AGE = re.compile(r"(\d{2,}):(\d\d):(\d\d):(\d\d)")
INSTANTS_APART = 5  # seconds, between two answers that are compared


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    def rows(self) -> list[dict[str, Any]]:
        found = json.loads(self.body)
        assert isinstance(found, list)
        return found

    def told(self) -> tuple[int, dict[str, str]]:
        return self.status, {name: self.headers.get(name, "").lower().replace(" ", "") for name in HEADERS}


def fetch(port: int, path: str, accept: str) -> Answer:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, "")


@dataclass(frozen=True)
class Both:
    """Two ports, and what is on the tree behind them."""

    ours: int
    theirs: int
    used: str
    """A node in use."""

    def ask(self, path: str, accept: str = "application/json") -> tuple[Answer, Answer]:
        return fetch(self.ours, path, accept), fetch(self.theirs, path, accept)

    def node(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what both tell of the node in use, as part of the list."""
        mine, other = ([row for row in one.rows() if row["id"] == self.used] for one in self.ask("/node-list"))
        return mine[0], other[0]


def _order(both: Both) -> bool:
    mine, other = ([row["id"] for row in one.rows()] for one in both.ask("/request-list"))
    assert mine == sorted(other)
    return mine != other


def _confidential(both: Both, key: str) -> bool:
    mine, other = both.node()
    assert mine[key] is None
    return bool(other[key])


def _lock(both: Both) -> bool:
    (mine,), (other,) = (one.rows() for one in both.ask(f"/node-list?node_id={both.used}"))
    assert mine["locked"] == "locked"
    return bool(other["locked"] != "locked")


def _status(both: Both, path: str, accept: str, wanted: int) -> bool:
    mine, other = both.ask(path, accept)
    assert mine.status == wanted
    return mine.status != other.status


def _server(both: Both) -> bool:
    mine, other = both.ask("/label-list")
    assert "server" not in mine.headers
    return "server" in other.headers


DIFFERENT: dict[str, tuple[str, Callable[[Both], bool]]] = {
    "order of rows": ("the original's is that in which it heard of them, ours is sorted", _order),
    "user_data": (
        "what CI systems note for themselves is for nobody who asks",
        lambda b: _confidential(b, "user_data"),
    ),
    "driver_data": ("nor is what drivers note, as keys of clusters", lambda both: _confidential(both, "driver_data")),
    "locked of a single node": ("the original says unlocked, since it looks at an object without that", _lock),
    "image/png": (
        "the original breaks (500) where none of the types is accepted",
        lambda both: _status(both, "/node-list", "image/png", 406),
    ),
    "/": ("the original has nothing there, ours a page", lambda both: _status(both, "/", "*/*", 200)),
    "Server": ("the original tells its libraries' names", _server),
}
"""All in which the answers differ: why, and a look whether they still do. What differs no more goes from this list."""


def seconds(age: str) -> int:
    found = AGE.fullmatch(age)
    assert found is not None, age
    days, hours, minutes, rest = map(int, found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def same_rows(mine: Answer, other: Answer) -> bool:
    """Compare JSON lists, with the keys of their rows in order, but for what may differ."""
    pairs = list(zip(*(sorted(one.rows(), key=_id) for one in (mine, other)), strict=False))
    if len(mine.rows()) != len(other.rows()):
        return False
    return all(list(row) == list(twin) and all(_same(key, row[key], twin[key]) for key in row) for row, twin in pairs)


def _id(row: dict[str, Any]) -> list[str]:
    return [str(row.get(key)) for key in ("id", "upload_id", "provider", "image", "label")]


def _same(key: str, mine: Any, other: Any) -> bool:
    if key in DIFFERENT:
        return True
    if key == "age" and isinstance(mine, str):  # theirs and ours were asked for at different instants
        return abs(seconds(mine) - seconds(other)) <= INSTANTS_APART
    return bool(mine == other)


def same_text(mine: Answer, other: Answer) -> bool:
    """Compare tables: byte for byte but for ages and order, and without the columns that are confidential."""
    if any(title in other.body for title in CONFIDENTIAL):
        return _cells(mine.body) == _cells(other.body)
    return comparable(mine.body) == comparable(other.body)


def _cells(table: str) -> list[list[str]]:
    lines = [[AGE.sub("(age)", cell.strip()) for cell in line.split("|")] for line in table.splitlines() if "|" in line]
    hidden = {number for number, title in enumerate(lines[0]) if title in CONFIDENTIAL}
    assert len(hidden) == len(CONFIDENTIAL)
    return lines[:1] + sorted([[cell for n, cell in enumerate(line) if n not in hidden] for line in lines[1:]])


def differences(both: Both) -> list[str]:
    """Return everything that differs and is not listed."""
    found = []
    for path in LISTS:
        mine, other = both.ask(path)
        if mine.told() != other.told() or not same_rows(mine, other):
            found.append(f"{path} as JSON: ours {mine}, theirs {other}")
        for accept in ("text/plain", "text/html,*/*;q=0.8", "*/*"):
            mine, other = both.ask(path, accept)
            if mine.told() != other.told() or not same_text(mine, other):
                found.append(f"{path} as {accept}: ours {mine}, theirs {other}")
    for path in NARROWED:
        mine, other = both.ask(path, "text/plain")
        if mine.told() != other.told() or not same_text(mine, other):
            found.append(f"{path}: ours {mine}, theirs {other}")
    one = f"/node-list?node_id={both.used}"
    mine, other = both.ask(one)
    rows = [{key: value for key, value in answer.rows()[0].items() if key != "locked"} for answer in (mine, other)]
    if not all(_same(key, *(row[key] for row in rows)) for key in rows[0]):
        found.append(f"{one}: ours {mine}, theirs {other}")
    return found


@pytest.fixture
def place(tmp_path: Path, new_tree: Callable[[], ZooKeeperSettings]) -> Iterator[Site]:
    with site(tmp_path, new_tree()) as made:
        made.start_clouds(clouds={"acme": {"defaults": CLOUD, "regions": {"north": {}}}})
        yield made


@pytest.fixture
def both(place: Site, nodepool_11: Nodepool11) -> Both:
    """Both applications on a tree with an image, and nodes that are ready, held and in use, and open requests."""
    with_image(place)
    place.daemon("nodepool-builder", "-c", str(place.config), "-d")
    place.launcher()
    zuul = place.scheduler()
    wait_for(lambda: place.ready(1), "a node is ready", SLOW)
    (held, used) = borrow(zuul, "small", "small")
    zuul.hold(held, "a-job", "to look at", 3600)
    noted = replace(place.node(used.node.id), driver_data={"kubeconfig": "of a cluster"})
    (done,) = call(place.store(), [Commit((Set(paths.node(noted.id), encode_node(noted)),))])
    assert isinstance(done, Committed)
    zuul.ask(["cold"] * 6)
    wait_for(lambda: place.ready(1, label="small"), "another node is ready")
    # Its launcher serves what is in the tree; without providers it does nothing else.
    theirs = free_port()
    settings = yaml.safe_load(place.config.read_text())
    peer = place.folder / "peer.yaml"
    webapp = {"port": theirs, "listen_address": "127.0.0.1"}
    peer.write_text(yaml.safe_dump({**settings, "webapp": webapp, "providers": [], "labels": [], "diskimages": []}))
    nodepool_11.launcher(peer, web=True)
    wait_for(lambda: answers(theirs), "its web application answers", SLOW)
    zuul.ask(["cold"] * 6, priority="100")  # sorts first, and is heard of last
    return Both(place.web_port, theirs, used.node.id)


def answers(port: int) -> bool:
    try:
        return fetch(port, "/ready", "*/*").status == 200
    except OSError:
        return False


def test_its_web_application_and_ours_answer_the_same_but_for_what_is_listed(
    place: Site, nodepool_11: Nodepool11, both: Both
) -> None:
    told: list[str] = []

    def equal() -> bool:
        told[:] = differences(both)
        return not told

    try:
        wait_for(equal, "the answers are equal", 30)
    except TimeoutError:
        pytest.fail("\n".join(told))
    assert len(both.ask("/node-list")[0].rows()) >= 3
    assert len(both.ask("/request-list")[0].rows()) == 2
    assert [answer.status for answer in both.ask("/ready", "*/*")] == [200, 200]
    alike = [name for name, (_, still) in DIFFERENT.items() if not still(both)]
    assert alike == [], "these are no differences any more: take them from the list"
    exported = [place.folder / "ours.json", place.folder / "theirs.json"]
    ours(place, "export-image-data", str(exported[0]))
    nodepool_11.command("export-image-data", str(exported[1]))
    mine, other = (json.loads(file.read_text()) for file in exported)
    assert {path: data and json.loads(data) for path, data in mine.items()} == {
        path: data and json.loads(data) for path, data in other.items()
    }
