"""Connections to endpoints, against a server that answers bytes."""

from __future__ import annotations

import queue
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from nodepool_ng.drivers.openstack import connections
from nodepool_ng.drivers.openstack.connections import Connections, Endpoint, Exchanged
from tests.support import tls

PATIENCE = 10.0
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"
PIECES = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
OLD = b"HTTP/1.0 200\r\nContent-Length: 2\r\n\r\n{}"
SEEN_FIRST = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + FINE
NOTHING = b"HTTP/1.1 204 No Content\r\nX-Request-Id: r\xe9q\r\n\r\n"
CLOSE = b""
"""In the place of an answer: the connection is closed."""


class Server:
    """Answers each request as it is told beforehand, and remembers what each read brought."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.reads: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.connections = 0
        self.closed: queue.SimpleQueue[None] = queue.SimpleQueue()
        """Told of each connection that is over."""
        self.endpoint = Endpoint("http", "127.0.0.1", self.listening.getsockname()[1], True, ())
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            with connection:
                self.connections += 1
                if not self._serve(connection):
                    return
            self.closed.put(None)

    def _serve(self, connection: socket.socket) -> bool:
        """Tell whether another connection may come."""
        while (read := connection.recv(65536)) != b"":
            if read == b"stop":
                return False
            self.reads.put(read)
            answer = self.answers.get()
            connection.sendall(answer)
            if answer in (CLOSE, LAST, OLD) or b"half" in answer or not self.answers.qsize():
                return True
        return True

    def stop(self) -> None:
        with socket.create_connection(self.listening.getsockname()) as last:
            last.sendall(b"stop")
        self._thread.join()
        self.listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()
    yield serving
    serving.stop()


@pytest.fixture
def kept() -> Iterator[Connections]:
    keeping = Connections()
    yield keeping
    keeping.close()


def exchanged(kept: Connections, endpoint: Endpoint, body: bytes | None = b"{}", **more: Any) -> Exchanged:
    headers = {"X-Auth-Token": "t", **more}
    return kept.exchange(endpoint, "POST", "/v2/servers", headers=headers, body=body, connect=5.0, read=5.0)


def exchange(kept: Connections, endpoint: Endpoint, body: bytes | None = b"{}", **more: Any) -> bytes:
    return exchanged(kept, endpoint, body, **more).body


def test_a_request_is_sent_in_one_piece(server, kept):
    server.answers.put(FINE)
    assert exchange(kept, server.endpoint, Accept=b"*/*") == b"{}"
    sent = server.reads.get(timeout=PATIENCE)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n") == [
        b"POST /v2/servers HTTP/1.1",
        b"Host: 127.0.0.1:%d" % server.endpoint.port,
        b"Accept-Encoding: identity",
        b"X-Auth-Token: t",
        b"Accept: */*",
    ]


def test_whatever_way_an_answer_ends_it_is_read_to_its_end(server, kept):
    answers = [FINE, PIECES, LAST, FINE, SEEN_FIRST, OLD, FINE]
    for answer in answers:
        server.answers.put(answer)
    assert [exchange(kept, server.endpoint) for _ in answers] == [b"{}"] * len(answers)
    assert server.connections == 3, "a connection is kept unless the server says that it is the last answer"


def test_an_answer_is_told_as_it_was_given(server, kept):
    for answer in (NOTHING, SEEN_FIRST):
        server.answers.put(answer)
    assert exchanged(kept, server.endpoint) == (204, "No Content", {"X-Request-Id": "r\xe9q"}, b"")
    assert exchanged(kept, server.endpoint) == (200, "OK", {"Content-Length": "2"}, b"{}")


def test_an_answer_that_comes_byte_by_byte_is_read(server, kept, monkeypatch):
    monkeypatch.setattr(connections, "AT_ONCE", 1)
    for answer in (SEEN_FIRST, PIECES):
        server.answers.put(answer)
    assert exchanged(kept, server.endpoint) == (200, "OK", {"Content-Length": "2"}, b"{}")
    assert exchanged(kept, server.endpoint) == (200, "OK", {"Transfer-Encoding": "chunked"}, b"{}")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_address_of_ipv6_is_named_in_brackets(kept):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        port = listening.getsockname()[1]
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(FINE)

        serving = threading.Thread(target=serve)
        serving.start()
        assert exchange(kept, Endpoint("http", "::1", port, True, ())) == b"{}"
        serving.join()
    assert b"\r\nHost: [::1]:%d\r\n" % port in asked[0]


def test_one_that_the_server_closed_meanwhile_is_not_used_again(server, kept, monkeypatch):
    server.answers.put(FINE)
    assert exchange(kept, server.endpoint) == b"{}"
    server.closed.get(timeout=PATIENCE)
    monkeypatch.setattr(connections, "SURE", 0.0)
    server.answers.put(FINE)
    assert exchange(kept, server.endpoint) == b"{}"
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        CLOSE,
        b"half",
        b"HTTP/1.1 200 OK\r\nX-Half: half",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 half\r\n\r\n",
        b"HTTP/1.1 101 half\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_half_an_answer_is_none_and_its_connection_is_not_kept(server, kept, answer):
    server.answers.put(answer)
    with pytest.raises(requests.exceptions.ConnectionError):
        exchange(kept, server.endpoint)
    server.answers.put(FINE)
    assert exchange(kept, server.endpoint) == b"{}"
    assert server.connections == 2


def test_whoever_is_not_there_is_told_as_such(server, kept):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
        exchange(kept, server.endpoint._replace(port=port))


def test_a_header_that_would_be_two_is_not_sent(server, kept):
    server.answers.put(FINE)
    with pytest.raises(requests.exceptions.RequestException, match="header"):
        exchange(kept, server.endpoint, Forged="a\r\nX-Auth-Token: b")
    assert exchange(kept, server.endpoint) == b"{}"


def test_certificates_that_are_not_there_are_named(kept, tmp_path):
    secure = Endpoint("https", "127.0.0.1", 9, str(tmp_path / "authority.pem"), ())
    with pytest.raises(requests.exceptions.ConnectionError, match=r"authority\.pem"):
        exchange(kept, secure)
    with pytest.raises(requests.exceptions.ConnectionError, match=r"mine\.pem"):
        exchange(kept, secure._replace(verify=False, cert=(str(tmp_path / "mine.pem"),)))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(requests.exceptions.SSLError):
        exchange(kept, secure._replace(verify=str(tmp_path / "empty.pem")))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="names a certificate as OpenSSL looks for it")
def test_a_certificate_is_shown_and_authorities_may_be_a_folder(kept, tmp_path):
    made = tls.make(tmp_path / "made")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    context.load_verify_locations(made.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    folder = tmp_path / "authorities"
    folder.mkdir()
    shown: list[Any] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True) as secure:
            shown.append(secure.getpeercert())
            secure.recv(65536)
            secure.sendall(FINE)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        port = listening.getsockname()[1]
        (folder / hashed(made.ca)).write_bytes(made.ca.read_bytes())
        trusting = Endpoint("https", "127.0.0.1", port, str(folder), (str(made.cert), str(made.key)))
        assert exchange(kept, trusting) == b"{}"
        serving.join()
    assert shown[0]["subject"]


def hashed(certificate: Path) -> str:
    """Return the name under which OpenSSL looks for a certificate in a folder."""
    told = subprocess.check_output(["openssl", "x509", "-hash", "-noout", "-in", certificate], text=True)
    return f"{told.strip()}.0"
