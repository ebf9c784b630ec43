"""What Ironic and Neutron are sent, and the marks by which we know our own again."""

import uuid
from collections.abc import Mapping
from typing import Any

from nodepool_ng.drivers import (
    MARK_ATTEMPT,
    MARK_INSTALLATION,
    MARK_NODE,
    MARK_POOL,
    MARK_PROVIDER,
    Misconfigured,
    ServerOrder,
)
from nodepool_ng.drivers.openstack.bodies import marks_of
from nodepool_ng.model.ids import AttemptId, InstallationId, Json, ServerId
from nodepool_ng.model.settings import CloudImage, Machine

OURS = "nodepool_ng"
"""The one key of ours in a machine's `instance_info` and `extra`."""
MARK_ALLOCATION = "allocation"
RESCUES = "rescues"
RESCUING = "rescuing"
PORT_OWNER = "nodepool_ng:machine"
"""Neutron forbids a project to delete ports of its own whose owner is `baremetal:` something."""
MARKS = (MARK_PROVIDER, MARK_INSTALLATION, MARK_NODE, MARK_POOL, MARK_ATTEMPT)
_SPACE = uuid.UUID("3f0c5a52-3f1e-4b6e-8d35-8a2d4a8a3b6b")


def server_id(installation: InstallationId, attempt: AttemptId) -> ServerId:
    """Return the id of the allocation that an attempt makes. Asked for a second time, Ironic says that it is there."""
    return ServerId(str(uuid.uuid5(_SPACE, f"{installation}/{attempt}")))


def allocation_body(order: ServerOrder, server: ServerId, machine: Machine, candidates: list[str] | None) -> Json:
    """Return the body that asks for a machine. With `candidates` it has to be one of these."""
    body: dict[str, Json] = {
        "uuid": server,
        "name": f"{order.name}-{server[:8]}",
        "resource_class": machine.resource_class,
        "extra": {**order.properties, **marks_of(order.marks)},
    }
    if machine.traits:
        body["traits"] = list[Json](sorted(machine.traits))
    if candidates is not None:
        body["candidate_nodes"] = list(candidates)
    return body


def instance_patch(order: ServerOrder, server: ServerId, machine: Machine, image: Mapping[str, Json]) -> list[Json]:
    """Return the changes of a machine's record that tell what to deploy, and whose it is.

    Single keys are set, since Ironic has put the traits of the allocation there itself.
    """
    mark: dict[str, Json] = {MARK_ALLOCATION: server, **marks_of(order.marks)}
    told: dict[str, Json] = {**image, OURS: mark, "display_name": order.name}
    if machine.capabilities:
        told["capabilities"] = dict(machine.capabilities)
    if machine.root_device:
        told["root_device"] = dict(machine.root_device)
    if machine.root_gb is not None:
        told["root_gb"] = machine.root_gb
    patch: list[Json] = [{"op": "add", "path": f"/instance_info/{key}", "value": value} for key, value in told.items()]
    return [*patch, {"op": "add", "path": f"/extra/{OURS}", "value": mark}]


def image_told(image: str | None, cloud_image: CloudImage | None, found: str | None) -> dict[str, Json]:
    """Return the keys that name an image: an upload's id, a URL with its checksum, or what was found in Glance."""
    told: dict[str, Json] = {}
    if image is not None:
        return {"image_source": image}
    if cloud_image is None:
        raise Misconfigured("there is no image to deploy")
    source = cloud_image.source
    if source is not None:
        told["image_source"] = source.url
        if source.algorithm == "md5" or "://" in source.checksum:
            told["image_checksum"] = source.checksum
        else:
            told |= {"image_os_hash_algo": source.algorithm, "image_os_hash_value": source.checksum}
        if source.disk_format is not None:
            told["image_disk_format"] = source.disk_format
    elif found is not None:
        told["image_source"] = found
    else:
        raise Misconfigured(f"the cloud has no active image {cloud_image.name!r}")
    files = {"kernel": cloud_image.kernel, "ramdisk": cloud_image.ramdisk}
    return told | {key: value for key, value in files.items() if value is not None}


def config_drive(order: ServerOrder, server: ServerId, machine: Machine) -> dict[str, Json]:
    """Return what the machine finds on its config drive; Ironic makes the drive."""
    keys: dict[str, Json] = {f"key-{number}": key for number, key in enumerate(machine.public_keys)}
    meta: dict[str, Json] = {
        "uuid": server,
        "name": order.name,
        "hostname": order.name,
        "local-hostname": order.name,
        "meta": {**order.properties, **marks_of(order.marks)},
    }
    if keys:
        meta["public_keys"] = keys
    drive: dict[str, Json] = {"meta_data": meta}
    if order.label.userdata:
        drive["user_data"] = order.label.userdata
    if machine.network_data is not None:
        drive["network_data"] = dict(machine.network_data)
    return drive


def port_mark(installation: InstallationId | str) -> str:
    """Return how the descriptions of our ports begin."""
    return f"{OURS} {installation} machine "


def port_body(order: ServerOrder, server: ServerId, network: str) -> Json:
    """Return the body that makes a port for a machine, on a network given by its id."""
    port: Json = {
        "network_id": network,
        "name": order.name,
        "device_id": server,
        "device_owner": PORT_OWNER,
        "description": f"{port_mark(order.marks.installation)}{server}",
        "admin_state_up": True,
    }
    return {"port": port}


def marks_in(content: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return our marks out of an `extra` or `instance_info`, which hold whatever people put there."""
    found = (content or {}).get(OURS)
    return found if isinstance(found, Mapping) else {}
