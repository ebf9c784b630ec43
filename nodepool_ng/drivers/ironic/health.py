"""Which machines fail one deployment after the other.

Counted since this process began to look: a launcher that is started again gives every machine its chances anew.
"""

from collections.abc import Iterable, Mapping, Set

from nodepool_ng.drivers.ironic.machines import can_be_had
from nodepool_ng.drivers.ironic.wire import RawMachine
from nodepool_ng.model.ids import ServerId
from nodepool_ng.model.server import Server, ServerStatus


class Health:
    """How often in a row each machine failed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: dict[str, int] = {}
        self._counted: dict[ServerId, str] = {}
        """The failed servers that were counted, while they are listed."""

    @property
    def held(self) -> Set[str]:
        """Machines that failed as often as they may."""
        if self._most <= 0:
            return frozenset()
        return frozenset(machine for machine, count in self._failures.items() if count >= self._most)

    def saw(self, servers: Iterable[Server], machines: Mapping[str, RawMachine]) -> None:
        """Count servers that failed; a machine that works, or that an operator worked on, begins anew."""
        counted: dict[ServerId, str] = {}
        for server in servers:
            if server.host_id is None or server.node is None:
                continue
            if server.status is ServerStatus.ACTIVE:
                self._failures.pop(server.host_id, None)
            elif server.status is ServerStatus.FAILED and not server.deleting:
                counted[server.id] = server.host_id
                if server.id not in self._counted:
                    self._failures[server.host_id] = self._failures.get(server.host_id, 0) + 1
        self._counted = counted
        for machine in self.held:
            there = machines.get(machine)
            idle = there is not None and there.get("instance_uuid") is None and not can_be_had(there)
            if there is None or (idle and _in_hands(there)):
                del self._failures[machine]


def _in_hands(machine: RawMachine) -> bool:
    """Tell whether an operator has taken the machine."""
    return bool(machine.get("maintenance")) or machine.get("provision_state") in ("manageable", "enroll", "inspecting")
