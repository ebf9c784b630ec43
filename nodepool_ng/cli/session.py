"""What one command works with: its options, the configuration, and for as long as it lasts, a connection.

The outside world (which store, which configuration, which clock) comes in as `Surroundings`, so that tests put theirs
in its place.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import click

from nodepool_ng.cli.logs import LastWords
from nodepool_ng.cli.outcome import Declined, Failed, StrictlyDeclined
from nodepool_ng.listing.table import Format, R, Table, printable, render
from nodepool_ng.model.clock import Clock, SystemClock
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.settings import Settings, ZooKeeperSettings
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.store import (
    UNKNOWN_OUTCOME,
    Answers,
    Changed,
    Check,
    Children,
    Commit,
    Committed,
    Create,
    Failure,
    Get,
    Got,
    Names,
    News,
    Op,
    Problem,
    SessionState,
    Store,
    Verb,
)

CONNECT_TIMEOUT = 10.0  # seconds
ANSWER_TIMEOUT = 30.0  # seconds, for one round of verbs
LOCK_TIMEOUT = 5.0  # seconds, as Nodepool 11 waits


def _kazoo(settings: ZooKeeperSettings) -> Store:
    from nodepool_ng.zk.client import KazooStore

    return KazooStore(settings)


def _files(path: str, secure: str | None) -> Settings:
    from nodepool_ng.config import ConfigError, load

    try:
        return load(path, secure).settings
    except ConfigError as error:
        raise Failed(str(error)) from None


def _address(path: str, secure: str | None) -> ZooKeeperSettings | None:
    from nodepool_ng.config import zookeeper_of

    return zookeeper_of(path, secure)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a command's store, configuration and time come from, and how long it waits, in seconds."""

    open_store: Callable[[ZooKeeperSettings], Store] = _kazoo
    load: Callable[[str, str | None], Settings] = _files
    find_zookeeper: Callable[[str, str | None], ZooKeeperSettings | None] = _address
    """A quick look at the files; None: load them to find out."""
    clock: Clock = field(default_factory=SystemClock)
    connect_timeout: Seconds = CONNECT_TIMEOUT
    answer_timeout: Seconds = ANSWER_TIMEOUT
    lock_timeout: Seconds = LOCK_TIMEOUT


class Connection:
    """An open store, asked one round after the other; `name` is how sentences call it."""

    def __init__(self, store: Store, name: str, answer_timeout: Seconds) -> None:
        self.store = store
        self._name = name
        self._answer_timeout = answer_timeout
        self._connected = threading.Event()
        self._changed = threading.Event()
        self.changes: list[str] = []
        """Paths that were changed by commands of this connection."""

    def open(self, roots: Sequence[str], timeout: Seconds) -> bool:
        """Start the store, to be told of changes below `roots`; tell whether it was connected in time."""
        self.store.watch(roots, self._hear)
        self.store.start()
        return self._connected.wait(timeout)

    def close(self) -> None:
        """End the session. Where there was none, nobody waits for the attempt to connect to come to its end."""
        if self._connected.is_set():
            self.store.stop()
        else:
            threading.Thread(target=self.store.stop, daemon=True).start()

    def wait_for_change(self, timeout: Seconds | None) -> bool:
        """Wait until something below the roots changed since the last call; tell whether it did."""
        changed = self._changed.wait(timeout)
        self._changed.clear()
        return changed

    def ask(self, verbs: Sequence[Verb]) -> Answers:
        """Carry out the verbs and return the answers, refusals included.

        Raises:
            Failed: one of them has no answer, since the connection was lost meanwhile.
        """
        from nodepool_ng.zk.blocking import call

        answers = call(self.store, verbs, self._answer_timeout)
        for verb, answer in zip(verbs, answers, strict=True):
            if isinstance(answer, Failure) and answer.problem in UNKNOWN_OUTCOME:
                raise self.lost(changing=isinstance(verb, Commit))
            if isinstance(verb, Commit) and isinstance(answer, Committed):
                for op, made in zip(verb.ops, answer.results, strict=True):
                    if not isinstance(op, Check):
                        self.changes.append(str(made) if isinstance(op, Create) and op.sequence else op.path)
        return answers

    def get(self, path: str) -> Got | None:
        """Return what is at `path`, None where nothing is. Raises `Failed`."""
        match self.ask([Get(path)])[0]:
            case Got() as got:
                return got
            case Failure(problem) as failure if problem is not Problem.NO_NODE:
                raise Failed(f"{failure}.")
        return None

    def commit(self, *ops: Op) -> Committed | Failure:
        """Carry out all of the operations or none. Raises `Failed` when nobody knows which."""
        answer = self.ask([Commit(ops)])[0]
        assert isinstance(answer, Committed | Failure)
        return answer

    def ensure(self, path: str) -> None:
        """Create an empty znode, and those above it, where they are missing. Raises `Failed`."""
        answer = self.ask([Commit((Create(each),)) for each in (*paths.parents(path), path)])[-1]
        if isinstance(answer, Failure) and answer.problem is not Problem.NODE_EXISTS:
            raise Failed(f"{answer}.")

    def lost(self, *, changing: bool) -> Failed:
        """Return the error of an interrupted command."""
        doubt = " Nobody knows whether the change was made: look before you repeat it." if changing else " Try again."
        return Failed(f"The connection to {self._name} was lost.{doubt}")

    def _hear(self, news: News) -> None:
        if isinstance(news, Changed):
            self._changed.set()
        elif news.state is SessionState.CONNECTED:
            self._connected.set()
        else:
            self._changed.set()


