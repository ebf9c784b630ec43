"""Calls that are sent as the SDK sent the first one, against a server on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session

from nodepool_ng.drivers.openstack import shortcut as shortcut_module
from nodepool_ng.drivers.openstack.shortcut import TOKEN_KEPT, Shortcut, learned
from nodepool_ng.drivers.openstack.transport import use_transport

PATIENCE = (5.0, 5.0)  # seconds
USUAL = {"raise_exc": False, "microversion": "2.69", "microversion_service_type": "compute"}
FIRST = {"method": "POST", "json": {"server": {"name": "first"}}}


@dataclass
class Api:
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    """Method, path, headers and body of each request."""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """What the next requests are answered; 0: the connection is closed instead. Any other: 200."""


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.asked.append((self.command, self.path, dict(self.headers), body))
            status, headers = found.answers.pop(0) if found.answers else (200, {})
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that the server calls

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}/compute/v2.1"
        yield found
        server.shutdown()
        serving.join()


class Tickets(BaseAuthPlugin):
    """Has another token whenever one counts no more."""

    def __init__(self, **more: str) -> None:
        super().__init__()
        self.number = 1
        self.asked = 0
        self.more = more

    def get_headers(self, session: Session, **_: Any) -> dict[str, str]:
        self.asked += 1
        return {"X-Auth-Token": f"ticket {self.number}"}

    def get_connection_params(self, session: Session, **_: Any) -> dict[str, str]:
        return self.more

    def invalidate(self) -> bool:
        self.number += 1
        return True


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session(auth=Tickets(), app_name="tests")
    use_transport(made)
    made.session.trust_env = False
    yield made
    made.session.close()


def by_the_sdk(session: Session, api: Api, path: str, **more: Any) -> requests.Response:
    return Adapter(session).request(path, endpoint_override=api.url, **USUAL, **more)


def taught(session: Session, api: Api, path: str = "/servers") -> Shortcut | None:
    """Return what is learned from a first call, of which nobody needs to know."""
    found = learned(session, api.url, path, by_the_sdk(session, api, path, **FIRST))
    api.asked.clear()
    return found


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", "/servers", {"json": {"server": {"name": "größer", "tags": ["a", 1, None, True]}}}),
        ("POST", "/servers/0a-b_1/action", {"json": {}}),
        ("GET", "/servers/detail", {"params": {"changes-since": "2026-11-23T01:02:03+00:00", "name": "a b/ü&c"}}),
        ("GET", "limits", {}),
        ("DELETE", "/servers/1.2~x", {}),
    ],
)
def test_every_byte_is_what_the_sdk_would_send(api, session, method, path, more):
    shortcut = taught(session, api)
    by_the_sdk(session, api, path, method=method, **more)
    sent = shortcut.send(method, path, json_body=more.get("json"), params=more.get("params"), timeout=PATIENCE)
    assert (sent.status, sent.body) == (200, b"{}")
    assert sent.seconds > 0
    (first, second) = api.asked
    assert second == first
    assert {"2.69", "ticket 1"} <= set(second[2].values())


def test_an_error_is_an_answer(api, session):
    shortcut = taught(session, api)
    api.answers = [(503, {"Retry-After": "7"})]
    sent = shortcut.send("GET", "/servers", timeout=PATIENCE)
    assert (sent.status, sent.headers["Retry-After"]) == (503, "7")


def test_a_token_that_counts_no_more_is_given_up(api, session):
    shortcut = taught(session, api)
    api.answers = [(401, {})]
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is None
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is not None
    assert [headers["X-Auth-Token"] for _, _, headers, _ in api.asked] == ["ticket 1", "ticket 2"]


def test_a_token_is_asked_for_once_in_a_while(api, session, monkeypatch):
    shortcut = taught(session, api)
    now = time.monotonic()
    monkeypatch.setattr(shortcut_module, "time", SimpleNamespace(monotonic=lambda: now))
    before = session.auth.asked
    for _ in range(3):
        assert shortcut.send("GET", "/servers", timeout=PATIENCE) is not None
    assert session.auth.asked == before + 1
    session.auth.number = 7
    now += TOKEN_KEPT
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is not None
    assert [headers["X-Auth-Token"] for _, _, headers, _ in api.asked] == 3 * ["ticket 1"] + ["ticket 7"]


def test_a_token_that_another_call_got_meanwhile_is_not_given_up(api, session):
    shortcut = taught(session, api)
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is not None
    session.auth.number = 2
    api.answers = [(401, {})]
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is None
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is not None
    assert [headers["X-Auth-Token"] for _, _, headers, _ in api.asked] == ["ticket 1", "ticket 1", "ticket 2"]


def test_redirections_are_left_to_the_sdk(api, session):
    shortcut = taught(session, api)
    api.answers = [(307, {"Location": f"{api.url}/elsewhere"})]
    assert shortcut.send("GET", "/servers", timeout=PATIENCE) is None


@pytest.mark.parametrize(
    "path", ["/servers/a b", "/servers/../../secrets", "/servers?all=1", "/servers#1", "/a//b", "/ü"]
)
def test_paths_that_are_not_plain_are_left_to_the_sdk(api, session, path):
    shortcut = taught(session, api)
    assert shortcut.send("GET", path, timeout=PATIENCE) is None
    assert api.asked == []


def test_a_head_has_no_body_and_is_left_to_the_sdk(api, session):
    shortcut = taught(session, api)
    assert shortcut.send("HEAD", "/servers", timeout=PATIENCE) is None
    assert api.asked == []


def test_no_answer_is_an_error(api, session):
    shortcut = taught(session, api)
    api.answers = [(0, {})]
    with pytest.raises(requests.ConnectionError):
        shortcut.send("POST", "/servers", json_body={}, timeout=PATIENCE)
    assert len(api.asked) == 1


def test_nothing_is_learned_where_the_environment_has_a_say(api, session):
    session.session.trust_env = True
    assert taught(session, api) is None


def test_nothing_is_learned_from_a_call_that_went_elsewhere(api, session):
    api.answers = [(307, {"Location": f"{api.url}/elsewhere"})]
    answer = by_the_sdk(session, api, "/servers", **FIRST)
    assert answer.status_code == 200
    assert learned(session, api.url, "/servers", answer) is None
    assert learned(session, f"{api.url}/of/another", "/servers", by_the_sdk(session, api, "/servers", **FIRST)) is None


def test_nothing_is_learned_where_logging_in_asks_for_another_connection(api, session):
    session.auth = Tickets(cert="mine.pem")
    assert taught(session, api) is None


def test_nothing_is_learned_of_a_session_that_is_not_ours(api):
    foreign = Session(auth=Tickets())
    assert learned(foreign, api.url, "/servers", by_the_sdk(foreign, api, "/servers", **FIRST)) is None
    foreign.session.close()


def test_what_is_learned_does_not_hold_the_token(api, session):
    shortcut = taught(session, api)
    shown: Mapping[str, str | bytes] = shortcut.headers
    assert "ticket 1" not in shown.values()
    assert not {"content-type", "content-length"} & {name.lower() for name in shown}
