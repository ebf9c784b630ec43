"""Where everything is in the tree, both ways: names to paths, and a path to the typed place it means.

The tree below `/nodepool` is the contract with Zuul, Nodepool 11 and the Jenkins plugin and may not change.
What is ours alone lies below `/nodepool_ng`; there, names are percent-quoted, since a provider may be called anything.
All paths are relative to the chroot.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias, TypeGuard
from urllib.parse import quote, unquote

from nodepool_ng.model.cordon import CordonKind
from nodepool_ng.model.ids import BuildId, ImageName, NodeId, PoolName, ProviderName, RequestId, UploadId

ROOT = "/nodepool"
NODES = "/nodepool/nodes"
REQUESTS = "/nodepool/requests"
REQUEST_LOCKS = "/nodepool/requests-lock"
IMAGES = "/nodepool/images"
COMPONENTS = "/nodepool/components"
ELECTIONS = "/nodepool/elections"
STATS_ELECTION = "/nodepool/elections/stats"

OURS = "/nodepool_ng"
INSTALLATION = "/nodepool_ng/installation"
LEASES = "/nodepool_ng/leases"
POOL_LEASES = "/nodepool_ng/pool-leases"
CONFIRMED = "/nodepool_ng/confirmed"
FREEZES = "/nodepool_ng/freeze"
CORDONS = "/nodepool_ng/cordons"
AUDIT = "/nodepool_ng/audit"
"""What operators did, the newest thousand of it. The mirror does not read it."""
FACTS = "/nodepool_ng/facts"
"""What launchers tell about themselves. The mirror does not read it: it is written every few seconds, for people."""
BUILDER_FACTS = "/nodepool_ng/builder-facts"
"""What builders tell about their work. The mirror does not read this and the next one either."""
SHEETS = "/nodepool_ng/build-sheets"
"""What is known of a build beside its record: what went into it, how it went, and the end of its log."""
CANCELS = "/nodepool_ng/cancel"
CANARIES = "/nodepool_ng/canaries"
"""What canaries have shown, the evidence included. The mirror does not read it."""
ALL = "all"
"""Stands for every provider, where an order is about providers."""

NEW_NODE = "/nodepool/nodes/"
"""To be created with a sequence: ZooKeeper completes it to a node's path."""


def node(id: NodeId) -> str:
    return f"{NODES}/{id}"


def node_lock(id: NodeId) -> str:
    return f"{NODES}/{id}/lock"


def request(id: RequestId) -> str:
    return f"{REQUESTS}/{id}"


def new_request(priority: str) -> str:
    """To be created with a sequence."""
    return f"{REQUESTS}/{priority}-"


def request_lock(id: RequestId) -> str:
    return f"{REQUEST_LOCKS}/{id}"


def image(name: ImageName) -> str:
    return f"{IMAGES}/{name}"


def paused(name: ImageName) -> str:
    return f"{IMAGES}/{name}/pause"


def build_requested(name: ImageName) -> str:
    return f"{IMAGES}/{name}/request-build"


def builds(name: ImageName) -> str:
    return f"{IMAGES}/{name}/builds"


def builds_lock(name: ImageName) -> str:
    """Held by the builder that is building this image."""
    return f"{IMAGES}/{name}/builds/lock"


def build(name: ImageName, id: BuildId) -> str:
    return f"{IMAGES}/{name}/builds/{id}"


def build_lock(name: ImageName, id: BuildId) -> str:
    return f"{IMAGES}/{name}/builds/{id}/lock"


def build_providers(name: ImageName, id: BuildId) -> str:
    return f"{IMAGES}/{name}/builds/{id}/providers"


def provider_of_build(name: ImageName, id: BuildId, provider: ProviderName) -> str:
    return f"{IMAGES}/{name}/builds/{id}/providers/{provider}"


def uploads(name: ImageName, id: BuildId, provider: ProviderName) -> str:
    return f"{IMAGES}/{name}/builds/{id}/providers/{provider}/images"


