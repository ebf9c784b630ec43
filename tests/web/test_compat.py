"""The endpoints of Nodepool 11, held to what was recorded from it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.ids import BuildId, ImageName, LabelName, NodeId, PoolId, PoolName, ProviderName, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.view import ImageView, View
from tests.unit.telemetry.support import request
from tests.web.support import Place, served

NOW = 1_795_211_834.0  # Fri, 20 Nov 2026 21:57:14 GMT
LAUNCHER = PoolId("localhost-PoolWorker.fake-provider-main-2f8836eff8c14f449cc3264d6a8f5b6e")
PATHS = ("/node-list", "/image-list", "/dib-image-list", "/image-status", "/request-list", "/label-list")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def recorded() -> dict[tuple[str, str], str]:
    """Return what was recorded, by path and kind (`JSON` or `default`)."""
    found = {}
    for part in (Path(__file__).parent / "recorded" / "web.txt").read_text().split("## GET ")[1:]:
        title, _, text = part.partition("\n")
        path, _, kind = title.partition(" ")
        found[path, kind.strip("()")] = text
    return found


def node(number: str, server: str, seconds: float) -> Node:
    return Node(
        id=NodeId(number),
        state=NodeState.READY,
        state_time=NOW - seconds,
        provider=ProviderName("fake-provider"),
        labels=(LabelName("fake-label"),),
        pool=PoolName("main"),
        external_id=server,
        public_ipv4="fake",
        private_ipv4="fake",
        public_ipv6="",
        az="az2",
        launcher=LAUNCHER,
    )


def build(image: str, id: str, at: float, *formats: str) -> Build:
    return Build(
        image=ImageName(image),
        id=BuildId(id),
        state=ImageState.READY,
        state_time=at,
        builder="localhost",
        formats=formats,
    )


def upload(of: Build, provider: str, name: str, external: str) -> Upload:
    return Upload(
        image=of.image,
        build=of.id,
        provider=ProviderName(provider),
        id=UploadId("0000000001"),
        state=ImageState.READY,
        state_time=1795211759.4,
        external_id=external,
        external_name=name,
    )


def as_recorded() -> View:
    """Return a view of the installation that Nodepool 11 was recorded on."""
    nodes = (
        node("0000000000", "6a234ca316784939bd7c88d885651ec5", 69),
        node("0000000001", "1a3eeec3db8e4e23a0c62beee83917ad", 70),
    )
    one = build("fake-image", "4ceb9f263b42405b9a161e2baf0db0b9", 1795211750.2, "qcow2", "raw")
    two = build("fake-image-arm", "add825ec8cd947308b7bff4368df7b4e", 1795211751.2, "qcow2")
    uploads = (
        upload(two, "fake-provider", "fake-image-arm-1795211759", "9ea4e1da731e48b29dc9eee44effd012"),
        upload(one, "fake-provider-raw", "fake-image-1795211759", "16d37cca4fe54c08b90a2bc6f522b7fe"),
        upload(one, "fake-provider", "fake-image-1795211759", "6fa8b09bb4a84a7fbc4dcb605a33e277"),
    )
    pool = Component(
        key="h0",
        kind=POOL,
        hostname="localhost",
        state="running",
        supported_labels=frozenset({LabelName("spare-label"), LabelName("fake-label")}),
    )
    return View(
        now=NOW + 0.7,
        planned=True,
        complete=True,
        nodes={one.id: one for one in nodes},
        builds=(two, one),
        uploads=uploads,
        images={ImageName("fake-image"): ImageView(), ImageName("fake-image-arm"): ImageView()},
        components={"pool/h0": pool},
    )


@pytest.mark.parametrize("path", PATHS)
def test_json_is_what_was_recorded(path: str) -> None:
    with served(as_recorded()) as place:
        answer = place.ask(path, Accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == recorded()[path, "JSON"].rstrip("\n")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("accept", [None, BROWSER, "*/*", "text/plain"])
def test_tables_are_what_was_recorded_with_their_headers(path: str, accept: str | None) -> None:
    head, _, table = recorded()[path, "default"].partition("\n\n")
    with served(as_recorded()) as place:
        answer = place.ask(path, **({"Accept": accept} if accept else {}))
    assert answer.status == 200
    assert answer.body == table.rstrip("\n")
    for line in head.splitlines()[2:]:
        name, _, value = line.partition(": ")
        assert answer.headers[name.lower()] == value


def test_no_other_paths() -> None:
    with served(as_recorded()) as place:
        for path in ("/node-list/", "/nodes", "/docs", "/openapi.json", "/static/../app.py", "/static/"):
            assert place.ask(path).status == 404, path


@pytest.fixture(scope="module")
def place() -> Any:
    with served(as_recorded()) as made:
        yield made


def rows(place: Place, path: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(place.ask(path, Accept="application/json").body)
    return found


def test_one_node_shows_its_lock(place: Place) -> None:
    id = NodeId("0000000001")
    place.show(replace(as_recorded(), locked=frozenset({id})))
    (row,) = rows(place, f"/node-list?node_id={id}")
    assert (row["id"], row["locked"]) == (id, "locked")
    assert rows(place, "/node-list?node_id=0000000007") == []


def test_fields_narrow_tables_and_nothing_else(place: Place) -> None:
    place.show(as_recorded())
    table = place.ask("/node-list?fields=AZ,id,no-such").body
    assert table.splitlines()[1].split() == ["|", "ID", "|", "AZ", "|"]
    assert place.ask("/node-list?fields=az").body.startswith("++\n||\n++")
    assert len(rows(place, "/node-list?fields=id")[0]) == 21


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_any_method_will_do_and_parameters_may_be_in_a_form(place: Place, method: str) -> None:
    place.show(as_recorded())
    answer = place.ask("/node-list", method, "fields=id", Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 200
    assert answer.body.splitlines()[1] == "| ID         |"


def test_head_has_the_headers_only(place: Place) -> None:
    answer = place.ask("/node-list", "HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, "", "1961")


def test_a_copy_that_is_fresh_enough_is_not_sent_again(place: Place) -> None:
    place.show(as_recorded())
    first = place.ask("/image-list")
    looks = place.shown.looks
    again = place.ask("/image-list", If_Modified_Since=first.headers["last-modified"])
    assert (again.status, again.body) == (304, "")
    assert place.shown.looks == looks
    place.clock.time += 1
    assert place.ask("/image-list", If_Modified_Since=first.headers["last-modified"]).status == 200
    assert place.ask("/image-list", If_Modified_Since="no date at all").status == 200


def test_who_wants_something_else_is_told_so(place: Place) -> None:
    assert place.ask("/node-list", Accept="image/png").status == 406
    assert place.ask("/node-list", Accept="application/json;q=0.5, text/plain").headers["content-type"][:4] == "text"


def test_paused_images_and_builds_asked_for(place: Place) -> None:
    view = as_recorded()
    asked = ImageView(paused=True, requested=NOW - 90.5, building=True)
    place.show(replace(view, images={**view.images, ImageName("fake-image"): asked}))
    status = rows(place, "/image-status")[0]
    assert status == {
        "image": "fake-image",
        "paused": True,
        "build_request": "building",
        "build_request_age": 1795211743,
    }
    assert "| building      | 00:00:01:31       |" in place.ask("/image-status").body
    assert rows(place, "/dib-image-list")[0]["state"] == "paused"


def test_requests_are_listed_with_their_types(place: Place) -> None:
    one = request(3, event_id="e", relative_priority=2, nodes=(NodeId("0000000001"),))
    place.show(replace(as_recorded(), requests={one.id: one}))
    (row,) = rows(place, "/request-list")
    assert row["node_types"] == ["small"]
    assert row["declined_by"] == []
    assert list(row) == [
        "id", "relative_priority", "state", "requestor", "node_types", "nodes", "declined_by", "event_id",
    ]  # fmt: skip


def test_ready_once_planned() -> None:
    with served(replace(as_recorded(), planned=False)) as place:
        assert place.ask("/ready").status == 503
        place.show(as_recorded())
        plain, typed = place.ask("/ready"), place.ask("/ready", Accept="application/json")
        assert (plain.status, plain.body, typed.body) == (200, "OK", "OK")
        assert typed.headers["content-type"] == "application/json"
        place.shown.answers = False
        assert place.ask("/ready").status == 200


def test_before_anything_is_known_lists_are_not_there() -> None:
    with served(None) as place:
        assert place.ask("/node-list").status == 503
