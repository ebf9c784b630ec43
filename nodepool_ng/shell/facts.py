"""What a daemon tells about itself: when there is something new to be told, and writing it down, in parts, each an
ephemeral znode."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.shell.effect import Effect, ask
from nodepool_ng.zk.facts import digest_of, encode_facts
from nodepool_ng.zk.store import Commit, Create, Delete, Failure, Problem, Set


@dataclass(frozen=True, slots=True)
class Telling:
    """A document to be written. `fresh`: what is there may be an earlier session's, and vanish with it; `before` is how
    many parts there were."""

    daemon: str
    parts: tuple[bytes, ...]
    before: int
    fresh: bool


class Teller:
    """Decides when there is something new to be told; written only when it changed, and not too often."""

    def __init__(self, daemon: str, at_most_every: Seconds) -> None:
        self._daemon = daemon
        self._every = at_most_every
        self._due: Timestamp = 0.0
        self._told = ""
        self._parts = 0
        self._fresh = True

    def start_anew(self) -> None:
        """There may be a new session: everything has to be written again."""
        self._told = ""
        self._fresh = True

    def due(self, now: Timestamp) -> Timestamp:
        """Return when something may be told again."""
        return max(self._due, now)

    def tell(self, document: Mapping[str, Any], now: Timestamp) -> Telling | None:
        """Return what is to be written now; None when nothing changed."""
        self._due = now + self._every
        digest = digest_of(document)
        if digest == self._told:
            return None
        parts = encode_facts(document)
        telling = Telling(self._daemon, parts, self._parts, self._fresh)
        self._told, self._parts, self._fresh = digest, len(parts), False
        return telling


def write_down(telling: Telling, path: Callable[[str, int], str]) -> Effect[str | None]:
    """Write every part, each at the path of its number, and remove those that are no more; return what went wrong. One
    that is not there, or (`fresh`) may be an earlier session's, is made anew."""
    written = [(path(telling.daemon, number), part) for number, part in enumerate(telling.parts)]
    gone = [path(telling.daemon, number) for number in range(len(telling.parts), telling.before)]
    if telling.fresh:
        yield from ask(*(Commit((Delete(path),)) for path, _ in written))
        answers = yield from ask(*(Commit((Create(path, part, ephemeral=True),)) for path, part in written))
    else:
        set_ = tuple(Commit((Set(path, part),)) for path, part in written)
        answers = yield from ask(*set_, *(Commit((Delete(path),)) for path in gone))
        found = zip(written, answers, strict=False)
        missing = [each for each, answer in found if isinstance(answer, Failure) and answer.problem is Problem.NO_NODE]
        if missing:
            answers = yield from ask(*(Commit((Create(path, part, ephemeral=True),)) for path, part in missing))
    failed = next((a for a in answers if isinstance(a, Failure) and a.problem is not Problem.NO_NODE), None)
    return None if failed is None else str(failed)
