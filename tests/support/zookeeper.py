"""A real ZooKeeper for tests: one server per session, one chroot per test; and peers that write down what they hear.

`zookeeper_server` and `zookeeper` are fixtures; everything else is for any test that wants it.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import NoZooKeeper, Server, find, private_server
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.store import Answers, Commit, Create, News, SessionNews, SessionState, Store, Verb

PATIENCE = 20.0  # seconds; only a test that fails waits that long
_chroots = itertools.count(1)


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[Server]:
    """A private server for the whole run."""
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))
    with private_server() as server:
        yield server


@pytest.fixture
def zookeeper(zookeeper_server: Server) -> ZooKeeperSettings:
    """How to reach the server, with a chroot that no other test has."""
    return fresh_chroot(zookeeper_server)


def fresh_chroot(server: Server) -> ZooKeeperSettings:
    chroot = f"/test-{next(_chroots)}"
    settings = ZooKeeperSettings(hosts=(server.address,), session_timeout=10.0)
    store = KazooStore(settings)
    store.start()
    try:
        assert wait_connected(store, PATIENCE)
        call(store, [Commit((Create(chroot),))])
    finally:
        store.stop()
    return replace(settings, chroot=chroot)


class Peer:
    """A store and the record of all that it said, news and answers, in the order in which it said them."""

    def __init__(self, store: Store, settle: Callable[[], None] | None = None) -> None:
        self.store = store
        self.heard: list[News | Answers] = []
        self._settle = settle
        self._changed = threading.Condition()

    def open(self, *roots: str) -> "Peer":
        """Watch, start, and wait until the store is connected."""
        self.store.watch(roots, self.hear)
        self.store.start()
        self.wait_connected(1)
        return self

    def hear(self, message: News | Answers) -> None:
        with self._changed:
            self.heard.append(message)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds that depends on what was heard."""
        if self._settle is not None:
            self._settle()
            assert condition(), self.heard
            return
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                assert self._changed.wait(deadline - time.monotonic()), self.heard

    def wait_for(self, message: News | Answers, times: int = 1) -> None:
        self.wait(lambda: self.heard.count(message) >= times)

    def wait_connected(self, session: int) -> None:
        self.wait_for(SessionNews(SessionState.CONNECTED, session))

    def submit(self, *verbs: Verb) -> list[Answers]:
        """Send, and return a list in which the answers will be."""
        box: list[Answers] = []

        def done(answers: Answers) -> None:
            box.append(answers)
            self.hear(answers)

        self.store.submit(verbs, done)
        return box

    def call(self, *verbs: Verb) -> Answers:
        box = self.submit(*verbs)
        self.wait(lambda: bool(box))
        return box[0]
