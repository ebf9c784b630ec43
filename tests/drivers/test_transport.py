"""What carries requests to clouds, against a server on this machine that speaks TLS."""

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from keystoneauth1.session import Session

from nodepool_ng.drivers.openstack.transport import Transport, settle_environment, use_transport
from tests.support import tls

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Api:
    url: str
    authority: str
    answer: bytes = b"{}"
    connections: list[object] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    """Once set, no request is answered any more."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates = tls.make(tmp_path)
    context.load_cert_chain(certificates.cert, certificates.key)
    found = Api("", str(certificates.ca))
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            found.connections.append(self.client_address)

        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            found.cookies.append(self.headers["Cookie"])
            found.authorizations.append(self.headers["Authorization"])
            if found.silent.is_set():
                over.wait()
            self.send_response(302)
            self.send_header("Set-Cookie", "spoon=1; Path=/")
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(found.answer)))
            self.end_headers()
            self.wfile.write(found.answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        found.url = f"https://127.0.0.1:{server.server_address[1]}/v2/servers"
        yield found
        over.set()
        server.shutdown()
        serving.join()


@pytest.fixture
def transport() -> Iterator[Transport]:
    """One that goes by what it is told alone."""
    with Transport() as carrying:
        carrying.trust_env = False
        yield carrying


def post(transport: Transport, api: Api, verify: bool | str, timeout: float = 10.0) -> requests.Response:
    return transport.request(
        "POST",
        api.url,
        data=b'{"server": {}}',
        headers={"X-Auth-Token": "t"},
        params={"all": "1"},
        timeout=(timeout, timeout),
        verify=verify,
        allow_redirects=False,
    )


def test_a_connection_is_kept_and_nothing_else(api, transport):
    answers = [post(transport, api, api.authority) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [302] * 3, "whoever uses it follows redirects, or does not"
    assert answers[0].json() == {}
    assert answers[0].url == f"{api.url}?all=1"
    assert answers[0].headers["set-cookie"].startswith("spoon")
    assert answers[0].elapsed.total_seconds() > 0
    assert api.bodies == [b'{"server": {}}'] * 3
    assert api.cookies == [None] * 3
    assert len(api.connections) == 1


def test_a_name_and_a_password_are_shown_wherever_they_come_from(api, transport):
    way = {"verify": api.authority, "timeout": 10, "allow_redirects": False}
    transport.request("POST", api.url, data=b"{}", auth=("me", "secret"), **way)
    transport.request("POST", api.url.replace("//", "//me:secret@"), data=b"{}", **way)
    transport.request("POST", api.url, data=b"{}", **way)
    assert api.authorizations == ["Basic bWU6c2VjcmV0", "Basic bWU6c2VjcmV0", None]


def test_who_is_trusted_is_asked_for_every_request(api, transport):
    assert post(transport, api, api.authority).status_code == 302
    with pytest.raises(requests.exceptions.SSLError):
        post(transport, api, True)
    assert post(transport, api, False).status_code == 302
    with pytest.raises(requests.exceptions.SSLError):
        post(transport, api, True)


def test_authorities_that_were_renewed_are_read_again(api, transport, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(tls.make(tmp_path / "another").ca.read_bytes())
    with pytest.raises(requests.exceptions.SSLError):
        post(transport, api, str(trusted))
    trusted.write_bytes(Path(api.authority).read_bytes())
    assert post(transport, api, str(trusted)).status_code == 302


def test_a_long_answer_is_read_whole(api, transport):
    api.answer = b'{"servers": "%s"}' % (b"x" * 500_000)
    answer = post(transport, api, api.authority)
    assert len(answer.json()["servers"]) == 500_000


def test_one_that_was_closed_connects_anew(api, transport):
    post(transport, api, api.authority)
    transport.close()
    assert post(transport, api, api.authority).status_code == 302
    assert len(api.connections) == 2


def test_a_proxy_is_gone_through_though_there_is_a_direct_connection(api, transport):
    post(transport, api, api.authority)
    with pytest.raises(requests.exceptions.ProxyError):
        transport.request("POST", api.url, verify=api.authority, timeout=5, proxies={"https": "http://127.0.0.1:9"})


def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_said(api, transport):
    api.silent.set()
    with pytest.raises(requests.exceptions.ReadTimeout):
        post(transport, api, api.authority, timeout=0.2)


def test_the_environment_is_left_out_only_where_it_has_no_proxy(api, monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", api.authority)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    session = Session()
    use_transport(session)
    settle_environment(session, [api.url])
    with pytest.raises(requests.exceptions.ProxyError):
        session.session.request("POST", api.url, timeout=5, allow_redirects=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settle_environment(session, [api.url])
    answer = session.request(api.url, "POST", data=b"{}", redirect=False, raise_exc=False)
    assert (answer.status_code, api.bodies) == (302, [b"{}"]), "trusted for what the environment says"
    session.session.close()
