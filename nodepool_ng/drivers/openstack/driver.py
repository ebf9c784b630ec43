"""The OpenStack driver: the verbs of `drivers.Driver`.

What changes slowly in a cloud (flavors, networks, images found by name) is remembered from one `capacity()` to the
next, and forgotten when the cloud finds an order wrong, since then it may be our memory that is.
"""

import logging
import marshal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from nodepool_ng.drivers import (
    Capacity,
    DriverError,
    Image,
    ImageOrder,
    Listing,
    Misconfigured,
    Refused,
    ServerOrder,
    Swept,
    Unavailable,
)
from nodepool_ng.drivers.changes import Reach
from nodepool_ng.drivers.openstack import floating, images, volumes
from nodepool_ng.drivers.openstack.bodies import server_body
from nodepool_ng.drivers.openstack.calls import COMPUTE, IMAGE, NETWORK, VOLUME, Door, listed, pages, understanding
from nodepool_ng.drivers.openstack.labels import Flavor, choose_flavor, dearest, facts_of, flavors_of, no_flavor
from nodepool_ng.drivers.openstack.lag import Lag
from nodepool_ng.drivers.openstack.networks import NetworkFacts, facts_without_neutron, network_facts
from nodepool_ng.drivers.openstack.parse import Facts, has_floating_ip, is_stub, server_of
from nodepool_ng.drivers.openstack.refusal import BadRequest
from nodepool_ng.drivers.openstack.wire import RawServer, RawVolume, RawZone
from nodepool_ng.model.ids import InstallationId, Json, LabelName, PoolName, ProviderName, ServerId, Timestamp
from nodepool_ng.model.quota import CORES, INSTANCES, RAM, VOLUME_GB, VOLUMES, Resources
from nodepool_ng.model.server import LabelFacts, Server, ServerStatus
from nodepool_ng.model.settings import PoolLabel, Provider

log = logging.getLogger("nodepool.driver.openstack")

KNOWS_AUTO_NETWORK = (2, 37)
EMBEDS_FLAVOR = (2, 47)

