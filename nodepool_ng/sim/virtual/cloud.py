"""Drivers and cloud calls on modelled regions."""

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nodepool_ng.drivers import (
    MARK_ATTEMPT,
    MARK_BUILD,
    MARK_INSTALLATION,
    MARK_NODE,
    MARK_POOL,
    MARK_PROVIDER,
    MARK_UPLOAD,
    Capacity,
    DriverError,
    Image,
    ImageOrder,
    Listing,
    Marks,
    Misconfigured,
    NoCapacity,
    Refused,
    ServerOrder,
    Throttled,
    Unavailable,
)
from nodepool_ng.drivers import calls as verbs
from nodepool_ng.drivers.changes import Reach
from nodepool_ng.model.ids import (
    AttemptId,
    BuildId,
    InstallationId,
    LabelName,
    NodeId,
    ProviderName,
    Seconds,
    ServerId,
    Timestamp,
    UploadId,
)
from nodepool_ng.model.pace import MOST_THREADS
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import Addresses, LabelFacts, ServerStatus
from nodepool_ng.model.server import Server as Seen
from nodepool_ng.model.settings import PoolLabel, Provider
from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.images import Content
from nodepool_ng.sim.images import Image as SimImage
from nodepool_ng.sim.refused import Refused as SimRefused
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller, Server, ServerAsk, Status
from nodepool_ng.sim.virtual.process import VirtualProcess
from nodepool_ng.sim.virtual.promises import Referee
from nodepool_ng.sim.virtual.timeline import Timeline

UPLOAD_TIME: Seconds = 3.0
_BYTES = Content(size=1, md5="0", sha512="0")

_STATUS: Mapping[Status, ServerStatus] = MappingProxyType(
    {
        Status.BUILD: ServerStatus.BUILDING,
        Status.ACTIVE: ServerStatus.ACTIVE,
        Status.ERROR: ServerStatus.FAILED,
        Status.DELETED: ServerStatus.DELETED,
    }
)