def uploads_lock(name: ImageName, id: BuildId, provider: ProviderName) -> str:
    """Held by the builder that is uploading this build into this provider."""
    return f"{IMAGES}/{name}/builds/{id}/providers/{provider}/images/lock"


def new_upload(name: ImageName, id: BuildId, provider: ProviderName) -> str:
    """To be created with a sequence."""
    return f"{IMAGES}/{name}/builds/{id}/providers/{provider}/images/"


def upload(name: ImageName, id: BuildId, provider: ProviderName, number: UploadId) -> str:
    return f"{IMAGES}/{name}/builds/{id}/providers/{provider}/images/{number}"


def upload_lock(name: ImageName, id: BuildId, provider: ProviderName, number: UploadId) -> str:
    return f"{IMAGES}/{name}/builds/{id}/providers/{provider}/images/{number}/lock"


def components(kind: str) -> str:
    return f"{COMPONENTS}/{kind}"


def new_component(kind: str, hostname: str) -> str:
    """To be created ephemeral and with a sequence."""
    return f"{COMPONENTS}/{kind}/{hostname}"


def component(kind: str, key: str) -> str:
    return f"{COMPONENTS}/{kind}/{key}"


def lease(provider: ProviderName) -> str:
    """The lock directory of everything that one launcher does for a whole provider: lists, quota, sweeps."""
    return f"{LEASES}/{quote(provider, safe='')}"


def pool_lease(provider: ProviderName, pool: PoolName) -> str:
    """The lock directory of launching for one pool. Apart from `lease`: a lock directory has no other children."""
    return f"{POOL_LEASES}/{quote(provider, safe='')}/{quote(pool, safe='')}"


def confirmed(provider: ProviderName) -> str:
    """Exists from `nodepool confirm` on: the operator permits the sweep that the launcher stopped."""
    return f"{CONFIRMED}/{quote(provider, safe='')}"


def freeze(provider: str) -> str:
    """An operator's order to leave a provider (or `ALL`) alone."""
    return f"{FREEZES}/{quote(provider, safe='')}"


def cordon(kind: CordonKind, name: str) -> str:
    """An operator's order to give nothing new to something; a pool's name is `provider/pool`."""
    return f"{CORDONS}/{kind}:{quote(name, safe='')}"


def new_audit() -> str:
    """To be created with a sequence."""
    return f"{AUDIT}/"


def facts(launcher: str, shard: int) -> str:
    """One part of what a launcher tells about itself."""
    return f"{FACTS}/{quote(launcher, safe='')}.{shard}"


def builder_facts(builder: str, shard: int) -> str:
    """One part of what a builder tells about its work."""
    return f"{BUILDER_FACTS}/{quote(builder, safe='')}.{shard}"


def sheets(name: ImageName) -> str:
    return f"{SHEETS}/{quote(name, safe='')}"


def sheet(name: ImageName, id: BuildId) -> str:
    return f"{SHEETS}/{quote(name, safe='')}/{quote(id, safe='')}"


def cancel(what: str) -> str:
    """An operator's order to end a build (`<image>-<build>`) or an upload (`<image>-<build>/<provider>`)."""
    return f"{CANCELS}/{quote(what, safe='')}"


def canary(name: ImageName, build: BuildId, provider: ProviderName, number: UploadId) -> str:
    """What the canary of an upload has shown."""
    return f"{CANARIES}/{quote(f'{name}-{build}/{provider}/{number}', safe='')}"


def parents(path: str) -> tuple[str, ...]:
    """Return every path above `path`, the highest first, without the root."""
    parts = path.split("/")
    return tuple("/".join(parts[:end]) for end in range(2, len(parts)))


@dataclass(frozen=True, slots=True)
class NodeAt:
    id: NodeId


@dataclass(frozen=True, slots=True)
class RequestAt:
    id: RequestId


@dataclass(frozen=True, slots=True)
class BuildAt:
    image: ImageName
    id: BuildId


@dataclass(frozen=True, slots=True)
class UploadAt:
    image: ImageName
    build: BuildId
    provider: ProviderName
    id: UploadId


