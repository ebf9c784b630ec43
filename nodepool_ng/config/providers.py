"""Providers as they are written, one model for each driver.

`DRIVERS` is the list of drivers whose configuration this version understands.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field

from nodepool_ng.config.kinds import (
    Count,
    Entries,
    Flag,
    ImageNameFormat,
    Limit,
    Listed,
    MaybeCount,
    MaybeFlag,
    MaybePort,
    MaybeProperties,
    MaybeText,
    MaybeTexts,
    MaybeWhole,
    OneOrMore,
    Properties,
    Rate,
    Servers,
    SureCount,
    SurePort,
    Text,
    Texts,
    Whole,
    Words,
)
from nodepool_ng.config.schema import Written


class Provider(Written):
    """What every driver's providers have."""

    name: Text
    driver: Text = "openstack"
    max_concurrency: Whole = -1
    priority: MaybeWhole = None


class Pool(Written):
    """What every driver's pools have."""

    name: Text
    max_servers: Servers = None
    node_attributes: MaybeProperties = None
    priority: MaybeWhole = None


class ProviderImage(Written):
    name: Text
    pause: Flag = False
    config_drive: MaybeFlag = None
    meta: Properties = Field(default_factory=dict)
    connection_type: Text = "ssh"
    connection_port: MaybePort = None


class CloudImage(Written):
    name: Text
    image_id: MaybeText = None
    image_name: MaybeText = None
    config_drive: MaybeFlag = None
    username: MaybeText = None
    python_path: Text = "auto"
    shell_type: MaybeText = None
    connection_type: Text = "ssh"
    connection_port: MaybePort = None


class PoolLabel(Written):
    name: Text
    diskimage: MaybeText = None
    cloud_image: MaybeText = None
    min_ram: MaybeCount = None
    flavor_name: MaybeText = None
    key_name: MaybeText = None
    console_log: Flag = False
    boot_from_volume: Flag = False
    volume_size: Count = 50
    instance_properties: Properties = Field(default_factory=dict)
    dynamic_instance_properties: Properties = Field(default_factory=dict)
    userdata: MaybeText = None
    networks: MaybeTexts = None
    host_key_checking: MaybeFlag = None


class OpenStackPool(Pool):
    max_cores: Limit = None
    max_ram: Limit = None
    max_volumes: Limit = None
    max_volume_gb: Limit = None
    ignore_provider_quota: Flag = False
    availability_zones: Texts = ()
    networks: Texts = ()
    security_groups: Texts = ()
    auto_floating_ip: Flag = True
    host_key_checking: Flag = True
    labels: Entries[PoolLabel] = ()


class OpenStackProvider(Provider):
    cloud: Text = ""
    region_name: MaybeText = None
    boot_timeout: Count = 60
    launch_timeout: Count = 3600
    launch_retries: Count = 3
    image_upload_timeout: Count = 3600
    rate: Rate = None
    image_name_format: ImageNameFormat = "{image_name}-{timestamp}"
    clean_floating_ips: Flag = False
    port_cleanup_interval: Count = 600
    post_upload_hook: MaybeText = None
    nodepool_id: MaybeText = None
    hostname_format: MaybeText = None
    diskimages: Listed[ProviderImage] = ()
    cloud_images: Listed[CloudImage] = ()
    pools: Listed[OpenStackPool] = ()


class StaticNode(Written):
    name: Text
    labels: Words
    username: Text = "zuul"
    connection_port: SurePort = None
    ssh_port: SurePort = None
    connection_type: Text = "ssh"
    host_key: OneOrMore = ()
    host_key_checking: Flag = True
    timeout: SureCount = 5
    shell_type: MaybeText = None
    python_path: Text = "auto"
    max_parallel_jobs: SureCount = 1


class StaticPool(Pool):
    nodes: Entries[StaticNode] = ()


class StaticProvider(Provider):
    pools: Listed[StaticPool] = ()


class MetastaticLabel(Written):
    name: Text
    backing_label: Text
    max_parallel_jobs: Count = 1
    grace_time: Count = 60
    min_retention_time: Count = 0
    max_age: MaybeCount = None
    host_key_checking: MaybeFlag = None


class MetastaticPool(Pool):
    host_key_checking: Flag = False
    labels: Entries[MetastaticLabel] = ()


class MetastaticProvider(Provider):
    boot_timeout: Count = 120
    launch_timeout: Count = 3600
    launch_retries: Count = 3
    pools: Listed[MetastaticPool] = ()


class BareMetalImage(CloudImage):
    """With `image_url` machines fetch the image by themselves, and no Glance is needed."""

    image_url: MaybeText = None
    checksum: MaybeText = None
    checksum_algorithm: Text = "sha256"
    disk_format: MaybeText = None
    kernel: MaybeText = None
    ramdisk: MaybeText = None


class MachineLabel(Written):
    name: Text
    diskimage: MaybeText = None
    cloud_image: MaybeText = None
    resource_class: MaybeText = None
    traits: Texts = ()
    capabilities: Properties = Field(default_factory=dict)
    root_device: Properties = Field(default_factory=dict)
    root_gb: MaybeCount = None
    public_keys: Texts = ()
    network_data: MaybeProperties = None
    console_log: Flag = True
    instance_properties: Properties = Field(default_factory=dict)
    dynamic_instance_properties: Properties = Field(default_factory=dict)
    userdata: MaybeText = None
    networks: MaybeTexts = None
    host_key_checking: MaybeFlag = None


class MachinePool(Pool):
    resource_class: MaybeText = None
    traits: Texts = ()
    owner: MaybeText = None
    lessee: MaybeText = None
    address: Text = "name"
    public_keys: Texts = ()
    networks: Texts = ()
    host_key_checking: Flag = True
    labels: Entries[MachineLabel] = ()


class IronicProvider(Provider):
    cloud: Text = ""
    region_name: MaybeText = None
    boot_timeout: Count = 600
    launch_timeout: Count = 7200
    launch_retries: Count = 3
    machine_retries: Count = 3
    list_interval: Count = 5
    image_upload_timeout: Count = 3600
    rate: Rate = None
    image_name_format: ImageNameFormat = "{image_name}-{timestamp}"
    cleanup_interval: Count = 60
    post_upload_hook: MaybeText = None
    diskimages: Listed[ProviderImage] = ()
    cloud_images: Listed[BareMetalImage] = ()
    pools: Listed[MachinePool] = ()


OPENSTACK = "openstack"
IRONIC = "ironic"
STATIC = "static"
METASTATIC = "metastatic"
FAKE = "fake"
"""Nodepool 11's own tests call their OpenStack so; in test mode it is one."""

DRIVERS: Mapping[str, type[Provider]] = MappingProxyType(
    {OPENSTACK: OpenStackProvider, STATIC: StaticProvider, METASTATIC: MetastaticProvider, IRONIC: IronicProvider}
)
"""Here and in `build.BUILT` a driver is added."""
