"""What Nova and Glance are sent when something is created."""

import json
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType

from nodepool_ng.drivers import (
    MARK_ATTEMPT,
    MARK_BUILD,
    MARK_INSTALLATION,
    MARK_NODE,
    MARK_POOL,
    MARK_PROVIDER,
    MARK_UPLOAD,
    ImageOrder,
    Marks,
    ServerOrder,
)
from nodepool_ng.model.ids import Json

LONGEST_METADATA = 255  # characters; Nova refuses longer values

IMAGE_NUMBERS = frozenset({"min_disk", "min_ram", "size"})
IMAGE_SWITCHES = frozenset({"protected", "os_hidden"})
"""Fields of Glance's own that an operator may set among the properties; everything else must be a string."""


def marks_of(marks: Marks) -> dict[str, str]:
    """Return the marks as metadata."""
    named = {
        MARK_PROVIDER: marks.provider,
        MARK_INSTALLATION: marks.installation,
        MARK_NODE: marks.node,
        MARK_POOL: marks.pool,
        MARK_ATTEMPT: marks.attempt,
        MARK_BUILD: marks.build,
        MARK_UPLOAD: marks.upload,
    }
    return {name: str(value) for name, value in named.items() if value is not None}


def server_body(order: ServerOrder, *, flavor: str, image: str, networks: list[str] | None, auto: bool) -> Json:
    """Return the body of the call that creates a server.

    `flavor`, `image` and `networks` are ids. Without networks Nova chooses; `auto` says that it must be told to.
    Only what is set is sent, so that everything else is the cloud's default.
    """
    label = order.label
    groups = f"{order.marks.provider},{label.diskimage or label.cloud_image},{label.name}"
    metadata: dict[str, Json] = {"groups": groups[:LONGEST_METADATA], **order.properties, **marks_of(order.marks)}
    server: dict[str, Json] = {
        "name": order.name,
        "flavorRef": flavor,
        "metadata": metadata,
        "min_count": 1,
        "max_count": 1,
    }
    if label.boot_from_volume:
        server["block_device_mapping_v2"] = [
            {
                "boot_index": 0,
                "uuid": image,
                "source_type": "image",
                "destination_type": "volume",
                "volume_size": label.volume_size,
                "delete_on_termination": True,
            }
        ]
    else:
        server["imageRef"] = image
    if networks:
        server["networks"] = [{"uuid": network} for network in networks]
    elif auto:
        server["networks"] = "auto"
    optional: dict[str, Json] = {
        "security_groups": [{"name": name} for name in order.pool.security_groups],
        "key_name": label.key_name,
        "config_drive": order.config_drive,
        "user_data": b64encode(label.userdata.encode()).decode() if label.userdata else None,
        "availability_zone": order.zone,
    }
    server.update({key: value for key, value in optional.items() if value})
    return {"server": server}


def image_body(order: ImageOrder, vendor_properties: Mapping[str, str] = MappingProxyType({})) -> Json:
    """Return the body of the call that creates an image, before its data are sent."""
    properties: dict[str, Json] = {
        **vendor_properties,
        "owner_specified.openstack.md5": order.md5 or "",
        "owner_specified.openstack.sha256": order.sha256 or "",
        "owner_specified.openstack.object": f"images/{order.name}",
        **order.properties,
        **marks_of(order.marks),
    }
    return {
        "visibility": "private",
        **{name: _property(name, value) for name, value in properties.items() if value is not None},
        "name": order.name,
        "disk_format": order.format,
        "container_format": "bare",
    }


def _property(name: str, value: Json) -> Json:
    if name in IMAGE_NUMBERS and isinstance(value, str | int | float):
        return int(value)
    if name in IMAGE_SWITCHES and isinstance(value, str):
        return value.strip().lower() in ("true", "yes", "on", "1")
    if name in IMAGE_SWITCHES:
        return bool(value)
    return json.dumps(value) if isinstance(value, list | dict) else str(value)
