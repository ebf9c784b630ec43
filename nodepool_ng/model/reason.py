"""Why something is done, or is not: typed, so that it can be counted, compared and explained later.

Decisions carry a `Reason`; `sentence` turns one into words where a human reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from nodepool_ng.model.ids import LabelName, PoolName, ProviderName, RequestId


class Code(StrEnum):
    """What kind of reason; the value names it in records, metrics and JSON."""

    # for doing something
    ASKED_FOR = "asked-for"
    WARM = "warm"
    UP = "up"
    ADOPTED = "adopted"
    ABANDONED = "abandoned"
    STOPPING = "stopping"
    USED = "used"
    TOO_OLD = "too-old"
    HOLD_OVER = "hold-over"
    SPARE = "spare"
    LEAK = "leak"
    DUPLICATE = "duplicate"
    GONE = "gone"
    SERVER_LOST = "server-lost"
    REQUEST_GONE = "request-gone"
    NOT_NEEDED = "not-needed"
    LAUNCH_FAILED = "launch-failed"
    ATTEMPT_FAILED = "attempt-failed"
    DUE = "due"
    INCOMPLETE = "incomplete"
    BY_HAND = "by-hand"
    NO_BUILD = "no-build"
    REBUILD_AGE = "rebuild-age"
    NEW_FORMAT = "new-format"
    FILE_GONE = "file-gone"
    NOT_UPLOADED = "not-uploaded"
    OBSOLETE = "obsolete"
    NOT_CONFIGURED = "not-configured"
    ORDERED = "ordered"
    FAILED = "failed"
    CRASHED = "crashed"
    EMPTIED = "emptied"
    NO_RECORD = "no-record"
    ALL_UPLOADED = "all-uploaded"
    KNOWN = "known"
    SESSION_LOST = "session-lost"
    SLOT_EMPTY = "slot-empty"
    CANARY = "canary"
    CANARY_PASSED = "canary-passed"
    CANARY_FAILED = "canary-failed"
    OUT_OF_DATE = "out-of-date"
    HOST_SILENT = "host-silent"
    SLOTS_WANTED = "slots-wanted"
    IDLE = "idle"
    SPOILED = "spoiled"
    DRAINED = "drained"
    # for waiting
    POOL_LIMIT = "pool-limit"
    PROVIDER_QUOTA = "provider-quota"
    TENANT_LIMIT = "tenant-limit"
    CONCURRENCY = "concurrency"
    FROZEN = "frozen"
    CORDONED = "cordoned"
    BACKOFF = "backoff"
    CLOUD_UNKNOWN = "cloud-unknown"
    LOCKED = "locked"
    YIELD_PROVIDER = "yield-provider"
    YIELD_PRIORITY = "yield-priority"
    YIELD_READY = "yield-ready"
    OTHER_POOL = "other-pool"
    AHEAD = "ahead"
    SILENT = "silent"
    REGISTRY_UNSETTLED = "registry-unsettled"
    PAUSED = "paused"
    IMAGE_LOCKED = "image-locked"
    BUSY = "busy"
    IMAGE_BACKOFF = "image-backoff"
    NOT_SEEN_YET = "not-seen-yet"
    NOT_DUE = "not-due"
    NOT_OURS = "not-ours"
    NO_FREE_NODE = "no-free-node"
    # for declining
    POOL_DISABLED = "pool-disabled"
    OUT_OF_SERVICE = "out-of-service"
    NO_SUCH_LABEL = "no-such-label"
    LABEL_BROKEN = "label-broken"
    NO_IMAGE = "no-image"
    NEVER_FITS = "never-fits"
    DECLINED = "declined"
    TOO_FEW_HOSTS = "too-few-hosts"


_IN_ORDER = tuple(Code)
WAITING_CODES = _IN_ORDER[_IN_ORDER.index(Code.POOL_LIMIT) : _IN_ORDER.index(Code.POOL_DISABLED)]
"""The reasons for waiting."""


class Trouble(StrEnum):
    """What an attempt to launch failed of; the value names it in metrics, as in Nodepool 11 as far as that has it."""

    STATUS = "status"
    """The server went to ERROR, or somebody deleted it."""
    CAPACITY = "capacity"
    """The cloud accepted the server and then had no room."""
    QUOTA = "quota"
    """The cloud refused the server for want of room."""
    CREATE_TIMEOUT = "servercreatetimeout"
    NETWORK = "network"
    """The server was up and had no address."""
    KEYSCAN = "keyscan"
    UNKNOWN = "unknown"


SENTENCES: Mapping[Code, str] = MappingProxyType(
    {
        Code.ASKED_FOR: "request {request} asked for it",
        Code.WARM: "label {label} has fewer ready nodes than min-ready wants ({used:g} of {limit:g})",
        Code.UP: "the server is up",
        Code.ADOPTED: "it was left half-done by a launcher that is gone",
        Code.ABANDONED: "nobody holds its lock any more",
        Code.STOPPING: "this launcher stops, and another software can serve it",
        Code.USED: "its client is done with it",
        Code.TOO_OLD: "it has been ready for longer than max-ready-age ({limit:g} s)",
        Code.HOLD_OVER: "it has been held for longer than allowed ({limit:g} s)",
        Code.SPARE: "request {request} needs its place",
        Code.LEAK: "a server of ours without a node",
        Code.DUPLICATE: "another attempt took its place",
        Code.GONE: "the server is gone",
        Code.SERVER_LOST: "its server is gone or broken",
        Code.REQUEST_GONE: "request {request} is gone",
        Code.NOT_NEEDED: "nobody needs it any more",
        Code.LAUNCH_FAILED: "the launch failed for good: {detail}",
        Code.ATTEMPT_FAILED: "the attempt failed: {detail}",
        Code.INCOMPLETE: "its client left out keys that others need",
        Code.SILENT: "pool {detail} of another launcher has not answered for {used:.0f} s",
        Code.DUE: "it is time to look again",
        Code.BY_HAND: "an operator asked for it",
        Code.NO_BUILD: "there is no ready build of it",
        Code.REBUILD_AGE: "the newest ready build is older than rebuild-age ({used:.0f} of {limit:.0f} s)",
        Code.NEW_FORMAT: "the newest ready build lacks {detail}",
        Code.FILE_GONE: "provider {provider} needs {detail}, which is not on the disk any more",
        Code.NOT_UPLOADED: "the newest ready build is not there yet",
        Code.OBSOLETE: "newer ones took its place",
        Code.NOT_CONFIGURED: "the configuration does not have it any more",
        Code.ORDERED: "its deletion was ordered",
        Code.FAILED: "it failed",
        Code.CRASHED: "whoever was making it is gone",
        Code.EMPTIED: "nothing of it is left",
        Code.NO_RECORD: "there is no record of it any more",
        Code.ALL_UPLOADED: "it is uploaded everywhere, and delete-after-upload is set",
        Code.KNOWN: "there is a record of it",
        Code.SESSION_LOST: "the session that held the lock is over",
        Code.CANARY: "a new upload of {detail} has to prove itself",
        Code.CANARY_PASSED: "its canary came up, so nodes are made from it",
        Code.CANARY_FAILED: "its canary failed, so it does not come into service: {detail}",
        Code.SLOT_EMPTY: "the machine {detail} has room for a node that is not there",
        Code.OUT_OF_DATE: "the configuration or the machine {detail} changed",
        Code.HOST_SILENT: "its machine cannot be used: {detail}",
        Code.SLOTS_WANTED: "{wanted:g} nodes wait for slots of one",
        Code.IDLE: "none of its slots is used any more",
        Code.SPOILED: "a slot of it did not work: {detail}",
        Code.DRAINED: "an operator drains its pool",
        Code.POOL_LIMIT: "the pool's limit of {resource} leaves {limit:g}, {wanted:g} needed",
        Code.PROVIDER_QUOTA: "the provider's quota of {resource} leaves {limit:g}, {wanted:g} needed",
        Code.TENANT_LIMIT: "the tenant's limit of {resource} leaves {limit:g}, {wanted:g} needed",
        Code.CONCURRENCY: "{used:g} launches are under way and max-concurrency is {limit:g}",
        Code.FROZEN: "an operator has frozen the provider: nothing is created until `nodepool thaw`",
        Code.CORDONED: "an operator has cordoned the {detail}: it gets nothing new until `nodepool uncordon`",
        Code.BACKOFF: "launches failed here; the next try is in {wanted:.0f} s: {detail}",
        Code.CLOUD_UNKNOWN: "the cloud has not told its state yet: {detail}",
        Code.LOCKED: "somebody else holds the request's lock",
        Code.YIELD_PROVIDER: "the request prefers provider {detail}, which can serve it",
        Code.YIELD_PRIORITY: "pool {detail} is preferred and not paused",
        Code.YIELD_READY: "pool {detail} has ready nodes for it",
        Code.OTHER_POOL: "pool {detail} has all of its labels",
        Code.AHEAD: "request {request} is ahead of it and has reserved what is free",
        Code.REGISTRY_UNSETTLED: "the registry of pools changed {used:.0f} s ago; waiting for {limit:.0f} s of quiet",
        Code.PAUSED: "it is paused",
        Code.IMAGE_LOCKED: "another builder is at it",
        Code.BUSY: "{used:g} are under way and {limit:g} are allowed at a time",
        Code.IMAGE_BACKOFF: "it failed {used:g} times; the next try is in {wanted:.0f} s: {detail}",
        Code.NOT_SEEN_YET: "the images directory was not looked at yet",
        Code.NOT_DUE: "the newest ready build is good enough",
        Code.NOT_OURS: "its files are on another builder's disk",
        Code.NO_FREE_NODE: "none of the pool's machines is free for label {label}",
        Code.POOL_DISABLED: "the pool is disabled by max-servers",
        Code.OUT_OF_SERVICE: "the provider is out of service: max-concurrency is 0",
        Code.NO_SUCH_LABEL: "the pool does not have label {label}",
        Code.LABEL_BROKEN: "label {label} cannot be made there: {detail}",
        Code.NO_IMAGE: "the image of label {label} has no ready upload there",
        Code.DECLINED: "the pool has declined it before",
        Code.TOO_FEW_HOSTS: "it has machines for {limit:g} of the {wanted:g} nodes",
        Code.NEVER_FITS: "it would not fit an empty pool: {resource} is limited to {limit:g}, {wanted:g} needed",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A code and the figures that go with it; which ones are set depends on the code (see `SENTENCES`)."""

    code: Code
    provider: ProviderName | None = None
    pool: PoolName | None = None
    label: LabelName | None = None
    request: RequestId | None = None
    resource: str | None = None
    limit: float = 0
    used: float = 0
    wanted: float = 0
    detail: str = ""
    trouble: Trouble | None = None


def at(
    where: tuple[ProviderName, PoolName],
    code: Code,
    *,
    label: LabelName | None = None,
    request: RequestId | None = None,
    detail: str = "",
) -> Reason:
    """Return a reason that applies to one pool."""
    return Reason(code=code, provider=where[0], pool=where[1], label=label, request=request, detail=detail)


def sentence(reason: Reason) -> str:
    """Return the reason in words, without the place it applies to."""
    return SENTENCES[reason.code].format(
        provider=reason.provider,
        pool=reason.pool,
        request=reason.request,
        label=reason.label,
        resource=reason.resource,
        limit=reason.limit,
        used=reason.used,
        wanted=reason.wanted,
        detail=reason.detail,
    )


def place(reason: Reason) -> str:
    """Return where the reason applies, as operators write it: `provider/pool`, or ""."""
    return "/".join(name for name in (reason.provider, reason.pool) if name)
