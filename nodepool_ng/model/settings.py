"""The configuration as values: what `config/` makes of the YAML files and everybody else reads.

Durations are seconds, memory is MiB, volumes are GB. An infinite limit is an absent one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

from nodepool_ng.model.ids import ImageName, Json, LabelName, PoolName, ProviderName, Seconds, TenantName
from nodepool_ng.model.quota import NONE, Resources

DEFAULT_PRIORITY = 100
STATIC = "static"
"""The driver whose machines are there already."""
METASTATIC = "metastatic"
"""The driver whose nodes are slots of other providers' nodes."""


def _nothing() -> Mapping[Any, Any]:
    """A fresh empty mapping; Python 3.11 takes no mapping proxy as a default."""
    return MappingProxyType({})


class AuthScheme(StrEnum):
    """How a client says to ZooKeeper who it is."""

    DIGEST = "digest"
    SASL = "sasl"
    """The mechanism DIGEST-MD5: the password itself is not sent."""


class Protect(StrEnum):
    """Which records are created for nobody but those who authenticated as we did."""

    NONE = "none"
    OWN = "own"
    """What no CI system touches: images, and all below `/nodepool_ng`."""
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooKeeperAuth:
    """Who we are to ZooKeeper. The password is in no representation."""

    user: str
    password: str = field(repr=False)
    scheme: AuthScheme = AuthScheme.DIGEST
    protect: Protect = Protect.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooKeeperSettings:
    """How to reach ZooKeeper. `hosts` are `host:port` (IPv6 in brackets); `chroot` is "" or starts with a slash."""

    hosts: tuple[str, ...]
    chroot: str = ""
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_ca: str | None = None
    auth: ZooKeeperAuth | None = None
    session_timeout: Seconds = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    port: int = 8005
    listen_address: str = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """Where launchers keep what happened, for how long, and how large that may become at most."""

    path: str | None = None
    days: float = 14
    megabytes: float = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """An entry of a timetable: from when on so many nodes are to be ready, until the next entry's time comes. `cron` is
    a line of a crontab without the command, in the time zone of the launcher's machine."""

    cron: str
    min_ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    name: LabelName
    min_ready: int = 0
    """The number in force; with a timetable, whoever looks at the clock puts it here."""
    timetable: tuple[Shift, ...] = ()
    max_ready_age: Seconds = 0
    """0: never too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskImage:
    """A configured image, its parents already merged in. `formats` are those it names itself; what providers
    need comes on top (see `formats_needed` of `Settings`)."""

    name: ImageName
    elements: tuple[str, ...] = ()
    env_vars: Mapping[str, str] = field(default_factory=_nothing, repr=False)
    """May come from the secure file, so it is not shown in a repr."""
    formats: frozenset[str] = frozenset()
    keep_formats: frozenset[str] = frozenset()
    delete_after_upload: bool = False
    release: str = ""
    rebuild_age: Seconds = 86400
    build_timeout: Seconds = 28800
    build_memory: int = 0
    """MiB that a build may use; 0: no limit."""
    build_processes: int = 0
    dib_cmd: str = "disk-image-create"
    pause: bool = False
    username: str = "zuul"
    python_path: str = "auto"
    shell_type: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=_nothing)
    gate: bool = False
    """A new upload comes into service only once a canary has come up from it."""
    check: str | None = None
    """A command that a canary has to pass, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderImage:
    """A disk image as one provider uses it; `format` is what its cloud takes."""

    name: ImageName
    format: str = "qcow2"
    pause: bool = False
    config_drive: bool | None = None
    meta: Mapping[str, Json] = field(default_factory=_nothing)
    connection_type: str = "ssh"
    connection_port: int = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudImage:
    """An image that is in the cloud already, found by `image_id`, or else by `image_name`, or else by `name`."""

    name: str
    image_id: str | None = None
    image_name: str | None = None
    config_drive: bool | None = None
    username: str | None = None
    python_path: str = "auto"
    shell_type: str | None = None
    connection_type: str = "ssh"
    connection_port: int = 22
    source: "ImageSource | None" = None
    """Set where a machine fetches it by itself."""
    kernel: str | None = None
    ramdisk: str | None = None
    """Glance ids or URLs; only for images of a single partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Where an image is that no Glance keeps. The checksum is a hex digest, or the URL of a file of them."""

    url: str
    checksum: str
    algorithm: str = "sha256"
    disk_format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Which machines a label takes, and how they are deployed."""

    resource_class: str
    traits: frozenset[str] = frozenset()
    """All of which a machine must have."""
    owner: str | None = None
    lessee: str | None = None
    """Projects, by id; None: whosever it is."""
    capabilities: Mapping[str, str] = field(default_factory=_nothing)
    root_device: Mapping[str, Json] = field(default_factory=_nothing)
    """Hints at the disk to deploy to, as Ironic wants them."""
    root_gb: int | None = None
    public_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys for the config drive, as lines of an authorized_keys file."""
    network_data: Mapping[str, Json] | None = None
    """The network, for the config drive; None: what Ironic knows of it."""
    address: str = "name"
    """Where a machine has its address when no network of Neutron is named: a path into Ironic's record of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """How the nodes of a label are cut out of bigger ones: so many `slots` of a node with another `label`."""

    label: LabelName
    slots: int = 1
    grace_time: Seconds = 60
    """How long a backing node is kept although none of its slots is used."""
    min_retention_time: Seconds = 0
    """How old it gets at least."""
    max_age: Seconds | None = None
    """How old it may be for new slots. None: any age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLabel:
    """A label as one pool makes it; where servers are made, exactly one of `diskimage` and `cloud_image` is set."""

    name: LabelName
    diskimage: ImageName | None = None
    cloud_image: str | None = None
    min_ram: int = 0
    flavor_name: str | None = None
    key_name: str | None = None
    console_log: bool = False
    boot_from_volume: bool = False
    volume_size: int = 50
    instance_properties: Mapping[str, Json] = field(default_factory=_nothing)
    dynamic_instance_properties: Mapping[str, Json] = field(default_factory=_nothing)
    userdata: str | None = field(default=None, repr=False)
    networks: tuple[str, ...] = ()
    host_key_checking: bool = True
    backing: Backing | None = None
    """Set where nodes are slots of other nodes."""
    machine: Machine | None = None
    """Set where nodes are whole machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticHost:
    """A machine that is there already, and how jobs reach it. Name, user and port together tell it from all others
    of its provider."""

    name: str
    labels: tuple[LabelName, ...]
    username: str = "zuul"
    connection_port: int = 22
    connection_type: str = "ssh"
    host_keys: tuple[str, ...] = ()
    """Keys that it must have, as `<type> <base64>`; without any, whatever it shows is taken."""
    host_key_checking: bool = True
    timeout: Seconds = 5
    """How long it may take to answer when it is looked at."""
    shell_type: str | None = None
    python_path: str = "auto"
    slots: int = 1
    """How many jobs may run on it at the same time; each slot is a node."""

    @property
    def key(self) -> "HostKey":
        return self.name, self.username, self.connection_port


HostKey: TypeAlias = tuple[str, str, int]
"""Name, user and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    name: PoolName
    provider: ProviderName
    labels: Mapping[LabelName, PoolLabel]
    priority: int = DEFAULT_PRIORITY
    limits: Resources = NONE
    """`max-servers`, `max-cores`, `max-ram`, `max-volumes`, `max-volume-gb` under their resource names."""
    ignore_provider_quota: bool = False
    availability_zones: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    auto_floating_ip: bool = True
    node_attributes: Mapping[str, Json] | None = None
    hosts: tuple[StaticHost, ...] | None = None
    """The machines of a static provider's pool: nothing is launched there. None: the pool has a cloud."""

    @property
    def key(self) -> tuple[ProviderName, PoolName]:
        """What names the pool in the whole installation."""
        return self.provider, self.name

    @property
    def disabled(self) -> bool:
        """`max-servers: 0` takes a pool out of service: it declines everything."""
        return self.limits.get("instances", 1) <= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider entry. `max_concurrency` limits launches under way: negative for none, 0 for out of service."""

    name: ProviderName
    driver: str = "openstack"
    cloud: str = ""
    region_name: str | None = None
    boot_timeout: Seconds = 60
    launch_timeout: Seconds = 3600
    launch_retries: int = 3
    """Attempts, the first one included; at least 1."""
    max_concurrency: int = -1
    rate: float | None = None
    """Calls a second, only where the operator set it; otherwise no limit of ours."""
    image_upload_timeout: Seconds = 3600
    image_name_format: str = "{image_name}-{timestamp}"
    clean_floating_ips: bool = False
    port_cleanup_interval: Seconds = 600
    post_upload_hook: str | None = None
    machine_retries: int = 3
    """How often a machine may fail in a row before an operator has to look at it."""
    list_interval: Seconds = 0
    """How often machines are listed at most while something is expected of them."""
    images: Mapping[ImageName, ProviderImage] = field(default_factory=_nothing)
    cloud_images: Mapping[str, CloudImage] = field(default_factory=_nothing)
    pools: Mapping[PoolName, Pool] = field(default_factory=_nothing)

    @property
    def has_cloud(self) -> bool:
        """Tell whether servers, images and quota are asked of a cloud."""
        return self.driver not in (STATIC, METASTATIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of `nodepool.yaml`, with the secure file merged in."""

    zookeeper: ZooKeeperSettings | None = None
    web: WebSettings = WebSettings()
    builder_web: WebSettings | None = None
    """Where builders serve their numbers; None: nowhere."""
    history: HistorySettings = HistorySettings()
    elements_dir: str | None = None
    images_dir: str | None = None
    build_log_dir: str = "/var/log/nodepool/builds"
    build_log_retention: int = 7
    """Logs kept for each image, at least 1; negative: all."""
    max_hold_age: Seconds = 0
    """0: for ever."""
    labels: Mapping[LabelName, Label] = field(default_factory=_nothing)
    diskimages: Mapping[ImageName, DiskImage] = field(default_factory=_nothing)
    providers: Mapping[ProviderName, Provider] = field(default_factory=_nothing)
    tenant_limits: Mapping[TenantName, Resources] = field(default_factory=_nothing)


def formats_needed(settings: Settings, image: ImageName) -> frozenset[str]:
    """Return the formats that a build of `image` must have: its own and those of the providers that list it."""
    configured = settings.diskimages.get(image)
    own = configured.formats if configured else frozenset[str]()
    return own | {p.images[image].format for p in settings.providers.values() if image in p.images}
