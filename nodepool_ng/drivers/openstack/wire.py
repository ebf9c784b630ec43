"""The shapes of the JSON that Nova, Neutron, Glance and Cinder send, as far as we read it.

No key may be relied upon: clouds run many versions, and records of a Nova cell that is down carry next to nothing.
"""

from typing import TypedDict

RawAddress = TypedDict(
    "RawAddress",
    {"addr": str, "version": int, "OS-EXT-IPS:type": str, "OS-EXT-IPS-MAC:mac_addr": str},
    total=False,
)


class RawFlavor(TypedDict, total=False):
    """A flavor of the flavor list, or the one inside a server (without `id` since microversion 2.47)."""

    id: str
    name: str
    vcpus: int
    ram: int


class RawFault(TypedDict, total=False):
    message: str
    details: str


class RawId(TypedDict, total=False):
    id: str


class RawAttached(TypedDict, total=False):
    id: str
    delete_on_termination: bool


class RawLink(TypedDict, total=False):
    rel: str
    href: str


RawServer = TypedDict(
    "RawServer",
    {
        "id": str,
        "name": str,
        "status": str,
        "metadata": dict[str, str],
        "fault": RawFault,
        "addresses": dict[str, list[RawAddress]],
        "accessIPv4": str,
        "accessIPv6": str,
        "hostId": str,
        "created": str,
        "flavor": RawFlavor,
        "OS-EXT-AZ:availability_zone": str | None,
        "OS-EXT-STS:task_state": str | None,
        "os-extended-volumes:volumes_attached": list[RawAttached],
    },
    total=False,
)

RawNetwork = TypedDict(
    "RawNetwork",
    {"id": str, "name": str, "router:external": bool, "provider:physical_network": str | None},
    total=False,
)


class RawFixedIp(TypedDict, total=False):
    ip_address: str


class RawPort(TypedDict, total=False):
    id: str
    status: str
    device_id: str
    device_owner: str
    network_id: str
    description: str
    created_at: str
    fixed_ips: list[RawFixedIp]


class RawFloatingIp(TypedDict, total=False):
    id: str
    port_id: str | None
    floating_ip_address: str
    description: str


class RawZoneState(TypedDict, total=False):
    available: bool


class RawZone(TypedDict, total=False):
    zoneName: str
    zoneState: RawZoneState


class RawVolume(TypedDict, total=False):
    id: str
    size: int
    status: str
    created_at: str
    attachments: list[RawId]


class RawImage(TypedDict, total=False):
    """An image; what an uploader set as properties lies beside the fields of Glance's own."""

    id: str
    name: str
    status: str
    created_at: str
    size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    nodepool_provider_name: str
    nodepool_build_id: str
    nodepool_upload_id: str
    nodepool_ng_installation_id: str