@dataclass(frozen=True, slots=True)
class ComponentAt:
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class InstallationAt:
    pass


@dataclass(frozen=True, slots=True)
class FreezeAt:
    provider: str


@dataclass(frozen=True, slots=True)
class CordonAt:
    kind: CordonKind
    name: str


@dataclass(frozen=True, slots=True)
class ConfirmedAt:
    provider: ProviderName


@dataclass(frozen=True, slots=True)
class CancelAt:
    what: str


RecordAt: TypeAlias = NodeAt | RequestAt | BuildAt | UploadAt | ComponentAt | InstallationAt | FreezeAt | CordonAt
"""Places whose bytes mean something."""


@dataclass(frozen=True, slots=True)
class ImageAt:
    """A configured image; it has no record, its znode exists when anything of it does."""

    name: ImageName


@dataclass(frozen=True, slots=True)
class PausedAt:
    image: ImageName


@dataclass(frozen=True, slots=True)
class BuildRequestedAt:
    image: ImageName


@dataclass(frozen=True, slots=True)
class BuildsAt:
    """All builds of an image: what `builds_lock` locks."""

    image: ImageName


@dataclass(frozen=True, slots=True)
class UploadsAt:
    """All uploads of one build into one provider: what `uploads_lock` locks."""

    image: ImageName
    build: BuildId
    provider: ProviderName


@dataclass(frozen=True, slots=True)
class LeaseAt:
    provider: ProviderName
    pool: PoolName | None = None


@dataclass(frozen=True, slots=True)
class StatsElectionAt:
    """Who tells the numbers of the whole installation; launchers of Nodepool 11 stand, too."""


Lockable: TypeAlias = NodeAt | RequestAt | BuildsAt | BuildAt | UploadsAt | UploadAt | LeaseAt | StatsElectionAt


@dataclass(frozen=True, slots=True)
class LockAt:
    """The lock directory of something."""

    of: Lockable


@dataclass(frozen=True, slots=True)
class ContenderAt:
    """A child of a lock directory."""

    of: Lockable
    name: str


@dataclass(frozen=True, slots=True)
class BranchAt:
    """A znode that only has children."""


Place: TypeAlias = (
    RecordAt
    | ImageAt
    | PausedAt
    | BuildRequestedAt
    | ConfirmedAt
    | CancelAt
    | BuildsAt
    | UploadsAt
    | LockAt
    | ContenderAt
    | BranchAt
)

PARSED = 2048
"""Paths of which it is remembered what they mean: whoever writes to one has several events there, and writes again."""

_BRANCH = BranchAt()
_RECORDS = (NodeAt, RequestAt, BuildAt, UploadAt, ComponentAt, InstallationAt, FreezeAt, CordonAt)
_INSTALLATION = InstallationAt()
_STATS = StatsElectionAt()


@lru_cache(maxsize=PARSED)
def parse(path: str) -> Place | None:
    """Tell what is at `path`; None for what no contract knows."""
    match path.split("/"):
        case ["", "nodepool", "nodes", id, *rest]:
            return _locked_or_below(NodeAt(NodeId(id)), rest)
        case ["", "nodepool", "requests", id]:
            return RequestAt(RequestId(id))
        case ["", "nodepool", "requests-lock", id]:
            return LockAt(RequestAt(RequestId(id)))
        case ["", "nodepool", "requests-lock", id, name]:
            return ContenderAt(RequestAt(RequestId(id)), name)
        case ["", "nodepool", "components", kind, key]:
            return ComponentAt(kind, key)
        case ["", "nodepool", "images", name, *rest]:
            return _in_image(ImageName(name), rest)
        case ["", "nodepool_ng", *rest]:
            return _ours(rest)
        case ["", "nodepool", "elections", "stats"]:
            return LockAt(_STATS)
        case ["", "nodepool", "elections", "stats", name]:
            return ContenderAt(_STATS, name)
        case (
            ["", "nodepool"]
            | ["", "nodepool", "nodes" | "requests" | "requests-lock" | "images" | "components" | "elections"]
            | ["", "nodepool", "components", _]
        ):
            return _BRANCH
    return None


