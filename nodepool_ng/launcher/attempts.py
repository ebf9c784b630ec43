"""What a launcher knows of its attempts to make servers. It may be lost with the process: the clouds' lists tell the
rest."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from nodepool_ng.drivers import DriverError, NoCapacity, Throttled, Unavailable
from nodepool_ng.model.ids import AttemptId, Seconds, Timestamp
from nodepool_ng.model.server import Server
from nodepool_ng.model.snapshot import Attempt, AttemptState, Scan


class Attempts:
    """How far each is, what host keys its server showed, and when that was first seen with an address."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.states: dict[AttemptId, Attempt] = {}
        self.scans: dict[AttemptId, Scan] = {}
        self.first_active: dict[AttemptId, Timestamp] = {}
        self._new_id = new_id

    def new(self, now: Timestamp) -> AttemptId:
        """Return the id of an attempt that no cloud has heard of."""
        attempt = AttemptId(self._new_id())
        self.states[attempt] = Attempt(state=AttemptState.FRESH, since=now)
        return attempt

    def adopted(self, attempt: AttemptId | None, now: Timestamp, *, asked: bool) -> AttemptId:
        """Return the attempt to go on with for a node that another launcher, or an earlier life of ours, began.

        Until a node is `building` no cloud is asked for its server; once it is, one may have been (`asked`).
        """
        if attempt is None:
            return self.new(now)
        state = AttemptState.UNKNOWN if asked else AttemptState.FRESH
        self.states.setdefault(attempt, Attempt(state=state, since=now))
        return attempt

    def asking(self, attempt: AttemptId, now: Timestamp) -> None:
        """A cloud is about to be asked; should this process lose the answer, nobody knows."""
        self.states[attempt] = Attempt(state=AttemptState.UNKNOWN, since=now)

    def asked(self, attempt: AttemptId, now: Timestamp) -> None:
        """The cloud is at it."""
        self.states[attempt] = Attempt(state=AttemptState.ASKED, since=now)

    def not_made(self, attempt: AttemptId, error: DriverError, now: Timestamp) -> None:
        """The cloud did not accept it, or did not answer."""
        match error:
            case Throttled():
                state = AttemptState.FRESH
            case NoCapacity():
                state = AttemptState.NO_CAPACITY
            case Unavailable():
                state = AttemptState.UNKNOWN
            case _:
                state = AttemptState.REFUSED
        answered = isinstance(error, Unavailable) and error.answered
        self.states[attempt] = Attempt(state=state, since=now, detail=str(error), answered=answered)

    def not_backed(self, attempts: Iterable[AttemptId], detail: str, now: Timestamp) -> None:
        """No other node can carry these."""
        refused = Attempt(state=AttemptState.REFUSED, since=now, detail=detail)
        self.states.update(dict.fromkeys(attempts, refused))

    def scanned(self, attempt: AttemptId, keys: tuple[str, ...], error: str | None) -> None:
        """Its server was asked for its host keys."""
        self.scans[attempt] = Scan(keys=keys, error=error)

    def listed(self, servers: Iterable[Server], now: Timestamp) -> None:
        """A list came; these servers are there."""
        awaited = self.states.keys() - self.first_active.keys()
        for server in servers:
            if server.attempt in awaited and server.addresses.interface_ip:
                self.first_active.setdefault(server.attempt, now)

    def forget(self, attempt: AttemptId) -> None:
        """It is over."""
        self.states.pop(attempt, None)
        self.scans.pop(attempt, None)
        self.first_active.pop(attempt, None)

    def clock_jumped(self, by: Seconds) -> None:
        """Shift what is remembered of instants."""
        self.states = {key: replace(each, since=each.since + by) for key, each in self.states.items()}
        self.first_active = {key: since + by for key, since in self.first_active.items()}