class Session:
    """One command being carried out."""

    def __init__(self, surroundings: Surroundings, config: str, secure: str | None, *, strict: bool) -> None:
        self.surroundings = surroundings
        self.config = config
        self.secure = secure
        self._strict = strict
        self.reason = ""
        """Why the operator does it, where the command was told."""

    @cached_property
    def settings(self) -> Settings:
        """The configuration; raises `Failed` with everything that is wrong with it."""
        return self.surroundings.load(self.config, self.secure)

    def now(self) -> float:
        return self.surroundings.clock.now()

    @contextmanager
    def connected(self, *roots: str) -> Iterator[Connection]:
        """Connect to ZooKeeper for as long as the command lasts, and hear of changes below `roots`.

        Raises:
            Failed: none is configured, none answers in time, or it has no such chroot.
        """
        zookeeper = self.surroundings.find_zookeeper(self.config, self.secure) or self.settings.zookeeper
        if zookeeper is None:
            raise Failed(f"{self.config} names no ZooKeeper: add zookeeper-servers to it.")
        _check_readable(zookeeper)
        words = LastWords()
        logger = logging.getLogger("nodepool_ng.zk")
        logger.addHandler(words)
        store = self.surroundings.open_store(zookeeper)
        connection = Connection(store, _name(zookeeper), self.surroundings.answer_timeout)
        try:
            if not connection.open(roots, self.surroundings.connect_timeout):
                raise self._unreachable(zookeeper, words.words)
            if zookeeper.chroot and connection.get("/") is None:
                raise Failed(f"There is no {zookeeper.chroot} in ZooKeeper: correct the chroot in zookeeper-servers.")
            try:
                yield connection
            finally:
                self._note(connection)
        finally:
            connection.close()
            logger.removeHandler(words)

    def _note(self, connection: Connection) -> None:
        """Leave a note about what this command changed. That it cannot be left undoes nothing."""
        from nodepool_ng.cli import notes

        changed = [path for path in connection.changes if notes.name_of(path)]
        if not changed:
            return
        context = click.get_current_context(silent=True)
        name = context.command.name if context is not None else None
        note = notes.record(name or "nodepool", changed, self.reason, self.now())
        try:
            connection.ensure(paths.AUDIT)
            written = connection.commit(notes.appending(note))
            listed = connection.ask([Children(paths.AUDIT)])[0]
            trimming = notes.trimming(listed.names) if isinstance(listed, Names) else []
            if trimming:
                connection.ask(trimming)
        except Failed as error:
            written = Failure(Problem.CONNECTION_LOST)
            logging.getLogger("nodepool.audit").debug("%s", error)
        if isinstance(written, Failure):
            click.echo(f"The change was made, but could not be noted for `nodepool audit`: {written}.", err=True)

    def show(self, table: Table[R], format: Format = Format.PRETTY) -> None:
        click.echo(render(table, format))

    def report(self, damaged: Iterable[Damaged]) -> None:
        """Tell of records that could not be shown, beside the output."""
        for record in damaged:
            click.echo(f"Damaged record, left out: {printable(str(record))}", err=True)

    def declined(self, sentence: str) -> Declined:
        kind = StrictlyDeclined if self._strict else Declined
        return kind(printable(sentence))

    def _unreachable(self, zookeeper: ZooKeeperSettings, words: str) -> Failed:
        reason = f" Last heard: {printable(words)}." if words else ""
        return Failed(
            f"No answer from {_name(zookeeper)} within {self.surroundings.connect_timeout:.0f} s.{reason} Check "
            f"that it runs, and zookeeper-servers, zookeeper-tls and zookeeper-auth in {self.secure or self.config}."
        )


def _name(settings: ZooKeeperSettings) -> str:
    encrypted = " with TLS" if settings.tls_cert or settings.tls_ca else ""
    return f"ZooKeeper at {', '.join(settings.hosts)}{settings.chroot}{encrypted}"


def _check_readable(settings: ZooKeeperSettings) -> None:
    """Raise `Failed` for a TLS file that this user may not read; otherwise each attempt to connect would fail."""
    files = {"cert": settings.tls_cert, "key": settings.tls_key, "ca": settings.tls_ca}
    for name, file in files.items():
        if file is not None and not os.access(file, os.R_OK):
            raise Failed(
                f"The file {file} (zookeeper-tls, {name}) cannot be read: check its path and your permissions."
            )