def record_at(path: str) -> RecordAt | None:
    """Return whose record is at `path`; None where there is none to be."""
    at = parse(path)
    return at if is_record(at) else None


def is_record(at: Place | None) -> TypeGuard[RecordAt]:
    return isinstance(at, _RECORDS)


def _in_image(name: ImageName, rest: list[str]) -> Place | None:
    match rest:
        case []:
            return ImageAt(name)
        case ["pause"]:
            return PausedAt(name)
        case ["request-build"]:
            return BuildRequestedAt(name)
        case ["builds"]:
            return BuildsAt(name)
        case ["builds", "lock"]:
            return LockAt(BuildsAt(name))
        case ["builds", "lock", contender]:
            return ContenderAt(BuildsAt(name), contender)
        case ["builds", _, "providers"] | ["builds", _, "providers", _]:
            return _BRANCH
        case ["builds", id, "providers", provider, "images", *below]:
            return _in_uploads(UploadsAt(name, BuildId(id), ProviderName(provider)), below)
        case ["builds", id, *below]:
            return _locked_or_below(BuildAt(name, BuildId(id)), below)
    return None


def _in_uploads(at: UploadsAt, rest: list[str]) -> Place | None:
    match rest:
        case []:
            return at
        case ["lock"]:
            return LockAt(at)
        case ["lock", contender]:
            return ContenderAt(at, contender)
        case [number, *below]:
            return _locked_or_below(UploadAt(at.image, at.build, at.provider, UploadId(number)), below)
    return None


def _locked_or_below(at: NodeAt | BuildAt | UploadAt, rest: list[str]) -> Place | None:
    match rest:
        case []:
            return at
        case ["lock"]:
            return LockAt(at)
        case ["lock", contender]:
            return ContenderAt(at, contender)
    return None


def _ours(rest: list[str]) -> Place | None:
    match rest:
        case (
            []
            | ["leases"]
            | ["pool-leases"]
            | ["pool-leases", _]
            | ["confirmed"]
            | ["freeze"]
            | ["cordons"]
            | ["cancel"]
        ):
            return _BRANCH
        case ["confirmed", provider]:
            return ConfirmedAt(ProviderName(unquote(provider)))
        case ["cancel", what]:
            return CancelAt(unquote(what))
        case ["freeze", provider]:
            return FreezeAt(unquote(provider))
        case ["cordons", name]:
            return _cordon(name)
        case ["installation"]:
            return _INSTALLATION
        case ["leases", provider]:
            return LockAt(LeaseAt(ProviderName(unquote(provider))))
        case ["leases", provider, contender]:
            return ContenderAt(LeaseAt(ProviderName(unquote(provider))), contender)
        case ["pool-leases", provider, pool]:
            return LockAt(LeaseAt(ProviderName(unquote(provider)), PoolName(unquote(pool))))
        case ["pool-leases", provider, pool, contender]:
            return ContenderAt(LeaseAt(ProviderName(unquote(provider)), PoolName(unquote(pool))), contender)
    return None


def _cordon(name: str) -> CordonAt | None:
    kind, _, what = name.partition(":")
    return CordonAt(CordonKind(kind), unquote(what)) if what and kind in set(CordonKind) else None


def lock_of(what: Lockable) -> str:
    """Return the lock directory of something."""
    match what:
        case NodeAt(id):
            return node_lock(id)
        case RequestAt(id):
            return request_lock(id)
        case BuildsAt(name):
            return builds_lock(name)
        case BuildAt(name, id):
            return build_lock(name, id)
        case UploadsAt(name, id, provider):
            return uploads_lock(name, id, provider)
        case UploadAt(name, id, provider, number):
            return upload_lock(name, id, provider, number)
        case LeaseAt(provider, pool):
            return lease(provider) if pool is None else pool_lease(provider, pool)
        case StatsElectionAt():
            return STATS_ELECTION
