"""What the first page shows, made of a view: plain values for the template, nothing of HTML.

Nothing that is only for insiders goes in here: no user data, driver data, addresses, or keys of nodes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nodepool_ng.explain.scene import orders_for
from nodepool_ng.listing.work import WorkRow, amount, duration, work_rows
from nodepool_ng.model.freeze import NOT_FROZEN, forbidden
from nodepool_ng.model.gate import gate_of, in_service
from nodepool_ng.model.ids import ImageName, LabelName, PoolName, ProviderName, Timestamp
from nodepool_ng.model.image import Build
from nodepool_ng.model.lifecycle import NODE_STATES, ImageState, NodeState, RequestState
from nodepool_ng.model.quota import CORES, INSTANCES, RAM, Resources
from nodepool_ng.model.reason import Reason, place, sentence
from nodepool_ng.model.request import NodeRequest, rank
from nodepool_ng.model.view import View, pools

MOST_REQUESTS = 50
MOST_REASONS = 12
SHOWN_STATES = (
    NodeState.BUILDING,
    NodeState.READY,
    NodeState.IN_USE,
    NodeState.USED,
    NodeState.HOLD,
    NodeState.DELETING,
    NodeState.FAILED,
)
"""States with a column of their own; the others are counted together."""
_OPEN = (RequestState.PENDING, RequestState.REQUESTED)
_NAMES = {INSTANCES: "servers", CORES: "cores", RAM: "RAM"}


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of a limit is used. `other` is what strangers use of a provider's quota."""

    name: str
    used: str
    limit: str
    own: float
    """Percent."""
    other: float

    @property
    def full(self) -> bool:
        return self.own + self.other >= 99.5


@dataclass(frozen=True, slots=True)
class PoolLine:
    provider: str
    pool: str
    paused: bool
    here: bool
    """This launcher acts for it."""
    hosts: tuple[str, ...]
    trouble: str | None
    alarm: str | None
    frozen: str
    """What an operator forbids, in words; "" for nothing."""
    bars: tuple[Bar, ...]
    quota: tuple[Bar, ...]
    states: tuple[tuple[NodeState, int], ...]
    orders: tuple[str, ...]
    """What operators have ordered about it."""


@dataclass(frozen=True, slots=True)
class LabelLine:
    name: str
    wanted: int
    counts: tuple[int, ...]
    """By shown state, then all others."""


@dataclass(frozen=True, slots=True)
class RequestLine:
    id: str
    state: RequestState
    labels: tuple[str, ...]
    requestor: str
    since: Timestamp
    reasons: tuple[tuple[str, str], ...]
    """Place and sentence."""
    more: int


