"""What is written about a node: as it is before the first server is asked for, and once it is up."""

from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.gate import CANARY
from nodepool_ng.model.ids import NodeId, PoolName, ProviderName
from nodepool_ng.model.lifecycle import NodeEvent, NodeState
from nodepool_ng.model.node import NO_EXTRA, Node, moved
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import Server
from nodepool_ng.zk import paths


def fresh_node(
    world: World,
    provider: ProviderName,
    pool: PoolName,
    launch: do.Launch,
    request: NodeRequest | None,
    canary: str | None = None,
) -> Node:
    """Return the record of a node that is to be launched, as it is before the first server is asked for. `canary` is
    the path of the upload that it has to prove."""
    settings = world.settings.providers[provider]
    label = settings.pools[pool].labels[launch.label]
    image: dict[str, object]
    if label.diskimage is not None:
        upload = world.upload_at(canary) if canary else world.uploads.get((label.diskimage, provider))
        configured = settings.images.get(label.diskimage)
        image = {
            "image_id": paths.upload(upload.image, upload.build, upload.provider, upload.id) if upload else None,
            "username": upload.username if upload else None,
            "python_path": upload.python_path if upload else None,
            "shell_type": upload.shell_type if upload else None,
            "connection_type": configured.connection_type if configured else "ssh",
            "connection_port": configured.connection_port if configured else 22,
        }
    elif label.backing is not None:
        image = {}  # the backing node tells, once there is one
    else:
        cloud_image = settings.cloud_images[label.cloud_image or ""]
        image = {
            "image_id": cloud_image.name,
            "username": cloud_image.username,
            "python_path": cloud_image.python_path,
            "shell_type": cloud_image.shell_type,
            "connection_type": cloud_image.connection_type,
            "connection_port": cloud_image.connection_port,
        }
    attributes = settings.pools[pool].node_attributes
    return Node(
        id=NodeId(""),
        state=NodeState.INIT,
        state_time=world.now,
        created_time=world.now,
        provider=provider,
        pool=pool,
        labels=(launch.label,),
        launcher=world.pool_ids.get((provider, pool)),
        allocated_to=request.id if request else None,
        tenant_name=request.tenant_name if request else None,
        requestor=request.requestor if request else None,
        resources=launch.needs,
        az=launch.zone,
        attributes=dict(attributes) if attributes is not None else None,
        attempt=world.attempts.new(world.now),
        attempts=1,
        comment=f"canary of image {label.diskimage}" if canary else None,
        extra={CANARY: canary} if canary else NO_EXTRA,
        **image,  # type: ignore[arg-type]
    )


def booted(world: World, node: Node, server: Server, host_keys: tuple[str, ...], **changes: object) -> Node:
    """Return the record of a node that is up."""
    provider = world.settings.providers.get(node.provider) if node.provider else None
    addresses = server.addresses
    has_cloud = provider is not None and provider.has_cloud
    return moved(
        node,
        NodeEvent.BOOTED,
        world.now,
        external_id=server.id,
        interface_ip=addresses.interface_ip,
        public_ipv4=addresses.public_ipv4,
        private_ipv4=addresses.private_ipv4,
        public_ipv6=addresses.public_ipv6,
        host_id=server.host_id,
        az=server.az or node.az,
        cloud=provider.cloud if has_cloud and provider else node.cloud,
        region=provider.region_name if has_cloud and provider else node.region,
        host_keys=host_keys or node.host_keys,
        **changes,
    )
