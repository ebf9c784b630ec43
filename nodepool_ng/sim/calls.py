"""The calls a region answers, and the fates a call may meet.

Both are vocabulary: latencies, counters and fault scripts name calls by these values.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Call(StrEnum):
    """One kind of request to a region; the value is what configuration and counters say."""

    SERVER_CREATE = "server.create"
    SERVER_LIST = "server.list"
    SERVER_GET = "server.get"
    SERVER_UPDATE = "server.update"
    SERVER_DELETE = "server.delete"
    SERVER_CONSOLE = "server.console"
    FLAVOR_LIST = "flavor.list"
    FLAVOR_GET = "flavor.get"
    ZONE_LIST = "zone.list"
    LIMITS_GET = "limits.get"
    KEYPAIR_LIST = "keypair.list"
    KEYPAIR_GET = "keypair.get"
    KEYPAIR_CREATE = "keypair.create"
    KEYPAIR_DELETE = "keypair.delete"
    NETWORK_LIST = "network.list"
    NETWORK_GET = "network.get"
    SUBNET_LIST = "subnet.list"
    PORT_LIST = "port.list"
    PORT_GET = "port.get"
    PORT_CREATE = "port.create"
    PORT_UPDATE = "port.update"
    PORT_DELETE = "port.delete"
    FLOATING_LIST = "floating.list"
    FLOATING_GET = "floating.get"
    FLOATING_CREATE = "floating.create"
    FLOATING_UPDATE = "floating.update"
    FLOATING_DELETE = "floating.delete"
    GROUP_LIST = "group.list"
    GROUP_GET = "group.get"
    GROUP_CREATE = "group.create"
    GROUP_DELETE = "group.delete"
    ROUTER_LIST = "router.list"
    EXTENSION_LIST = "extension.list"
    NETWORK_QUOTA_GET = "network-quota.get"
    IMAGE_LIST = "image.list"
    IMAGE_GET = "image.get"
    IMAGE_CREATE = "image.create"
    IMAGE_UPLOAD = "image.upload"
    IMAGE_UPDATE = "image.update"
    IMAGE_DELETE = "image.delete"
    IMAGE_IMPORT_INFO = "image.import-info"
    VOLUME_LIST = "volume.list"
    VOLUME_GET = "volume.get"
    VOLUME_DELETE = "volume.delete"
    VOLUME_LIMITS_GET = "volume-limits.get"
    MACHINE_LIST = "machine.list"
    MACHINE_GET = "machine.get"
    MACHINE_CREATE = "machine.create"
    MACHINE_UPDATE = "machine.update"
    MACHINE_DELETE = "machine.delete"
    MACHINE_PROVISION = "machine.provision"
    MACHINE_DEPLOY = "machine.deploy"
    MACHINE_UNDEPLOY = "machine.undeploy"
    MACHINE_PROVIDE = "machine.provide"
    MACHINE_MANAGE = "machine.manage"
    MACHINE_POWER = "machine.power"
    MACHINE_MAINTENANCE = "machine.maintenance"
    MACHINE_HISTORY = "machine.history"
    VIF_LIST = "vif.list"
    VIF_ATTACH = "vif.attach"
    VIF_DETACH = "vif.detach"
    ALLOCATION_LIST = "allocation.list"
    ALLOCATION_GET = "allocation.get"
    ALLOCATION_CREATE = "allocation.create"
    ALLOCATION_DELETE = "allocation.delete"


class Fate(StrEnum):
    """What goes wrong with one call."""

    REFUSED = "refused"
    """Nothing happens, the answer is an error."""
    ANSWER_LOST = "answer-lost"
    """The effect happens, and the answer says it did not."""
    SLOW = "slow"
    """The answer takes the fault's seconds longer."""
    ERROR = "error"
    """The new server goes to ERROR instead of ACTIVE; a machine fails to do what it was told."""
    STUCK = "stuck"
    """What was begun never ends: the server stays in BUILD, or the deletion is never done."""
    NO_ADDRESS = "no-address"
    """The new server becomes ACTIVE without any address."""
    TWICE = "twice"
    """Two servers are created, the answer names one."""
    MUTE = "mute"
    """The new server becomes ACTIVE, but nothing answers on its SSH port."""
    PORT_LEFT = "port-left"
    VOLUME_LEFT = "volume-left"
    UNCLEAN = "unclean"
    """The machine is undeployed, and then fails to clean."""
    """The deleted server's port stays behind."""


OF_ANY_CALL = frozenset({Fate.REFUSED, Fate.ANSWER_LOST, Fate.SLOW})
FATES: Mapping[Call, frozenset[Fate]] = MappingProxyType(
    {
        Call.SERVER_CREATE: OF_ANY_CALL | {Fate.ERROR, Fate.STUCK, Fate.NO_ADDRESS, Fate.TWICE, Fate.MUTE},
        Call.SERVER_DELETE: OF_ANY_CALL | {Fate.STUCK, Fate.PORT_LEFT, Fate.VOLUME_LEFT},
        Call.IMAGE_UPLOAD: OF_ANY_CALL | {Fate.STUCK},
        Call.ALLOCATION_CREATE: OF_ANY_CALL | {Fate.ERROR, Fate.STUCK},
        Call.MACHINE_DEPLOY: OF_ANY_CALL | {Fate.ERROR, Fate.STUCK},
        Call.MACHINE_UNDEPLOY: OF_ANY_CALL | {Fate.ERROR, Fate.STUCK, Fate.UNCLEAN},
        Call.MACHINE_PROVIDE: OF_ANY_CALL | {Fate.ERROR, Fate.STUCK},
    }
)


def fates_of(call: Call) -> frozenset[Fate]:
    """Return the fates that make sense for a call."""
    return FATES.get(call, OF_ANY_CALL)
