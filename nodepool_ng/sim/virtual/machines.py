"""What a launcher meets when it connects to machines: booted servers, and those that a test set up by name."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nodepool_ng.model.ids import Seconds, Timestamp
from nodepool_ng.sim.virtual.timeline import Timeline

KEYS_AFTER: Seconds = 0.1
"""How long a connection takes."""
ADDRESS = "192.0.2.10"
Told = Callable[[tuple[str, ...] | str], None]


@dataclass(slots=True)
class Machine:
    """One that a test set up. `keys` is what it shows; one that is `down` lets connections time out."""

    keys: tuple[str, ...] = ("ssh-ed25519 AAAA",)
    down: bool = False
    addresses: tuple[str, ...] = (ADDRESS,)
    """Without any nobody knows its name."""
    scans: int = field(default=0, compare=False)
    connections: int = field(default=0, compare=False)


class Machines:
    """Answers scans and lookups in virtual time. A machine that nobody set up is a server with one host key."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.named: dict[str, Machine] = {}

    def scan(self, address: str, port: int, ssh: bool, deadline: Timestamp, done: Told) -> None:
        machine = self.named.get(address)
        if machine is None:
            self._timeline.schedule(KEYS_AFTER, lambda: done((f"ssh-ed25519 {address}",)))
            return
        if ssh:
            machine.scans += 1
        else:
            machine.connections += 1
        if machine.down:
            self._timeline.schedule_at(deadline, lambda: done("no answer"))
        else:
            self._timeline.schedule(KEYS_AFTER, lambda: done(machine.keys if ssh else ()))

    def lookup(self, name: str, deadline: Timestamp, done: Told) -> None:
        machine = self.named.get(name)
        found = machine.addresses if machine is not None else (ADDRESS,)
        self._timeline.schedule(0.0, lambda: done(found or "no such name"))
