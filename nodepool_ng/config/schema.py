"""`nodepool.yaml` and the secure file as they are written, without their providers.

Field names are the keys with dashes for underscores. Defaults are those of Nodepool 11. What a key means is told by
`model.settings`, what its value may look like by `kinds`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nodepool_ng.config.address import ZOOKEEPER_PORT
from nodepool_ng.config.kinds import (
    Count,
    Entries,
    EnvVars,
    Flag,
    Limit,
    MaybeCount,
    MaybeFlag,
    MaybeText,
    MinReady,
    Port,
    Properties,
    Release,
    Section,
    Text,
    Texts,
    Timeout,
    Whole,
)


class Written(BaseModel):
    """A mapping of the file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-"), serialize_by_alias=True
    )


class WebApp(Written):
    port: Port = 8005
    listen_address: Text = Field("0.0.0.0", alias="listen_address")


class BuilderWebApp(Written):
    """Not there by default: two daemons on one host would ask for one port."""

    port: Port = 8006
    listen_address: Text = Field("0.0.0.0", alias="listen_address")


class History(Written):
    path: MaybeText = None
    days: Count = 14
    megabytes: Count = 256


class ZooKeeperServer(Written):
    host: Text
    port: Port = ZOOKEEPER_PORT
    chroot: Text = ""


class ZooKeeperTls(Written):
    cert: MaybeText = None
    key: MaybeText = None
    ca: MaybeText = None


class ZooKeeperAuth(Written):
    user: Text
    password: Text
    scheme: Text = "digest"
    protect: Text = "none"


class Label(Written):
    name: Text
    min_ready: MinReady = 0
    max_ready_age: Count = 0


class TenantLimits(Written):
    """Keys beyond the known ones are resources that the operator names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Limit]

    tenant_name: Text
    max_servers: Limit = None
    max_cores: Limit = None
    max_ram: Limit = None
    max_volumes: Limit = None
    max_volume_gb: Limit = None


class DiskImage(Written):
    """None, empty and zero values leave what the parent says."""

    name: Text
    abstract: Flag = False
    parent: MaybeText = None
    elements: Texts = ()
    env_vars: EnvVars = Field(default_factory=dict)
    formats: Texts = ()
    keep_formats: Texts = ()
    delete_after_upload: MaybeFlag = None
    release: Release = ""
    rebuild_age: MaybeCount = None
    build_timeout: MaybeCount = None
    build_memory: MaybeCount = None
    build_processes: MaybeCount = None
    dib_cmd: MaybeText = None
    pause: Flag = False
    username: MaybeText = None
    python_path: MaybeText = None
    shell_type: MaybeText = None
    gate: MaybeFlag = None
    check: MaybeText = None
    metadata: Properties = Field(default_factory=dict)


class Main(Written):
    """The whole main file. Providers stay as they are until their driver is known."""

    webapp: Section[WebApp] = Field(default_factory=lambda: WebApp.model_validate({}))
    builder_webapp: Section[BuilderWebApp | None] = None
    history: Section[History] = Field(default_factory=lambda: History.model_validate({}))
    elements_dir: MaybeText = None
    images_dir: MaybeText = None
    build_log_dir: Text = "/var/log/nodepool/builds"
    build_log_retention: Whole = 7
    zookeeper_servers: Entries[ZooKeeperServer] = ()
    zookeeper_tls: Section[ZooKeeperTls | None] = None
    zookeeper_auth: Section[ZooKeeperAuth | None] = None
    zookeeper_timeout: Timeout = 10.0
    labels: Entries[Label] = ()
    max_hold_age: Whole = 0
    diskimages: Entries[DiskImage] = ()
    providers: Entries[dict[str, Any]] = ()
    tenant_resource_limits: Entries[TenantLimits] = ()


class SecureImage(Written):
    name: Text
    env_vars: EnvVars


class Secure(Written):
    """What the secure file may override; its other keys are not read."""

    zookeeper_servers: Entries[ZooKeeperServer] = ()
    zookeeper_tls: Section[ZooKeeperTls | None] = None
    zookeeper_auth: Section[ZooKeeperAuth | None] = None
    diskimages: Entries[SecureImage] = ()
