"""An owner for a mirror under test, and a second opinion on what the mirror should hold."""

import threading
from collections import deque

from nodepool_ng.zk import paths
from nodepool_ng.zk.mirror import Mirror
from nodepool_ng.zk.picture import Picture
from nodepool_ng.zk.store import Children, Failure, Get
from tests.support.zookeeper import PATIENCE


class Owner:
    """The thread that owns a mirror: here the test's own, when it says so."""

    def __init__(self, store, **options) -> None:
        self.inbox = deque()
        self.changes = []
        self._bell = threading.Event()
        self.mirror = Mirror(store, self._post, **options)
        self.mirror.start()

    @property
    def picture(self) -> Picture:
        return self.mirror.picture

    def _post(self, message) -> None:
        self.inbox.append(message)
        self._bell.set()

    def take_all(self) -> list:
        """Take in what is in the inbox, and return what changed by it."""
        changes = []
        while self.inbox:
            changes += self.mirror.take(self.inbox.popleft())
        self.changes += changes
        return changes

    def settle(self, tree) -> list:
        """Run a memory tree and take in, until nothing happens any more."""
        changes = self.take_all()
        tree.run()
        while self.inbox:
            changes += self.take_all()
            tree.run()
        return changes

    def wait(self, condition) -> None:
        """Take in from a real store until something holds."""
        self.take_all()
        while not condition():
            assert self._bell.wait(PATIENCE), self.changes[-5:]
            self._bell.clear()
            self.take_all()

    def wait_for(self, change, times: int = 1) -> None:
        self.wait(lambda: self.changes.count(change) >= times)


def surveyed(call) -> Picture:
    """Return the picture that plain reading gives, one verb after the other, without any mirror."""
    picture = Picture()

    def visit(path: str) -> None:
        names, got = call(Children(path), Get(path))
        if isinstance(names, Failure):
            return
        at = paths.parse(path)
        if at is not None:
            picture.appeared(path, at)
        if paths.is_record(at):
            picture.read(path, at, got.data, got.stat.version, got.stat.mzxid)
        for name in names.names:
            visit(f"{path}/{name}")

    for root in (paths.ROOT, paths.OURS):
        visit(root)
    return picture


def content(picture: Picture) -> dict:
    """Return all that a picture holds, for comparison."""
    return {key: value for key, value in vars(picture).items() if key != "_mzxids"}
