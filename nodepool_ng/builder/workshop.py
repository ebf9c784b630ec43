"""The threads that do jobs on this machine: one for each job, since the planner decides how many there are."""

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

from nodepool_ng.builder.board import Board
from nodepool_ng.builder.jobs import Cancelling, CheckOrder, Discard, FindFile, Job, perform
from nodepool_ng.drivers import Cancelled, Unavailable
from nodepool_ng.model.image_action import Destination

_log = logging.getLogger("nodepool.builder")


class Workshop:
    """Does jobs. `stop` ends the builds and hooks that are running."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._cancelling = Cancelling(board)
        self._numbers = itertools.count(1)

    def submit(self, job: object, done: Callable[[Any], None]) -> None:
        name = f"{type(job).__name__}-{next(self._numbers)}"
        threading.Thread(target=self._work, args=(cast(Job, job), done), name=name, daemon=True).start()

    def stop(self) -> None:
        self._cancelling.stop()

    def uploading(self, to: Destination, total: int) -> Callable[[int], None]:
        """Return what an upload of so many bytes tells its progress to; it ends the upload when the daemon stops or an
        operator wants that."""
        self._cancelling.forget(to)
        note = self._board.uploading(to, total)

        def sent(count: int) -> None:
            note(count)
            if self._cancelling.stopping:
                raise Unavailable("the builder is stopping")
            if not self._cancelling.wanted(to):
                raise Cancelled("an operator cancelled it")

        return sent

    def _work(self, job: Job, done: Callable[[Any], None]) -> None:
        try:
            came = perform(job, self._cancelling)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: it becomes an event
            _log.exception("A job was not done: %r", type(job).__name__)
            came = _excuse(job, f"{type(error).__name__}: {error}")
        done(came)


def _excuse(job: Job, why: str) -> object:
    """Return the answer that says that a job failed, in the form in which its effect expects it."""
    match job:
        case CheckOrder() | Discard():
            return (why,)
        case FindFile():
            return None
        case _:
            return why
