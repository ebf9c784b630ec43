"""Lists that Nodepool 11 does not have: what operators did, and the wide forms of the others."""

from dataclasses import dataclass
from datetime import UTC, datetime

from nodepool_ng.listing.rows import BUILDS, REQUESTS, UPLOADS, BuildRow, UploadRow
from nodepool_ng.listing.table import Column, age
from nodepool_ng.model.ids import Timestamp
from nodepool_ng.model.request import NodeRequest


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One order of an operator. `objects` are at most twenty of the `count` that it touched."""

    time: Timestamp
    user: str
    host: str
    command: str
    objects: tuple[str, ...]
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request with what keeps it waiting, as launchers tell."""

    request: NodeRequest
    reasons: tuple[str, ...]
    now: Timestamp


def instant(time: Timestamp) -> str:
    """Return an instant in UTC. Records are written by others: it may be none."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


AUDIT: tuple[Column[AuditRow], ...] = (
    Column("Time (UTC)", "time", lambda row: row.time, lambda row: instant(row.time)),
    Column("User", "user", lambda row: row.user),
    Column("Host", "host", lambda row: row.host),
    Column("Command", "command", lambda row: row.command),
    Column("Objects", "objects", lambda row: row.objects),
    Column("Count", "count", lambda row: row.count),
    Column("Reason", "reason", lambda row: row.reason),
)

WIDE_REQUESTS: tuple[Column[RequestRow], ...] = (
    *(
        Column(column.title, column.key, lambda row, column=column: column.value(row.request))  # type: ignore[misc]
        for column in REQUESTS
    ),
    Column("Age", "age", lambda row: age(row.request.created_time or row.request.state_time, row.now)),
    Column("Tenant", "tenant_name", lambda row: row.request.tenant_name),
    Column("Preferred Provider", "provider", lambda row: row.request.provider),
    Column("Waits For", "reasons", lambda row: row.reasons, lambda row: "; ".join(row.reasons)),
)

WIDE_UPLOADS: tuple[Column[UploadRow], ...] = (
    *UPLOADS,
    Column("Since (UTC)", "since", lambda row: instant(row.upload.state_time)),
    Column("Format", "format", lambda row: row.upload.format),
)

WIDE_BUILDS: tuple[Column[BuildRow], ...] = (
    *BUILDS,
    Column("Since (UTC)", "since", lambda row: instant(row.build.state_time)),
    Column("Real State", "real_state", lambda row: row.build.state),
    Column("Builder ID", "builder_id", lambda row: row.build.builder_id),
)
