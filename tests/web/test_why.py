"""The answer to "why?" over HTTP."""

import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from nodepool_ng.explain.find import find
from nodepool_ng.explain.waiting import explain_request
from nodepool_ng.model.cordon import Cordon, CordonKind
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.view import View
from nodepool_ng.web.why import KEPT, scene_of
from tests.unit.telemetry.support import NORTH, full_view, node, request
from tests.web.support import served

FULL = "the pool's limit of instances leaves 0, 1 needed"
ASKED = request(7)
DOCUMENT: dict[str, Any] = {
    "pools": {
        "north/main": {
            "limits": {"instances": 5},
            "used": {"instances": 5},
            "room": {"instances": 0},
            "costs": {"small": {"instances": 1}},
            "spans": {"boot": {"small": [30] * 11}, "life": {"small": [600] * 11}, "delete": {"small": [5] * 11}},
        }
    },
    "providers": {"north": {"error": None}},
    "reasons": [
        {
            "code": "pool-limit",
            "sentence": FULL,
            "provider": "north",
            "pool": "main",
            "resource": "instances",
            "limit": 5,
            "wanted": 1,
        }
    ],
    "waiting": {ASKED.id: [0]},
}


class Launchers:
    """What all launchers tell, as the test wants it: None for a document that is being written."""

    def __init__(self, *rounds: Mapping[str, Mapping[str, Any] | None] | None) -> None:
        self.rounds = list(rounds)
        self.asked = 0

    def __call__(self) -> Future[Mapping[str, Mapping[str, Any] | None]]:
        self.asked += 1
        found = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]
        future: Future[Mapping[str, Mapping[str, Any] | None]] = Future()
        if found is None:
            future.set_exception(OSError("nobody there"))
        else:
            future.set_result(found)
        return future


def view(**more: Any) -> View:
    return full_view(requests={ASKED.id: ASKED}, **more)


def test_it_is_the_answer_of_the_command() -> None:
    with served(view(), Launchers({"one": DOCUMENT})) as place:
        answer = place.ask(f"/explain?name={ASKED.id}")
        command = explain_request(scene_of(view(), {"one": DOCUMENT}), ASKED).plain()
        (found,) = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert found == json.loads(json.dumps(command))
    assert [one["sentence"] for one in found["why"]] == [FULL]
    assert found["binding"] == ["north/main: max-servers is 5, 5 in use"]
    assert found["changes"] == ["raise max-servers of pool north/main from 5 to 6"]
    assert found["estimate"]["median"] > 0


@pytest.mark.parametrize("kind", ["node", "label", "image", "provider"])
def test_every_kind_of_thing_is_explained_and_can_be_chosen(kind: str) -> None:
    named = {"node": "0000000001", "label": "small", "image": "debian", "provider": NORTH}
    twin = replace(view(), nodes={node(1).id: node(1)})
    with served(twin, Launchers({"one": DOCUMENT})) as place:
        name = named[kind]
        (answer,) = json.loads(place.ask(f"/explain?name={name}&kind={kind}").body)
        other = "request" if kind != "request" else "node"
        assert place.ask(f"/explain?name={name}&kind={other}").status == 404
    assert answer == json.loads(json.dumps(find(scene_of(twin, {"one": DOCUMENT}), name, kind)[0].plain()))


def test_orders_are_told_as_they_were_given() -> None:
    ordered = view(
        freezes={"all": Freeze(creates=True, deletes=False)},
        cordons={(CordonKind.PROVIDER, "north"): Cordon(by="mary", reason="new kernel")},
    )
    with served(ordered, Launchers({})) as place:
        told = place.ask("/explain?name=north&kind=provider").body
    assert "until `nodepool thaw all`" in told
    assert "cordoned by mary (new kernel)" in told


def test_nothing_that_schedulers_or_drivers_wrote_for_themselves_is_in_it() -> None:
    secret = node(1, NodeState.IN_USE, user_data={"key": "S3CRET"}, driver_data={"key": "S3CRET"})
    hidden = replace(ASKED, requestor_data={"key": "S3CRET"})
    with served(replace(view(), nodes={secret.id: secret}, requests={hidden.id: hidden}), Launchers({})) as place:
        for name in (secret.id, hidden.id, "small", "north"):
            answer = place.ask(f"/explain?name={name}")
            assert answer.status == 200
            assert "S3CRET" not in answer.body


def test_a_document_that_is_being_written_is_read_again() -> None:
    launchers = Launchers({"one": None, "two": {}}, {"one": DOCUMENT, "two": None})
    with served(view(), launchers) as place:
        (found,) = json.loads(place.ask(f"/explain?name={ASKED.id}").body)
    assert launchers.asked == 3
    assert [one["sentence"] for one in found["why"]] == [FULL]


@pytest.mark.parametrize("launchers", [None, Launchers(None)])
def test_without_zookeeper_nobody_can_tell(launchers: Launchers | None) -> None:
    with served(view(), launchers) as place:
        answer = place.ask("/explain?name=small")
    assert (answer.status, json.loads(answer.body).keys()) == (503, {"error"})


def test_while_the_tree_is_not_known_nobody_can_tell() -> None:
    with served(view(complete=False), Launchers({})) as place:
        assert place.ask("/explain?name=small").status == 503


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("", 400, "Say name=NAME"),
        ("name=", 400, "Say name=NAME"),
        ("name=" + "x" * 2000, 400, "Say name=NAME"),
        ("name=small&kind=cloud", 400, "kind is one of request, node, label, image, provider."),
        ("name=nowhere", 404, "Nothing is called nowhere here"),
        (f"name={quote('<b>../' + chr(7))}", 404, "Nothing is called <b>"),
    ],
)
def test_a_question_that_makes_no_sense_gets_a_sentence(query: str, status: int, says: str) -> None:
    with served(view(), Launchers({})) as place:
        answer = place.ask(f"/explain?{query}")
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert says in json.loads(answer.body)["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_there(method: str) -> None:
    with served(view(), Launchers({})) as place:
        assert place.ask("/explain?name=small", method).status == 405


def test_an_answer_is_kept_for_a_second() -> None:
    launchers = Launchers({"one": DOCUMENT})
    with served(view(), launchers) as place:
        for _ in range(3):
            place.ask("/explain?name=small")
        assert launchers.asked == 1
        place.clock.time += KEPT
        place.ask("/explain?name=small")
        assert launchers.asked == 2