class ModelDriver:
    """A driver whose cloud is a modelled region. Calls take no time here; see `VirtualClouds`."""

    def __init__(self, provider: Provider, region: Region, timeline: Timeline, caller: Caller) -> None:
        self._settings = provider
        self._region = region
        self._timeline = timeline
        self._caller = caller
        self._reach = Reach()
        self._behind = 0.0
        """How far the cloud's clock is behind the caller's, in seconds: the OpenStack driver has this from the answers'
        dates."""

    @property
    def provider(self) -> ProviderName:
        return self._settings.name

    def connect(self) -> None:
        pass

    def list_servers(self, since: Timestamp | None, now: Timestamp) -> Listing:
        full = since is None
        since = None if since is None else self._reach.start(since, now, self._behind)
        servers = _refusals(lambda: self._region.servers.list(self._caller, now=self._now, changed_since=since))
        self._behind = max(0.0, now - self._now)
        self._reach.listed(now, full=full)
        return Listing(servers=tuple(self._seen(each) for each in servers), asked=now, full=full)

    def capacity(self, now: Timestamp) -> Capacity:
        limits = _refusals(lambda: self._region.servers.limits(self._caller, now=self._now)).limits
        labels: dict[LabelName, LabelFacts] = {}
        for pool in self._settings.pools.values():
            for label in pool.labels.values():
                labels[label.name] = self._label(label)
        return Capacity(
            limits=Resources({name: amount for name, amount in limits.items() if amount >= 0}),
            zones=self._region.settings.zones,
            labels=labels,
            asked=now,
        )

    def create_server(self, order: ServerOrder) -> ServerId:
        flavor = self._flavor(order.label)
        if flavor is None:
            raise Misconfigured(f"there is no flavor for label {order.label.name}")
        ask = ServerAsk(
            name=order.name,
            image=order.image,
            flavor=flavor,
            metadata={**order.properties, **_metadata(order.marks)},
            zone=order.zone,
        )
        return ServerId(_refusals(lambda: self._region.servers.create(self._caller, ask, now=self._now)).id)

    def delete_server(self, server: ServerId) -> None:
        try:
            _refusals(lambda: self._region.servers.delete(self._caller, server, now=self._now))
        except Refused:
            if server in self._region.servers.live:
                raise

    def console(self, server: ServerId) -> str:
        return str(_refusals(lambda: self._region.servers.console(self._caller, server, now=self._now)))

    def upload_image(self, order: ImageOrder, progress: Callable[[int], None]) -> str:
        """The cloud has the image at once; `VirtualClouds` takes the time."""
        wanted = {"name": order.name, "disk_format": order.format, **_metadata(order.marks)}
        images = self._region.images
        image = _refusals(lambda: images.create(self._caller, wanted, now=self._now))
        fault = _refusals(lambda: images.begin_upload(self._caller, image.id, now=self._now))
        _refusals(lambda: images.end_upload(image.id, _BYTES, fault, now=self._now))
        return str(image.id)

    def delete_image(self, image: str) -> None:
        try:
            _refusals(lambda: self._region.images.delete(self._caller, image, now=self._now))
        except Refused:
            if image in self._region.images.rows:
                raise

    def list_images(self) -> tuple[Image, ...]:
        found = _refusals(lambda: self._region.images.list(self._caller, now=self._now))
        return tuple(_image(each, self._now) for each in found if each.project == self._caller.project)

    def close(self) -> None:
        pass

    @property
    def _now(self) -> float:
        return self._timeline.now()

    def _flavor(self, label: PoolLabel) -> str | None:
        flavors = sorted(self._region.settings.flavors, key=lambda flavor: (flavor.ram, flavor.name))
        if label.flavor_name:
            flavors = [flavor for flavor in flavors if label.flavor_name in (flavor.name, flavor.id)]
        return next((flavor.id for flavor in flavors if flavor.ram >= label.min_ram), None)

    def _label(self, label: PoolLabel) -> LabelFacts:
        wanted = self._flavor(label)
        flavor = next((each for each in self._region.settings.flavors if each.id == wanted), None)
        if flavor is None:
            return LabelFacts(needs=Resources(), broken="there is no such flavor")
        return LabelFacts(needs=Resources({"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram}))

    def _seen(self, server: Server) -> Seen:
        now = self._now
        status = _STATUS[server.status(now)]
        # Nova deletes metadata with their server
        marks = server.metadata if status is not ServerStatus.DELETED else {}
        address = next((one.address for one in server.addresses), "") if status is ServerStatus.ACTIVE else ""
        return Seen(
            id=ServerId(server.id),
            name=server.name,
            status=status,
            provider=_mark(marks, MARK_PROVIDER, ProviderName),
            node=_mark(marks, MARK_NODE, NodeId),
            attempt=_mark(marks, MARK_ATTEMPT, AttemptId),
            installation=_mark(marks, MARK_INSTALLATION, InstallationId),
            addresses=Addresses(interface_ip=address, private_ipv4=address, public_ipv4=address),
            az=server.zone,
            created=server.created,
            fault=server.fault.message if server.fault and status is ServerStatus.FAILED else None,
            deleting=server.task(now) == "deleting",
            resources=Resources({"instances": 1, "cores": server.flavor.vcpus, "ram": server.flavor.ram}),
        )


def _mark(marks: Mapping[str, str], name: str, kind: Callable[[str], Any]) -> Any:
    return kind(marks[name]) if name in marks else None


def _image(image: SimImage, now: float) -> Image:
    marks = image.properties
    return Image(
        id=image.id,
        name=image.name,
        status=image.status(now),
        provider=_mark(marks, MARK_PROVIDER, ProviderName),
        build=_mark(marks, MARK_BUILD, BuildId),
        upload=_mark(marks, MARK_UPLOAD, UploadId),
        installation=_mark(marks, MARK_INSTALLATION, InstallationId),
    )


def _metadata(marks: Marks) -> dict[str, str]:
    written = {
        MARK_PROVIDER: marks.provider,
        MARK_INSTALLATION: marks.installation,
        MARK_NODE: marks.node,
        MARK_POOL: marks.pool,
        MARK_ATTEMPT: marks.attempt,
        MARK_BUILD: marks.build,
        MARK_UPLOAD: marks.upload,
    }
    return {name: value for name, value in written.items() if value is not None}


def _refusals(verb: Callable[[], Any]) -> Any:
    """Call a verb of the model; its refusals become a driver's errors, as at the door of the OpenStack driver."""
    try:
        return verb()
    except SimRefused as refused:
        text = str(refused)
        if refused.status in (429, 503):
            raise Throttled(text, refused.retry_after) from None
        if refused.status == 403:
            raise NoCapacity(text) from None
        if refused.status >= 500:
            raise Unavailable(text, answered=refused.status == 500) from None
        raise Refused(text) from None


_LATENCY: Mapping[type, Call] = MappingProxyType(
    {
        verbs.ListAll: Call.SERVER_LIST,
        verbs.Look: Call.LIMITS_GET,
        verbs.Create: Call.SERVER_CREATE,
        verbs.Remove: Call.SERVER_DELETE,
        verbs.ReadConsole: Call.SERVER_CONSOLE,
        verbs.UploadImage: Call.IMAGE_UPLOAD,
        verbs.RemoveImage: Call.IMAGE_DELETE,
        verbs.ListImages: Call.IMAGE_LIST,
    }
)


class VirtualClouds:
    """Calls drivers as a daemon's API threads do, in virtual time: half of the latency before the cloud hears of a
    call, half before its answer is heard. `late_lists` makes the answers of lists later still, by provider."""

    def __init__(
        self,
        timeline: Timeline,
        launcher: VirtualProcess[Any],
        referee: Referee,
        drivers: Mapping[ProviderName, ModelDriver],
        regions: Mapping[ProviderName, Region],
        late_lists: Mapping[ProviderName, Seconds],
        called: Callable[[str, ProviderName, verbs.Call, object], None],
    ) -> None:
        self._timeline = timeline
        self._launcher = launcher
        self._referee = referee
        self._drivers = drivers
        self._regions = regions
        self._late_lists = late_lists
        self._called = called
        self._waiting: dict[ProviderName, deque[tuple[verbs.Call, Callable[[Any], None]]]] = {}
        self._busy: dict[ProviderName, int] = {}

    def use(self, drivers: Mapping[ProviderName, ModelDriver]) -> None:
        """From now on call these drivers; those of providers that are gone stay for what is left of their nodes."""
        self._drivers = {**self._drivers, **drivers}

    def submit(self, provider: ProviderName, call: verbs.Call, done: Callable[[Any], None]) -> None:
        if provider not in self._drivers:
            self._timeline.schedule(0.0, lambda: done(Unavailable(f"provider {provider} is not there")))
            return
        if self._busy.get(provider, 0) >= MOST_THREADS:
            self._waiting.setdefault(provider, deque()).append((call, done))
            return
        self._busy[provider] = self._busy.get(provider, 0) + 1
        half = self._regions[provider].gate.latency(_LATENCY[type(call)]) / 2
        if isinstance(call, verbs.UploadImage):
            half += UPLOAD_TIME / 2
        asked = self._launcher.clock.now()
        driver = self._drivers[provider]
        if isinstance(call, verbs.Create):
            self._referee.ordered(self._launcher, call.order)

        def arrive() -> None:
            if not self._launcher.before_call(call):
                return
            if isinstance(call, verbs.Remove):
                self._referee.deleting(self._launcher, provider, call.server)
            if isinstance(call, verbs.RemoveImage):
                self._referee.images.removing(self._launcher, provider, call.image)
            try:
                answer: Any = verbs.perform(driver, call, asked)
            except DriverError as error:
                answer = error
            self._called(self._launcher.name, provider, call, answer)
            if self._launcher.after_call(call):
                late = self._late_lists.get(provider, 0.0) if isinstance(call, verbs.ListAll) else 0.0
                self._timeline.schedule(half + late, lambda: self._return(provider, answer, done))

        self._timeline.schedule(half, arrive)

    def _return(self, provider: ProviderName, answer: Any, done: Callable[[Any], None]) -> None:
        self._busy[provider] -= 1
        waiting = self._waiting.get(provider)
        if waiting:
            self.submit(provider, *waiting.popleft())
        done(answer)
