"""What the demo sees of the tree: all of it read again whenever something in it changed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from nodepool_ng.cli import seen
from nodepool_ng.model.ids import NodeId, Seconds
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.store import UNKNOWN_OUTCOME, Answers, Failure, News, Store, Verb


class Unseen(Exception):
    """ZooKeeper does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All records at one look."""

    builds: tuple[Build, ...] = ()
    uploads: tuple[Upload, ...] = ()
    nodes: tuple[Node, ...] = ()
    locked: frozenset[NodeId] = frozenset()
    requests: tuple[NodeRequest, ...] = ()

    @property
    def free(self) -> tuple[Node, ...]:
        """The nodes that are ready and nobody's."""
        return tuple(node for node in self.nodes if node.free)


class View:
    """A session that only looks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Event()

    def start(self) -> None:
        self._store.watch((paths.ROOT,), self._hear)
        self._store.start()

    def stop(self) -> None:
        self._store.stop()

    def look(self) -> Sight:
        """Read everything. Raises `Unseen`."""
        self._changed.clear()
        images = seen.images(self._ask)
        nodes = seen.nodes(self._ask)
        return Sight(
            builds=images.builds,
            uploads=images.uploads,
            nodes=nodes.nodes,
            locked=nodes.locked,
            requests=seen.requests(self._ask).requests,
        )

    def wait(self, timeout: Seconds) -> None:
        """Wait until something has changed since the last look, or `timeout` is over."""
        self._changed.wait(timeout)

    def _ask(self, verbs: Sequence[Verb]) -> Answers:
        answers = call(self._store, verbs) if verbs else ()
        for answer in answers:
            if isinstance(answer, Failure) and answer.problem in UNKNOWN_OUTCOME:
                raise Unseen(str(answer))
        return answers

    def _hear(self, news: News) -> None:
        self._changed.set()
