"""Ironic's provision states: what each means for a machine of ours, and for who waits for one."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nodepool_ng.model.server import ServerStatus

AVAILABLE = "available"
ACTIVE = "active"
DEPLOY_FAILED = "deploy failed"
CLEAN_FAILED = "clean failed"
MANAGEABLE = "manageable"
ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a provision state says about a server of ours on the machine."""

    status: ServerStatus
    busy: bool = False
    """Ironic is at work and would refuse to undeploy the machine."""
    deleting: bool = False


_BUILDING, _OTHER, _FAILED = ServerStatus.BUILDING, ServerStatus.OTHER, ServerStatus.FAILED

MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        # Allocated, and waiting for us to go on.
        AVAILABLE: Meaning(status=_BUILDING),
        "deploying": Meaning(status=_BUILDING, busy=True),
        # The machine has booted Ironic's ramdisk; this is most of a deployment.
        "wait call-back": Meaning(status=_BUILDING),
        "deploy hold": Meaning(status=_BUILDING),
        ACTIVE: Meaning(status=ServerStatus.ACTIVE),
        DEPLOY_FAILED: Meaning(status=_FAILED),
        "deleting": Meaning(status=_OTHER, busy=True, deleting=True),
        # The end of a deployment failed; it may be asked for again.
        ERROR: Meaning(status=_FAILED, deleting=True),
        # An operator has booted a rescue system; the deployment is still there below.
        "rescue": Meaning(status=_OTHER),
        "rescuing": Meaning(status=_OTHER, busy=True),
        "rescue wait": Meaning(status=_OTHER),
        "rescue failed": Meaning(status=_OTHER),
        "unrescuing": Meaning(status=_OTHER, busy=True),
        "unrescue failed": Meaning(status=_OTHER),
        # An operator changes firmware or settings of a machine in use.
        "servicing": Meaning(status=_OTHER, busy=True),
        "service wait": Meaning(status=_OTHER, busy=True),
        "service hold": Meaning(status=_OTHER),
        "service failed": Meaning(status=_OTHER),
    }
)
ELSE = Meaning(status=_OTHER)

DEPLOYED = MEANINGS.keys() - {AVAILABLE}
"""States of machines that hold a deployment, or what is left of one."""
RETURNING = frozenset({"cleaning", "clean wait", "clean hold", "deleting"})
"""Machines that nobody can have at the moment, and that become available by themselves."""
NO_ROOM = (
    "no available nodes match",
    "none of the requested nodes are available",
    "no suitable nodes have the requested traits",
    "could not reserve any of",
    "all nodes were filtered out during reservation",
)
"""What Ironic says of an allocation that failed because there is no machine for it."""
OWN_FAULTS = frozenset({"clean failure", "rescue abort failure"})
"""Why Ironic itself puts a machine into maintenance and does not take it out again. A maintenance without a fault is an
operator's."""


def meaning(state: str) -> Meaning:
    """Return what a provision state means for a server of ours."""
    return MEANINGS.get(state, ELSE)


def says_no_machine(text: str) -> bool:
    """Tell whether an allocation failed because all machines are taken."""
    return any(words in text for words in NO_ROOM)
