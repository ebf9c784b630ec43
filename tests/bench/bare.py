"""The floor of a warm hand-out: a script that makes the rounds which the protocol asks for, and decides nothing."""

import json
import time

from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.codec import encode_node
from nodepool_ng.zk.store import (
    Changed,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Get,
    Got,
    Kind,
    News,
    SessionNews,
    SessionState,
    Set,
)

CONTENDER = f"{'0' * 32}__lock__"


class BareRounds:
    """Answers each request with the same node: the event, a read; locks with a look; a hand-over."""

    def __init__(self, settings: ZooKeeperSettings) -> None:
        self._store = KazooStore(settings)
        self._node = ""
        self.ready = False

    def start(self) -> None:
        self._store.watch((paths.REQUESTS,), self._hear)
        self._store.start()

    def stop(self) -> None:
        call(self._store, [Commit((Delete(f"{self._node}/lock"), Delete(self._node)))])
        self._store.stop()

    def _hear(self, news: News) -> None:
        match news:
            case SessionNews(SessionState.CONNECTED):
                make = Commit((Create(paths.NEW_NODE, b"{}", sequence=True),))
                self._store.submit([make], lambda answers: self._made(answers[0]))
            case Changed(path, Kind.CREATED) if path != paths.REQUESTS:
                self._store.submit([Get(path)], lambda answers: self._lock(path, answers[0]))
            case _:
                pass

    def _made(self, made: object) -> None:
        assert isinstance(made, Committed)
        self._node = str(made.results[0])
        self._store.submit([Commit((Create(f"{self._node}/lock"),))], lambda answers: setattr(self, "ready", True))

    def _lock(self, path: str, got: object) -> None:
        if not isinstance(got, Got):
            return
        lock = f"{paths.REQUEST_LOCKS}/{path.rpartition('/')[2]}"
        taken = Commit(
            (
                Create(lock),
                Create(f"{lock}/{CONTENDER}", ephemeral=True, sequence=True),
                Create(f"{self._node}/lock/{CONTENDER}", ephemeral=True, sequence=True),
            )
        )
        looks = (Children(lock), Get(path), Children(f"{self._node}/lock"), Get(self._node))
        self._store.submit((taken, *looks), lambda answers: self._hand_over(path, got, answers[0]))

    def _hand_over(self, path: str, got: Got, made: object) -> None:
        assert isinstance(made, Committed), made
        _, mine, theirs = (str(result) for result in made.results)
        id = NodeId(self._node.rpartition("/")[2])
        request = RequestId(path.rpartition("/")[2])
        node = Node(id=id, state=NodeState.READY, state_time=time.time(), labels=(), allocated_to=request)
        record = {**json.loads(got.data), "state": "fulfilled", "nodes": [id], "state_time": time.time()}
        ops = (
            Set(self._node, encode_node(node)),
            Delete(theirs),
            Set(path, json.dumps(record).encode()),
            Delete(mine),
        )
        self._store.submit([Commit(ops)], lambda answers: None)
