"""What a launcher remembers of smaller doings. All of it may be lost with the process: it only saves work."""

from dataclasses import replace

from nodepool_ng.drivers import DriverError, NoCapacity, Throttled, Unavailable
from nodepool_ng.launcher.outcome import Lost, Outcome
from nodepool_ng.launcher.pace import Paces
from nodepool_ng.model.action import Action, cloud_of, waits_its_turn
from nodepool_ng.model.ids import AttemptId, ProviderName, Seconds, ServerId, Timestamp
from nodepool_ng.model.snapshot import Addressing, Stepping

ADDRESS_SHOWS_AFTER: Seconds = 10.0
"""A floating IP that was made shows in a list within so long; asked for again, the same one is answered."""
ADDRESS_AGAIN_MOST: Seconds = 30.0
STEP_SHOWS_AFTER: Seconds = 10.0
"""A server whose further steps were all taken shows in a list that it goes on within so long; asked again, a driver
finds nothing left to do."""
STEP_AGAIN_MOST: Seconds = 60.0
GONE_KEPT: Seconds = 24 * 3600.0
"""How long a server of ours that is gone is remembered, so that what it left behind can be told to be ours."""


class Memory:
    def __init__(self) -> None:
        self.addressing: dict[AttemptId, Addressing] = {}
        self.stepping: dict[AttemptId, Stepping] = {}
        self.consoles: set[AttemptId] = set()
        self.swept: dict[ProviderName, Timestamp] = {}
        self.confirmed_since: dict[ProviderName, Timestamp] = {}
        self.paces = Paces()
        self._started: dict[int, Timestamp] = {}
        self._gone: dict[ProviderName, dict[ServerId, Timestamp]] = {}

    def forget(self, attempt: AttemptId) -> None:
        """Drop what is known of an attempt that is over."""
        self.addressing.pop(attempt, None)
        self.stepping.pop(attempt, None)
        self.consoles.discard(attempt)

    def clock_jumped(self, by: Seconds) -> None:
        """Shift what is remembered of instants; a cloud's pace is found out anew."""
        self.paces = Paces()
        self._started = {key: at + by for key, at in self._started.items()}
        self.addressing = {key: replace(each, until=each.until + by) for key, each in self.addressing.items()}
        self.stepping = {key: replace(each, until=each.until + by) for key, each in self.stepping.items()}
        self.swept = {key: at + by for key, at in self.swept.items()}
        self.confirmed_since = {key: at + by for key, at in self.confirmed_since.items()}
        self._gone = {key: {one: at + by for one, at in each.items()} for key, each in self._gone.items()}

    def addressed(self, attempt: AttemptId, now: Timestamp, error: DriverError | None) -> None:
        """A floating IP was asked for."""
        if error is None:
            self.addressing[attempt] = Addressing(until=now + ADDRESS_SHOWS_AFTER)
        elif isinstance(error, NoCapacity):
            self.addressing[attempt] = Addressing(until=now, no_room=str(error))
        else:
            before = self.addressing.get(attempt)
            failures = before.failures + 1 if before else 1
            wait = min(2.0 ** (failures - 1), ADDRESS_AGAIN_MOST)
            self.addressing[attempt] = Addressing(until=now + wait, failures=failures)

    def advanced(self, attempt: AttemptId, now: Timestamp, error: DriverError | None) -> None:
        """A server's further steps were asked for. An order that the cloud refuses is not worth repeating."""
        match error:
            case None:
                self.stepping[attempt] = Stepping(until=now + STEP_SHOWS_AFTER)
            case Unavailable() | Throttled():
                before = self.stepping.get(attempt)
                failures = before.failures + 1 if before else 1
                wait = min(2.0 ** (failures - 1), STEP_AGAIN_MOST)
                self.stepping[attempt] = Stepping(until=now + wait, failures=failures)
            case _:
                self.stepping[attempt] = Stepping(until=now, refused=str(error), no_room=isinstance(error, NoCapacity))

    def asking(self, action: Action, now: Timestamp) -> None:
        """An action is started."""
        provider = cloud_of(action)
        if provider is not None:
            self.paces.started(provider, now)
            self._started[id(action)] = now

    def answered(self, action: Action, outcome: Outcome, now: Timestamp) -> None:
        """An action has ended."""
        provider = cloud_of(action)
        if provider is None:
            return
        began = self._started.pop(id(action), now)
        error = getattr(outcome, "error", None)
        if isinstance(error, Throttled):
            self.paces.complained(provider, now, error.retry_after)
        elif not isinstance(outcome, Lost):
            self.paces.accepted(provider, now, now - began if waits_its_turn(action) else None)

    def went(self, provider: ProviderName, server: ServerId, now: Timestamp) -> None:
        """A server of ours is gone."""
        gone = self._gone.setdefault(provider, {})
        gone[server] = now
        while gone and next(iter(gone.values())) < now - GONE_KEPT:
            del gone[next(iter(gone))]

    def gone_for(self, provider: ProviderName, seconds: Seconds, now: Timestamp) -> frozenset[ServerId]:
        """Return the servers of ours that have been gone for so long."""
        return frozenset(one for one, since in self._gone.get(provider, {}).items() if since + seconds <= now)

    def confirmations(self, confirmed: set[ProviderName], now: Timestamp) -> None:
        """Remember since when sweeps are permitted."""
        known = self.confirmed_since
        self.confirmed_since = {provider: known.get(provider, now) for provider in confirmed}
