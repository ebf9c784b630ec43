"""The real store: ZooKeeper through kazoo.

Whoever submits verbs sends them; one thread (the connection's) answers and brings news, in the order in which the
server told them; a second one only looks, a few times a minute, for verbs that were never answered.
While there is no connection every verb fails at once, so that nothing is sent later under another session.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kazoo.exceptions import ConnectionLoss, KazooException, SessionExpiredError
from kazoo.protocol.states import KazooState

from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk.store import (
    Answer,
    Answers,
    Changed,
    Commit,
    Failure,
    Kind,
    News,
    Problem,
    SessionNews,
    SessionNumber,
    SessionState,
    Verb,
    path_of,
)
from nodepool_ng.zk.translate import known_already, to_answer, to_failure, to_request
from nodepool_ng.zk.wire import AddWatch, Client

VERB_TIMEOUT = 30.0  # seconds; a lost connection is noticed long before
STOP_TIMEOUT = 10.0  # seconds
MOST_GATHERED = 64
"""Verbs that wait for others at most before they are sent."""

log = logging.getLogger(__name__)

_NOISE = ("Transition to CONNECTING", "Failed connecting to Zookeeper within")
"""What kazoo says beside what we say ourselves, and at every stop."""

_STATES = MappingProxyType({KazooState.SUSPENDED: SessionState.SUSPENDED, KazooState.LOST: SessionState.LOST})


class KazooStore:
    """ZooKeeper's verbs on a real ensemble."""

    def __init__(self, settings: ZooKeeperSettings, *, verb_timeout: Seconds = VERB_TIMEOUT) -> None:
        self._outage = _OncePerOutage()
        self._settings = settings
        self._client = Client(settings, _connection_log(self._outage), self._on_change)
        self._verb_timeout = verb_timeout
        self._roots: tuple[str, ...] = ()
        self._on_news: Callable[[News], None] = _nobody
        self._lock = threading.Lock()
        self._rounds: deque[_Round] = deque()
        self._open = False
        self._stopped = threading.Event()
        self._session_id = 0
        self._session: SessionNumber = 0
        self._unarmed = 0
        self._gathering: int | None = None
        """The thread whose verbs are gathered at the moment."""

    @property
    def session(self) -> SessionNumber:
        return self._session

    @property
    def connected(self) -> bool:
        return self._open

    @property
    def linger(self) -> Seconds:
        """How long answers and news are gathered once the first of them has come, to be heard together."""
        return self._client.linger

    @linger.setter
    def linger(self, seconds: Seconds) -> None:
        self._client.linger = seconds

    @property
    def backlog(self) -> int:
        """Tell how many verbs are not answered yet; from any thread."""
        with self._lock:
            return sum(round.missing for round in self._rounds)

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """The session's id and password, with which a successor can close it; None without a connection."""
        found = self._client.client_id
        return None if found is None else (int(found[0]), bytes(found[1]))

    def watch(self, roots: Sequence[str], on_news: Callable[[News], None]) -> None:
        with self._lock:
            self._roots = tuple(roots)
            self._on_news = on_news
            late = self._open
            self._open = False
        if late:
            self._arm()

    def start(self) -> None:
        self._client.add_listener(self._on_state)
        self._client.start_async()
        threading.Thread(target=self._watch_deadlines, name="zookeeper-deadlines", daemon=True).start()

    def stop(self) -> None:
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self._open = False
            rounds = tuple(self._rounds)
        for round in rounds:
            round.give_up(Problem.SESSION_LOST)
        try:
            self._client.stop()
            self._client.close()
        except (KazooException, OSError) as error:
            log.warning("The ZooKeeper session could not be closed: %s", error)

    def use(self, settings: ZooKeeperSettings) -> Iterator[str]:
        """Go by other servers, TLS files and credentials from the next connection on; yield a sentence for what is
        taken up, and for what only a new store can. May be called from any thread."""
        before, self._settings = self._settings, settings
        if replace(before, chroot=settings.chroot, session_timeout=settings.session_timeout) != settings:
            self._client.reach(settings)
            yield "Other ZooKeeper servers, TLS files or credentials are used from the next connection on"
        if before.session_timeout != settings.session_timeout:
            yield "Another zookeeper-timeout is used from the next start on"
        if before.chroot != settings.chroot:
            yield "Another chroot in zookeeper-servers is used from the next start on"

    def submit(self, verbs: Sequence[Verb], done: Callable[[Answers], None]) -> None:
        round = _Round(tuple(verbs), done, time.monotonic() + self._verb_timeout)
        with self._lock:
            if self._open and round.missing:
                self._forget_answered()
                self._rounds.append(round)
                for index, verb in enumerate(round.verbs):
                    if round.answers[index] is None:
                        self._client.enqueue(to_request(verb, self._client), _Slot(round, index, self._client))
                if self._gathering != threading.get_ident() or self._client.queued >= MOST_GATHERED:
                    self._client.send()
                return
        round.give_up(Problem.SESSION_LOST if self._stopped.is_set() else Problem.CONNECTION_LOST)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        self._gathering = threading.get_ident()
        try:
            yield
        finally:
            self._gathering = None
            if self._client.queued:
                with self._lock:
                    if self._open:
                        self._client.send()

    def _on_change(self, path: str, kind: Kind) -> None:
        self._on_news(Changed(path, kind))

    def _on_state(self, state: str) -> None:
        """Hear of the connection, on its own thread."""
        if self._stopped.is_set():
            return
        if state == KazooState.CONNECTED:
            session_id = self._client.client_id[0]
            if session_id != self._session_id:
                self._session_id = session_id
                self._session += 1
            self._arm()
            return
        with self._lock:
            self._open = False
        self._client.fail_unsent()
        log.warning("ZooKeeper: %s (session %d)", _STATES[state], self._session)
        self._on_news(SessionNews(_STATES[state], self._session))

    def _arm(self) -> None:
        """Ask for the watches; only when all of them are set does the connection count as there."""
        with self._lock:
            roots = self._roots
            self._unarmed = len(roots)
            for root in roots:
                self._client.enqueue(AddWatch(self._client.absolute(root)), _Arming(self._on_armed, roots, root))
            self._client.send_later()
        if not roots:
            self._open_up(roots)

    def _on_armed(self, roots: tuple[str, ...]) -> None:
        self._unarmed -= 1
        if not self._unarmed:
            self._open_up(roots)

    def _open_up(self, roots: tuple[str, ...]) -> None:
        with self._lock:
            if self._stopped.is_set():
                return
            self._open = roots is self._roots
        if not self._open:
            self._arm()
            return
        self._outage.forget()
        log.info("ZooKeeper: connected (session %d)", self._session)
        self._on_news(SessionNews(SessionState.CONNECTED, self._session))

    def _forget_answered(self) -> None:
        while self._rounds and not self._rounds[0].missing:
            self._rounds.popleft()

    def _watch_deadlines(self) -> None:
        while not self._stopped.wait(min(1.0, self._verb_timeout / 4)):
            now = time.monotonic()
            late = []
            with self._lock:
                self._forget_answered()
                while self._rounds and self._rounds[0].deadline < now:
                    late.append(self._rounds.popleft())
            for round in late:
                round.give_up(Problem.TIMED_OUT)


