"""The simulation's store: ZooKeeper's behaviour in memory, without threads, sockets or a clock of its own.

A `tree.Tree` is what all servers of an ensemble agree on; a `MemoryStore` is one client with its session. Everything
that takes time goes through the tree's `schedule`, so that a virtual clock decides when a verb reaches the tree and
when answers and events reach the client; within one direction of one connection nothing is overtaken. Without a
scheduler all of it waits in a queue, and `Tree.run` carries it out in order; with `Eager` nothing waits at all.

What a real one does and this does not: access control, quotas, read-only servers, time to live, and reading from a
server that is behind (its `Sync` is as good as a read).
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from nodepool_ng.model.ids import Seconds
from nodepool_ng.zk.store import (
    Answer,
    Answers,
    Changed,
    Children,
    Commit,
    Failure,
    Get,
    News,
    Problem,
    SessionNews,
    SessionNumber,
    SessionState,
    Sync,
    Synced,
    Verb,
    oversize,
    path_of,
)
from nodepool_ng.zk.tree import Eager, Schedule, SessionId, Tree

__all__ = ["Delay", "Eager", "MemoryStore", "Schedule", "SessionId", "Tree"]


class Delay(Protocol):
    """Tells how long the next message is on its way, in seconds."""

    def __call__(self) -> Seconds: ...


def no_delay() -> Seconds:
    return 0.0


@dataclass(slots=True, eq=False)
class _Round:
    """The verbs of one `submit`, and their answers as they come."""

    verbs: tuple[Verb, ...]
    done: Callable[[Answers], None]
    answers: list[Answer | None]


class MemoryStore:
    """One client of a `Tree`.

    Beside the Store's verbs it has those of a simulation: `suspend` and `resume` its connection, `expire` its
    session, `vanish` as a killed process does, and the hooks `before` and `after`, called around each verb at the
    moment it is carried out; a hook may call any of the former (after `before` suspended, the verb was not done;
    after `after` did, it was done and nobody hears of it).
    """

    def __init__(self, tree: Tree, delay: Delay = no_delay) -> None:
        self.before: Callable[[Verb], None] = _ignore_verb
        self.after: Callable[[Verb, Answer], None] = _ignore_answer
        self.session_id: SessionId = 0
        self._tree = tree
        self._delay = delay
        self._roots: tuple[str, ...] = ()
        self._on_news: Callable[[News], None] = _nobody
        self._session: SessionNumber = 0
        self._connection = 0
        """Counts connections; a message that belongs to an earlier one is lost. 0: never connected."""
        self._linked = False
        self._connected = False
        self._started = self._stopped = False
        self._up: deque[tuple[int, _Round, int]] = deque()
        self._down: deque[tuple[int, Callable[[], None]]] = deque()
        self._open_rounds: dict[int, _Round] = {}

    @property
    def session(self) -> SessionNumber:
        return self._session

    @property
    def connected(self) -> bool:
        return self._connected

    def watch(self, roots: Sequence[str], on_news: Callable[[News], None]) -> None:
        self._roots = tuple(roots)
        self._on_news = on_news
        if self._connected:
            self._send_down(self._say_connected)

    def start(self) -> None:
        self._started = True
        self.resume()

    def stop(self) -> None:
        if self._started:
            self._started, self._stopped = False, True
            self._on_news = _nobody
            self._cut(Problem.SESSION_LOST)
            self._tree.end_session(self.session_id)

    def gathered(self) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(self, verbs: Sequence[Verb], done: Callable[[Answers], None]) -> None:
        round = _Round(tuple(verbs), done, [None] * len(verbs))
        if not self._connected or not verbs:
            problem = Problem.SESSION_LOST if self._stopped else Problem.CONNECTION_LOST
            self._tree.schedule(0.0, lambda: _give_up(round, problem))
            return
        self._open_rounds[id(round)] = round
        for index in range(len(round.verbs)):
            self._up.append((self._connection, round, index))
            self._tree.schedule(self._delay(), self._arrive)

    def suspend(self) -> None:
        """Cut the connection: what is on its way in either direction is lost, the session lives on."""
        if self._linked:
            self._cut(Problem.CONNECTION_LOST)
            self._on_news(SessionNews(SessionState.SUSPENDED, self._session))

    def resume(self) -> None:
        """Connect again: in the old session where it lives, else in a new one."""
        if not self._started or self._linked:
            return
        if self.session_id and not self._tree.alive(self.session_id):
            self.session_id = 0
            self._on_news(SessionNews(SessionState.LOST, self._session))
        if not self.session_id:
            self.session_id = self._tree.open_session()
            self._session += 1
        self._linked = True
        self._connection += 1
        self._tree.listen(self._hear)
        self._send_down(self._say_connected)

    def expire(self) -> None:
        """End the session on the server. A client that is connected hears of it and connects anew; one that is
        suspended hears of it when it resumes."""
        self._tree.end_session(self.session_id)
        if self._linked:
            self._cut(Problem.CONNECTION_LOST)
            self._on_news(SessionNews(SessionState.SUSPENDED, self._session))
            self.resume()

    def vanish(self) -> SessionId:
        """Be killed: nothing is answered or told any more, and the session is left for the tree to expire.

        Returns the session, for `Tree.end_session`.
        """
        self._on_news = _nobody
        self._started = False
        self._open_rounds.clear()
        self._cut(Problem.CONNECTION_LOST)
        return self.session_id

    def _arrive(self) -> None:
        """The oldest verb on its way reaches the tree."""
        connection, round, index = self._up.popleft()
        if connection != self._connection or not self._linked:
            return
        verb = round.verbs[index]
        self.before(verb)
        if connection != self._connection or not self._linked:
            return
        answer = self._carry_out(verb)
        self.after(verb, answer)
        if connection == self._connection and self._linked:
            self._send_down(lambda: self._take_answer(round, index, answer))

    def _carry_out(self, verb: Verb) -> Answer:
        match verb:
            case Get(path):
                return self._tree.get(path)
            case Children(path):
                return self._tree.children(path)
            case Sync():
                return Synced()
            case Commit(ops):
                return oversize(verb) or self._tree.commit(ops, self.session_id)

    def _take_answer(self, round: _Round, index: int, answer: Answer) -> None:
        round.answers[index] = answer
        if None not in round.answers:
            self._open_rounds.pop(id(round), None)
            _give_up(round, Problem.OTHER)

    def _hear(self, event: Changed) -> None:
        if any(event.path == root or event.path.startswith(root.rstrip("/") + "/") for root in self._roots):
            self._send_down(lambda: self._on_news(event))

    def _say_connected(self) -> None:
        self._connected = True
        self._on_news(SessionNews(SessionState.CONNECTED, self._session))

    def _send_down(self, message: Callable[[], None]) -> None:
        self._down.append((self._connection, message))
        self._tree.schedule(self._delay(), self._deliver)

    def _deliver(self) -> None:
        """The oldest message on its way reaches the client."""
        connection, message = self._down.popleft()
        if connection == self._connection and self._linked:
            message()

    def _cut(self, problem: Problem) -> None:
        self._linked = self._connected = False
        self._tree.unlisten(self._hear)
        rounds, self._open_rounds = self._open_rounds, {}
        for round in rounds.values():
            _give_up(round, problem)


def _give_up(round: _Round, problem: Problem) -> None:
    """Call `done`; what has no answer yet gets a failure."""
    answers = zip(round.verbs, round.answers, strict=True)
    round.done(tuple(Failure(problem, path_of(verb)) if answer is None else answer for verb, answer in answers))


def _nobody(news: News) -> None:
    """Hears the news of a store that nobody listens to."""


def _ignore_verb(verb: Verb) -> None:
    """The hook of a simulation that wants nothing."""


def _ignore_answer(verb: Verb, answer: Answer) -> None:
    """The hook of a simulation that wants nothing."""