@dataclass(frozen=True, slots=True)
class UploadCell:
    """The newest ready upload in one provider; None where there is none."""

    provider: str
    since: Timestamp | None
    uploading: bool
    stale: bool
    gate: str = ""
    """Where an upload stands that is not in service."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ImageLine:
    name: str
    paused: bool
    asked: Timestamp | None
    building: Timestamp | None
    builder: str
    built: Timestamp | None
    failures: int
    orders: tuple[str, ...]
    uploads: tuple[UploadCell, ...]


@dataclass(frozen=True, slots=True)
class WorkLine:
    """What a builder is doing, or what waits. `share` is percent of what is to be sent, None where nobody knows."""

    image: str
    provider: str
    builder: str
    doing: str
    step: str
    began: Timestamp | None
    progress: str
    share: float | None
    again: str
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    hostname: str
    complete: bool
    broken_files: str
    states: tuple[tuple[NodeState, int, str], ...]
    nodes: int
    pools: tuple[PoolLine, ...]
    labels: tuple[LabelLine, ...]
    columns: tuple[NodeState, ...]
    requests: tuple[RequestLine, ...]
    waiting: int
    images: tuple[ImageLine, ...]
    work: tuple[WorkLine, ...]


def page_of(view: View) -> Page:
    """Return what the first page shows of a view; the same content compares equal whatever the time."""
    counts = Counter(node.state for node in view.nodes.values())
    waiting = sorted((one for one in view.requests.values() if one.state in _OPEN), key=rank)
    return Page(
        hostname=view.hostname,
        complete=view.complete,
        broken_files=view.broken_files,
        states=tuple((state, counts[state], NODE_STATES[state]) for state in NodeState if counts[state]),
        nodes=len(view.nodes),
        pools=tuple(_pools(view)),
        labels=tuple(_labels(view)),
        columns=SHOWN_STATES,
        requests=tuple(_request(view, request) for request in waiting[:MOST_REQUESTS]),
        waiting=len(waiting),
        images=tuple(_images(view)),
        work=tuple(_work(row) for document in view.work for row in work_rows(document, view.now)),
    )


def _pools(view: View) -> Iterator[PoolLine]:
    hosts: dict[tuple[ProviderName, PoolName], list[str]] = {key: [] for key in view.pool_ids}
    paused = set()
    for component in pools(view):
        if component.provider_name and component.name:
            key = (component.provider_name, component.name)
            hosts.setdefault(key, []).append(component.hostname)
            if component.paused:
                paused.add(key)
    by_pool: dict[tuple[ProviderName, PoolName], Counter[NodeState]] = {}
    for node in view.nodes.values():
        if node.provider and node.pool:
            by_pool.setdefault((node.provider, node.pool), Counter())[node.state] += 1
    for key in sorted({*hosts, *by_pool}):
        provider = view.settings.providers.get(key[0])
        pool = provider.pools.get(key[1]) if provider else None
        facts = view.facts.get(key[0])
        states = by_pool.get(key, Counter())
        used = view.used.get(key, Resources({INSTANCES: states.total()}))
        yield PoolLine(
            provider=key[0],
            pool=key[1],
            paused=key in paused,
            here=key[0] in view.leased,
            hosts=tuple(sorted(set(hosts.get(key, ())))),
            trouble=facts.error if facts else None,
            alarm=view.alarms.get(key[0]),
            frozen=forbidden(view.frozen.get(key[0], NOT_FROZEN)),
            bars=tuple(_bars(used, Resources(), pool.limits if pool else Resources())),
            quota=tuple(
                _bars(
                    view.used_in_provider.get(key[0], Resources()),
                    view.foreign.get(key[0], Resources()),
                    facts.limits if facts and facts.limits_read is not None else Resources(),
                    only_limited=True,
                )
            ),
            states=tuple((state, states[state]) for state in NodeState if states[state]),
            orders=tuple(orders_for({}, view.cordons, key[0], "/".join(key))),
        )


def _bars(used: Resources, other: Resources, limits: Resources, *, only_limited: bool = False) -> Iterator[Bar]:
    for name in (INSTANCES, CORES, RAM):
        limit = limits.amounts.get(name)
        own, foreign = used.get(name), other.get(name)
        if limit is None and (only_limited or name != INSTANCES):
            continue
        share = 0.0 if not limit else min(own / limit * 100, 100.0)
        beside = 0.0 if not limit else min(foreign / limit * 100, 100.0 - share)
        full = 100.0 if limit == 0 else share
        yield Bar(
            _NAMES[name],
            _amount(name, own + foreign),
            "no limit" if limit is None else _amount(name, limit),
            full,
            beside,
        )


def _amount(name: str, amount: float) -> str:
    if name == RAM:
        return f"{amount / 1024:.0f} GiB" if amount >= 10240 else f"{amount / 1024:.1f} GiB"
    return f"{amount:g}"


def _labels(view: View) -> Iterator[LabelLine]:
    known: set[LabelName] = {label for pool in pools(view) for label in pool.supported_labels}
    counts: dict[LabelName, Counter[NodeState]] = {}
    for node in view.nodes.values():
        for label in dict.fromkeys(node.labels):
            counts.setdefault(label, Counter())[node.state] += 1
    for name in sorted({*known, *counts, *view.settings.labels}):
        states = counts.get(name, Counter())
        shown = tuple(states[state] for state in SHOWN_STATES)
        configured = view.settings.labels.get(name)
        yield LabelLine(name, configured.min_ready if configured else 0, (*shown, states.total() - sum(shown)))


def _request(view: View, request: NodeRequest) -> RequestLine:
    reasons = _reasons(view, request)
    return RequestLine(
        id=request.id,
        state=request.state,
        labels=tuple(f"{count}× {label}" if count > 1 else label for label, count in Counter(request.labels).items()),
        requestor=request.requestor or "",
        since=request.created_time or request.state_time,
        reasons=reasons[:MOST_REASONS],
        more=max(len(reasons) - MOST_REASONS, 0),
    )


def _reasons(view: View, request: NodeRequest) -> tuple[tuple[str, str], ...]:
    if request.state is RequestState.PENDING:
        states = Counter(node.state for node in view.nodes.values() if node.allocated_to == request.id)
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        return (("", f"its nodes: {told}" if told else "its launcher is about to begin"),)
    verdicts: Sequence[Reason] = view.verdicts.get(request.id, ())
    found = tuple((place(reason), sentence(reason)) for reason in verdicts)
    declined = len(request.declined_by)
    return (*found, ("", f"declined by {declined} of {len(pools(view))} pools")) if declined else found


def _images(view: View) -> Iterator[ImageLine]:
    builds: dict[ImageName, list[Build]] = {}
    for build in view.builds:
        builds.setdefault(build.image, []).append(build)
    cells = _cells(view)
    for name in sorted({*view.images, *builds, *view.settings.diskimages}):
        image = view.images.get(name)
        mine = builds.get(name, [])
        good = max((one.state_time for one in mine if one.state is ImageState.READY), default=None)
        now = next((one for one in mine if one.state is ImageState.BUILDING), None)
        yield ImageLine(
            name=name,
            paused=bool(image and image.paused) or bool(name in view.settings.diskimages and _pause(view, name)),
            asked=image.requested if image else None,
            building=now.state_time if now else None,
            builder=(now.builder or "") if now else "",
            built=good,
            failures=sum(one.state is ImageState.FAILED and one.state_time > (good or 0) for one in mine),
            orders=tuple(orders_for({}, view.cordons, "", None, name)),
            uploads=tuple(cells.get(name, {}).values()),
        )


def _work(row: WorkRow) -> WorkLine:
    share = None if not row.size or row.done is None else min(100.0 * row.done / row.size, 100.0)
    told = [amount(row.done) or ""]
    told += [f"of {amount(row.size)}"] if row.size else []
    told += [f"at {amount(row.rate)}/s"] if row.rate else []
    left = None if row.left is None else f", {duration(row.left)} left"
    return WorkLine(
        image=row.image,
        provider=row.provider or "",
        builder=row.builder,
        doing=row.doing,
        step=row.step or "",
        # whole seconds: the same instant is the same line
        began=None if row.seconds is None else round(row.now - row.seconds),
        progress=" ".join(filter(None, told)) + (left or ""),
        share=None if share is None else round(share, 1),
        again=_clock_time(row.again),
        why=row.why or "",
    )


def _clock_time(instant: Timestamp | None) -> str:
    """Return an instant of today or tomorrow. What is told may be none at all."""
    try:
        return "" if instant is None else datetime.fromtimestamp(instant, UTC).strftime("%H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "?"


def _pause(view: View, name: ImageName) -> bool:
    return view.settings.diskimages[name].pause


def _cells(view: View) -> Mapping[ImageName, Mapping[str, UploadCell]]:
    wanted = {(image, p.name) for p in view.settings.providers.values() for image in p.images}
    newest: dict[tuple[ImageName, ProviderName], Timestamp] = {}
    uploading = set()
    gates: dict[tuple[ImageName, ProviderName], tuple[str, str]] = {}
    for upload in view.uploads:
        key = (upload.image, upload.provider)
        wanted.add(key)
        if in_service(upload):
            newest[key] = max(upload.state_time, newest.get(key, 0))
        elif upload.state is ImageState.UPLOADING:
            uploading.add(key)
        elif (gate := gate_of(upload)) is not None and upload.state is ImageState.READY:
            gates[key] = (gate.state.value, gate.why)
    cells: dict[ImageName, dict[str, UploadCell]] = {}
    for key in sorted(wanted):
        image, provider = key
        configured = view.settings.diskimages.get(image)
        since = newest.get(key)
        stale = since is not None and configured is not None and view.now - since > 2 * configured.rebuild_age
        cells.setdefault(image, {})[provider] = UploadCell(
            provider, since, key in uploading, stale, *gates.get(key, ("", ""))
        )
    return cells