NOVA_LIMITS = MappingProxyType({INSTANCES: "maxTotalInstances", CORES: "maxTotalCores", RAM: "maxTotalRAMSize"})
CINDER_LIMITS = MappingProxyType({VOLUMES: "maxTotalVolumes", VOLUME_GB: "maxTotalVolumeGigabytes"})
BOUND_KEPT = 24 * 3600.0  # seconds; how long it is known whose volume one was
PLAIN = 2
"""The version of marshal's format in which equal values are equal bytes."""
NO_VOLUMES: Mapping[str, float] = MappingProxyType({VOLUMES: 0, VOLUME_GB: 0})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we remember of a cloud."""

    facts: Facts
    flavors: tuple[Flavor, ...]
    images: Mapping[str, str | None] = field(default_factory=dict)
    """The ids of the cloud images that were looked up, by the name of their configuration; None: there is none."""
    volumes: tuple[RawVolume, ...] = ()
    """All volumes of the project, where any label boots from one."""


class _Latest:
    """The latest list of changes. Lists overlap, so that most of a list stood in the one before: for an entry that is
    still the same, the same server is returned, which saves everybody a closer look at it."""

    def __init__(self, facts: Facts | None = None) -> None:
        self._facts = facts
        self._found: dict[bytes, Server] = {}
        """By the digest of an entry: entries themselves are ten times as large as servers."""

    def server_of(self, raw: RawServer, before: "_Latest") -> Server:
        """Return the server that an entry describes, and remember it; `before` is the list before."""
        assert self._facts is not None
        entry: Any = raw
        digest = blake2b(marshal.dumps(entry, PLAIN), digest_size=16).digest()
        known = before._found.get(digest) if before._facts is self._facts else None
        found = self._found[digest] = server_of(raw, self._facts) if known is None else known
        return found


class OpenStack:
    """One provider of the driver `openstack`."""

    def __init__(self, provider: Provider, door: Door) -> None:
        self._provider = provider
        self._door = door
        self._known: Known | None = None
        self._learning = threading.Lock()
        self._seen: Mapping[ServerId, Server] = {}
        self._latest = _Latest()
        self._floating: set[ServerId] = set()
        self._bound: dict[str, tuple[ServerId, Timestamp]] = {}
        """The volumes that were to go with servers of ours, as far as we have seen them, and when last."""
        self._refused_ports: set[str] = set()
        """Ports of servers of ours that are not ours to delete."""
        self._installation: InstallationId | None = None
        self._lag = Lag()
        self._reach = Reach()

    @property
    def provider(self) -> ProviderName:
        return self._provider.name

    def connect(self) -> None:
        self._door.connect()

    def close(self) -> None:
        self._door.close()

    @understanding()
    def list_servers(self, since: Timestamp | None, now: Timestamp) -> Listing:
        """List servers as `Driver` says.

        A server whose Nova cell is down is listed as it was last seen, with the status `other`.
        """
        facts = self._remembered().facts
        full = since is None
        query = {}
        if since is not None:
            query["changes-since"] = _stamp(self._reach.start(since, now, self._lag.at_most))
        started = time.monotonic()
        try:
            found, date = self._servers(query)
        except BadRequest:
            # The server that a page ended with may have gone before the next page was asked for.
            found, date = self._servers(query)
        self._lag.heard(date, now, now + time.monotonic() - started)
        self._reach.listed(now, full=full)
        self._bound |= {volume: (server, now) for volume, server in volumes.bound(found)}
        servers = self._described(found, facts, full=full)
        seen = {server.id: server for server in servers}
        floating_ones = {ServerId(raw["id"]) for raw in found if has_floating_ip(raw)}
        if full:
            self._seen, self._floating = seen, floating_ones | (self._floating & seen.keys())
            self._bound = {volume: at for volume, at in self._bound.items() if at[1] > now - BOUND_KEPT}
        else:
            self._seen, self._floating = {**self._seen, **seen}, self._floating | floating_ones
        return Listing(servers=servers, asked=now, full=full)

    @understanding()
    def capacity(self, now: Timestamp) -> Capacity:
        """Read limits, zones and what labels need. Refreshes what is remembered of the cloud."""
        known = self._learn()
        pool_labels = self._pool_labels(known)
        labels: dict[LabelName, LabelFacts] = {}
        for (_, label), found in pool_labels.items():
            labels[label] = dearest(labels[label], found) if label in labels else found
        network = self._door.has(NETWORK)
        return Capacity(
            limits=Resources({**self._nova_limits(), **self._volume_limits()}),
            zones=self._zones(),
            labels=MappingProxyType(labels),
            pool_labels=pool_labels,
            loose=volumes.loose(known.volumes, now),
            network=network or (self._boots_from_volumes() and self._door.has(VOLUME)),
            floating=network and floating.possible(known.facts.networks),
            asked=now,
        )

    @understanding()
    def create_server(self, order: ServerOrder) -> ServerId:
        """Ask for a server as `Driver` says. After Unavailable it may exist or not: the lists will tell, by its
        attempt id."""
        known = self._remembered()
        self._installation = order.marks.installation
        version = self._door.microversion()
        try:
            body = server_body(
                order,
                flavor=self._flavor(order.label, known).id,
                image=order.image if order.image is not None else self._cloud_image(order.label, known),
                networks=self._networks(order.label, known.facts.networks),
                auto=version is not None and version >= KNOWS_AUTO_NETWORK,
            )
            server = self._door.call(COMPUTE, "POST", "/servers", json=body).member("server")
        except (BadRequest, Misconfigured):
            self._known = None
            raise
        except Unavailable as error:
            words = f"{error} (it is not known whether the server {order.name} is being made)"
            raise Unavailable(words, answered=error.answered) from None
        return ServerId(server["id"])

    @understanding()
    def delete_server(self, server: ServerId) -> None:
        if server in self._floating:
            seen = self._seen.get(server)
            installation = (seen.installation if seen else None) or self._installation
            if installation is not None:
                floating.release(self._door, server, installation)
            self._floating.discard(server)
        self._door.call(COMPUTE, "DELETE", f"/servers/{server}", fine=(404,))

    @understanding()
    def attach_address(self, server: ServerId, installation: InstallationId) -> str:
        """See `Networked`. Raises Misconfigured where the cloud has no floating IPs, Refused while the server has no
        port yet."""
        self._floating.add(server)
        self._installation = installation
        return floating.attach(self._door, server, self._remembered().facts.networks, installation)

    @understanding()
    def sweep_network(
        self, installation: InstallationId, gone: Set[ServerId], *, ports: bool, floating_ips: bool
    ) -> Swept:
        there = gone - self._seen.keys()
        swept = Swept()
        if self._door.has(NETWORK):
            swept = floating.sweep(
                self._door, installation, there, self._refused_ports, ports=ports, floating_ips=floating_ips
            )
        left = {volume for volume, (server, _) in self._bound.items() if server in there} if ports else set()
        if left and self._door.has(VOLUME):
            gone_by_now, deleted = volumes.sweep(self._door, left)
            swept = replace(swept, volumes=deleted)
            for volume in gone_by_now:
                self._bound.pop(volume, None)
        return swept

    @understanding()
    def console(self, server: ServerId) -> str:
        body: Json = {"os-getConsoleOutput": {}}
        output = self._door.call(COMPUTE, "POST", f"/servers/{server}/action", json=body).member("output")
        return str(output or "")

    @understanding()
    def upload_image(self, order: ImageOrder, progress: Callable[[int], None]) -> str:
        """Upload as `Driver` says, within the provider's image-upload-timeout."""
        return images.upload(self._door, order, self._provider.image_upload_timeout, progress)

    def delete_image(self, image: str) -> None:
        self._door.call(IMAGE, "DELETE", f"/images/{image}", fine=(404,))

    @understanding()
    def list_images(self) -> tuple[Image, ...]:
        return images.list_images(self._door)

    def _servers(self, query: Mapping[str, str]) -> tuple[list[RawServer], str | None]:
        found: list[RawServer] = []
        date = None
        for answer, page in pages(self._door, COMPUTE, "/servers/detail", "servers", query):
            found.extend(page)
            date = date or answer.date
        return found, date

    def _described(self, found: Iterable[RawServer], facts: Facts, *, full: bool) -> tuple[Server, ...]:
        """Return the servers of a list. Full ones are too long to be remembered."""
        before, latest = self._latest, _Latest(None if full else facts)
        servers = []
        for raw in found:
            if is_stub(raw):
                servers.append(self._stub(raw))
            else:
                servers.append(server_of(raw, facts) if full else latest.server_of(raw, before))
        self._latest = latest
        return tuple(servers)

    def _stub(self, raw: RawServer) -> Server:
        server = ServerId(raw["id"])
        before = self._seen.get(server) or Server(id=server, name="", status=ServerStatus.OTHER)
        return replace(before, status=ServerStatus.OTHER)

    def _remembered(self) -> Known:
        return self._known or self._learn(again=False)

    def _learn(self, *, again: bool = True) -> Known:
        """Ask the cloud for everything that is remembered, in one thread; others take what that one found."""
        with self._learning:
            if self._known is not None and not again:
                return self._known
            raw_flavors = listed(self._door, COMPUTE, "/flavors/detail", "flavors")
            flavors = flavors_of(raw_flavors)
            volumes = tuple(self._volumes())
            facts = Facts(
                networks=self._network_facts(),
                flavors=MappingProxyType({flavor.id: flavor for flavor in flavors}),
                volume_gb=MappingProxyType({volume["id"]: volume.get("size", 0) for volume in volumes}),
            )
            self._known = Known(facts=facts, flavors=flavors, images=self._cloud_images(), volumes=volumes)
            return self._known

    def _network_facts(self) -> NetworkFacts:
        access = self._door.traits().access
        if not self._door.has(NETWORK):
            return facts_without_neutron(access)
        try:
            raw = listed(self._door, NETWORK, "/networks", "networks")
        except Refused as error:
            # There have been public clouds whose catalogue has a Neutron that is not for customers.
            log.warning("Going by clouds.yaml alone: %s", error)
            return facts_without_neutron(access)
        return network_facts(raw, access)

    def _volumes(self) -> list[RawVolume]:
        if not self._boots_from_volumes() or not self._door.has(VOLUME):
            return []
        return listed(self._door, VOLUME, "/volumes/detail", "volumes")

    def _boots_from_volumes(self) -> bool:
        return any(label.boot_from_volume for pool in self._provider.pools.values() for label in pool.labels.values())

    def _cloud_images(self) -> Mapping[str, str | None]:
        used = {label.cloud_image for pool in self._provider.pools.values() for label in pool.labels.values()}
        wanted = [image for name, image in self._provider.cloud_images.items() if name in used]
        return MappingProxyType(
            {image.name: image.image_id or images.find_image(self._door, image) for image in wanted}
        )

    def _flavor(self, label: PoolLabel, known: Known) -> Flavor:
        flavor = choose_flavor(known.flavors, label)
        if flavor is None:
            raise Misconfigured(f"label {label.name}: {no_flavor(label)}")
        return flavor

    def _cloud_image(self, label: PoolLabel, known: Known) -> str:
        found = known.images.get(label.cloud_image or "")
        if found is None:
            raise Misconfigured(f"label {label.name}: the cloud has no active image {label.cloud_image!r}")
        return found

    def _networks(self, label: PoolLabel, networks: NetworkFacts) -> list[str] | None:
        """Return the ids of the networks that a label names, or of the default one; None leaves it to Nova."""
        names = label.networks or ((networks.default_interface,) if networks.default_interface else ())
        missing = [name for name in names if name not in networks.ids]
        if missing and networks.ids:
            raise Misconfigured(f"label {label.name}: the cloud has no network {missing[0]!r}")
        return [networks.ids.get(name, name) for name in names] or None

    def _nova_limits(self) -> dict[str, float]:
        answer = self._door.call(COMPUTE, "GET", "/limits")
        return _limited(answer.member("limits"), NOVA_LIMITS)

    def _volume_limits(self) -> Mapping[str, float]:
        if not self._door.has(VOLUME):
            return NO_VOLUMES
        try:
            return _limited(self._door.call(VOLUME, "GET", "/limits").member("limits"), CINDER_LIMITS)
        except DriverError as error:
            if self._boots_from_volumes():
                raise
            log.info("No label needs volumes, so this does no harm: %s", error)
            return NO_VOLUMES

    def _zones(self) -> tuple[str, ...]:
        """Return the zones that are available; none when the cloud does not say, which leaves the choice to Nova."""
        try:
            found: list[RawZone] = listed(self._door, COMPUTE, "/os-availability-zone", "availabilityZoneInfo")
        except DriverError as error:
            log.warning("The choice of zones is left to Nova: %s", error)
            return ()
        return tuple(zone["zoneName"] for zone in found if (zone.get("zoneState") or {}).get("available"))

    def _pool_labels(self, known: Known) -> Mapping[tuple[PoolName, LabelName], LabelFacts]:
        return MappingProxyType(
            {
                (pool.name, label.name): facts_of(label, known.flavors, known.images)
                for pool in self._provider.pools.values()
                for label in pool.labels.values()
            }
        )


def _limited(limits: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> dict[str, float]:
    """Return the absolute limits under our names. A negative one, or one that is not named, does not limit."""
    absolute = limits.get("absolute") or {}
    return {ours: absolute[theirs] for ours, theirs in names.items() if absolute.get(theirs, -1) >= 0}


def _stamp(instant: Timestamp) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