def close_session(settings: ZooKeeperSettings, id: int, password: bytes, *, timeout: Seconds = STOP_TIMEOUT) -> bool:
    """Close somebody's session, so that its locks and registrations are gone at once. Blocks.

    Returns whether the session was there to be closed; False too when nobody answered within `timeout`.
    """
    client = Client(settings, _connection_log(_OncePerOutage()), _nothing_changed, session=(id, password))
    try:
        client.start_async().wait(timeout)
        found = client.client_id
        return found is not None and found[0] == id
    finally:
        client.stop()
        client.close()


class _Round:
    """The verbs of one `submit`, and their answers as they come; `done` is called once, with no lock held."""

    __slots__ = ("_done", "_given", "_lock", "answers", "deadline", "missing", "verbs")

    def __init__(self, verbs: tuple[Verb, ...], done: Callable[[Answers], None], deadline: float) -> None:
        self.verbs = verbs
        self.deadline = deadline
        self.answers = [known_already(verb) for verb in verbs]
        self.missing = self.answers.count(None)
        self._done = done
        self._given = False
        self._lock = threading.Lock()

    def answer(self, index: int, answer: Answer) -> None:
        with self._lock:
            if self.answers[index] is not None:
                return
            self.answers[index] = answer
            self.missing -= 1
            if self.missing:
                return
            self._given = True
        self._finish()

    def give_up(self, problem: Problem) -> None:
        """Answer everything that has no answer yet; nothing happens when all had one."""
        with self._lock:
            if self._given:
                return
            self._given = True
            for index, verb in enumerate(self.verbs):
                if self.answers[index] is None:
                    self.answers[index] = Failure(problem, path_of(verb))
            self.missing = 0
        self._finish()

    def _finish(self) -> None:
        try:
            self._done(tuple(answer for answer in self.answers if answer is not None))
        except Exception:
            log.exception("What was to happen with the answers to %s failed", self.verbs)


class _Slot:
    """Where kazoo leaves the answer to one verb of a round."""

    __slots__ = ("_client", "_index", "_round")

    def __init__(self, round: _Round, index: int, client: Client) -> None:
        self._round = round
        self._index = index
        self._client = client

    def set(self, value: Any) -> None:
        verb = self._round.verbs[self._index]
        self._round.answer(self._index, to_answer(verb, value, self._client))

    def set_exception(self, exception: Exception) -> None:
        verb = self._round.verbs[self._index]
        self._round.answer(self._index, to_failure(exception, path_of(verb), 0 if isinstance(verb, Commit) else -1))


class _Arming:
    """Where kazoo leaves the answer to the request for a watch."""

    __slots__ = ("_on_armed", "_root", "_roots")

    def __init__(self, on_armed: Callable[[tuple[str, ...]], None], roots: tuple[str, ...], root: str) -> None:
        self._on_armed = on_armed
        self._roots = roots
        self._root = root

    def set(self, value: Any) -> None:
        self._on_armed(self._roots)

    def set_exception(self, exception: Exception) -> None:
        if not isinstance(exception, ConnectionLoss | SessionExpiredError):
            log.error("ZooKeeper refused to watch %s (is it older than 3.6?): %r", self._root, exception)


class _OncePerOutage(logging.Filter):
    """Lets each of kazoo's messages through once until there is a connection again."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_NOISE) or message in self._said:
            return False
        self._said.add(message)
        return True

    def forget(self) -> None:
        self._said.clear()


def _connection_log(outage: _OncePerOutage) -> logging.Logger:
    """kazoo's own messages: only what an operator can act on, and never its debugging, which shows records."""
    logger = logging.Logger(f"{__name__}.connection", logging.WARNING)
    logger.parent = log
    logger.addFilter(outage)
    return logger


def _nobody(news: News) -> None:
    """Hears the news of a store that nobody listens to."""


def _nothing_changed(path: str, kind: Kind) -> None:
    """Hears of the changes that a client without watches cannot have."""
