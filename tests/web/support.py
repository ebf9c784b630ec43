"""A web server with a view of the test's making."""

import http.client
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from nodepool_ng.model.settings import WebSettings
from nodepool_ng.model.view import View
from nodepool_ng.telemetry.health import Health
from nodepool_ng.telemetry.prometheus import Prometheus
from nodepool_ng.web.app import make_app
from nodepool_ng.web.serve import WebServer
from nodepool_ng.web.why import Told


@dataclass
class StillClock:
    time: float

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class Shown:
    """A showcase in which there is what the test puts there; with `answers` unset nobody comes to put it."""

    view: View | None
    answers: bool = True
    looks: int = 0

    @property
    def latest(self) -> View | None:
        return self.view

    def look(self) -> Future[View]:
        self.looks += 1
        future: Future[View] = Future()
        if self.answers and self.view is not None:
            future.set_result(self.view)
        return future


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Place:
    shown: Shown
    clock: StillClock
    port: int
    health: Health
    prometheus: Prometheus = field(default_factory=Prometheus)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()

    def show(self, view: View) -> None:
        """Show something else; what is kept for a second is over."""
        self.shown.view = view
        self.clock.time += 2


@contextmanager
def served(view: View | None, told: Told | None = None) -> Iterator[Place]:
    clock = StillClock(view.now if view else 0.0)
    shown, health, prometheus = Shown(view), Health(clock), Prometheus()
    app = make_app(shown, prometheus, health, "vm", clock, told=told)
    server = WebServer(app, WebSettings(port=0, listen_address="127.0.0.1"))
    server.start()
    try:
        assert server.listening.wait(10)
        yield Place(shown, clock, server.port, health, prometheus)
    finally:
        server.stop()
