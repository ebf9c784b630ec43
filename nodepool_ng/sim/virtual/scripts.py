"""Actors beside the launchers, written as scripts: generators that yield what they wait for."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from nodepool_ng.model.ids import NodeId, RequestId, Seconds
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.locks import in_order
from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.store import (
    Answers,
    Changed,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Names,
    News,
    Op,
    Problem,
    Verb,
)

LOCK_POLL: Seconds = 0.25
CONNECTING: Seconds = 0.01


@dataclass(frozen=True, slots=True)
class Round:
    """Verbs in one go; answered by their answers."""

    verbs: tuple[Verb, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class UntilChanged:
    path: str


Wait: TypeAlias = Round | Pause | UntilChanged
Script: TypeAlias = Generator[Wait, Any, None]


class Actor:
    """One session, and the scripts that run on it."""

    def __init__(self, name: str, timeline: Timeline, tree: Tree, message_time: Seconds) -> None:
        self.name = name
        self.now = timeline.now
        self._timeline = timeline
        self._tree = tree
        self._store = MemoryStore(tree, lambda: message_time)
        self._store.watch((paths.REQUESTS,), self._hear)
        self._store.start()
        self._waiting: dict[str, list[Script]] = {}
        self._token = 0
        self._dead = False

    @property
    def session_id(self) -> int:
        return self._store.session_id

    def run(self, script: Script) -> None:
        """Begin a script, as soon as there is a connection."""
        if self._dead:
            return
        if self._store.connected:
            self._advance(script, None)
        else:
            self._timeline.schedule(CONNECTING, lambda: self.run(script))

    def die(self) -> None:
        """End the process, and its session with it."""
        self._dead = True
        self._tree.end_session(self._store.vanish())

    def contender(self, directory: str) -> Create:
        """Return what to create in a lock directory."""
        self._token += 1
        return Create(f"{directory}/{self._token:032x}__lock__", ephemeral=True, sequence=True)

    def _advance(self, script: Script, answer: Any) -> None:
        if self._dead:
            return
        try:
            wait = script.send(answer)
        except StopIteration:
            return
        match wait:
            case Round(verbs) if verbs:
                self._store.submit(verbs, lambda answers: self._advance(script, answers))
            case Round():
                self._timeline.schedule(0.0, lambda: self._advance(script, ()))
            case Pause(seconds):
                self._timeline.schedule(seconds, lambda: self._advance(script, None))
            case UntilChanged(path):
                self._waiting.setdefault(path, []).append(script)

    def _hear(self, news: News) -> None:
        if isinstance(news, Changed):
            for script in self._waiting.pop(news.path, []):
                self._advance(script, None)


def ask(*verbs: Verb) -> Generator[Wait, Any, Answers]:
    answers: Answers = yield Round(verbs)
    return answers


def commit(*ops: Op) -> Generator[Wait, Any, Committed | Failure]:
    (answer,) = yield from ask(Commit(ops))
    assert isinstance(answer, Committed | Failure)
    return answer


def lock(actor: Actor, directory: str, patience: Seconds) -> Generator[Wait, Any, str | None]:
    """Queue for a lock and wait for it; return the path of the contender, None where it could not be had in time.

    What is missing above the contender is created, as kazoo does it: a node that has just gone comes back as a ghost.
    """
    contender = actor.contender(directory)
    made = yield from commit(contender)
    if isinstance(made, Failure) and made.problem is Problem.NO_NODE:
        parent = directory.rpartition("/")[0]
        yield from ask(Commit((Create(parent),)), Commit((Create(directory),)))
        made = yield from commit(contender)
    if isinstance(made, Failure):
        return None
    mine = str(made.results[0])
    deadline = actor.now() + patience
    while True:
        (names,) = yield from ask(Children(directory))
        if not isinstance(names, Names) or mine.rpartition("/")[2] not in names.names:
            return None
        if in_order(names.names)[0] == mine.rpartition("/")[2]:
            return mine
        if actor.now() >= deadline:
            yield from commit(Delete(mine))
            return None
        yield Pause(LOCK_POLL)


def read_node(node: NodeId) -> Generator[Wait, Any, tuple[Node, int] | None]:
    """Return the record of a node and its version."""
    (got,) = yield from ask(Get(paths.node(node)))
    found = codec.decode_node(node, got.data) if isinstance(got, Got) else None
    return (found, got.stat.version) if isinstance(found, Node) and isinstance(got, Got) else None


def read_request(request: RequestId) -> Generator[Wait, Any, tuple[NodeRequest, int] | None]:
    (got,) = yield from ask(Get(paths.request(request)))
    found = codec.decode_request(request, got.data) if isinstance(got, Got) else None
    return (found, got.stat.version) if isinstance(found, NodeRequest) and isinstance(got, Got) else None
