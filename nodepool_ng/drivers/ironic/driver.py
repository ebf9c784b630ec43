"""The Ironic driver: the verbs of `drivers.Driver`, and the further steps of `drivers.Stepwise`.

Everything that takes minutes is seen in lists and never waited for.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType

from nodepool_ng.drivers import (
    Capacity,
    Image,
    ImageOrder,
    Listing,
    Misconfigured,
    NoCapacity,
    ServerOrder,
    Swept,
)
from nodepool_ng.drivers.ironic import kinds, steps, tending
from nodepool_ng.drivers.ironic.bodies import (
    MARK_ALLOCATION,
    PORT_OWNER,
    allocation_body,
    image_told,
    marks_in,
    port_mark,
    server_id,
)
from nodepool_ng.drivers.ironic.health import Health
from nodepool_ng.drivers.ironic.machines import Lists, Wanted, as_told, can_be_had, name_of, said_of, servers_of
from nodepool_ng.drivers.ironic.states import DEPLOYED
from nodepool_ng.drivers.ironic.steps import Deployment
from nodepool_ng.drivers.ironic.wire import RawAllocation, RawEvent, RawMachine
from nodepool_ng.drivers.openstack import images
from nodepool_ng.drivers.openstack.calls import BARE_METAL, IMAGE, NETWORK, Door, Microversion, listed, understanding
from nodepool_ng.drivers.openstack.refusal import BadRequest
from nodepool_ng.drivers.openstack.wire import RawNetwork, RawPort
from nodepool_ng.model.ids import InstallationId, LabelName, ProviderName, ServerId, Timestamp
from nodepool_ng.model.server import LabelFacts
from nodepool_ng.model.settings import Machine, PoolLabel, Provider

log = logging.getLogger("nodepool.driver.ironic")

MICROVERSIONS: tuple[Microversion, ...] = ((1, 78), (1, 65), (1, 61), (1, 56))
"""What we speak to Ironic, the first that it offers. 1.78 tells a machine's history, 1.65 knows lessees, 1.61 machines
that are retired; 1.56 makes config drives, and is the oldest that will do."""
TELLS_HISTORY: Microversion = (1, 78)
FIELDS: tuple[tuple[str, Microversion], ...] = (
    ("uuid", (1, 1)),
    ("name", (1, 5)),
    ("provision_state", (1, 1)),
    ("power_state", (1, 1)),
    ("maintenance", (1, 1)),
    ("maintenance_reason", (1, 1)),
    ("fault", (1, 42)),
    ("last_error", (1, 1)),
    ("resource_class", (1, 21)),
    ("traits", (1, 37)),
    ("owner", (1, 50)),
    ("lessee", (1, 65)),
    ("retired", (1, 61)),
    ("instance_uuid", (1, 1)),
    ("instance_info", (1, 1)),
    ("extra", (1, 1)),
    ("properties", (1, 1)),
    ("network_data", (1, 66)),
)
"""What is asked of each machine, and since when there is such a thing."""
LOST = 409
"""There is an allocation of that id, or name, already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we remember of a cloud between two readings of its capacity."""

    images: Mapping[str, str | None] = field(default_factory=dict)
    """Glance ids of the cloud images that are looked up there; None: there is none."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """Ids of networks, by name and by id."""


class Ironic:
    """One provider of the driver `ironic`."""

    def __init__(self, provider: Provider, door: Door) -> None:
        self._provider = provider
        self._door = door
        self._kinds = kinds.kinds_of(provider)
        self._health = Health(provider.machine_retries)
        self._known: Known | None = None
        self._counted: Set[str] | None = None
        self._machines: Mapping[str, RawMachine] = {}
        self._installations: dict[ServerId, InstallationId] = {}
        self._told: str = ""
        self._learning = threading.Lock()

    @property
    def provider(self) -> ProviderName:
        return self._provider.name

    def connect(self) -> None:
        """See `Driver`. Raises Misconfigured where Ironic is too old."""
        self._door.connect()
        version = self._door.microversion()
        if version is None or version < MICROVERSIONS[-1]:
            oldest = "{}.{}".format(*MICROVERSIONS[-1])
            raise Misconfigured(f"{self.provider}: this Ironic is too old: its API has no version {oldest}")

    def close(self) -> None:
        self._door.close()

    @understanding()
    def list_servers(self, since: Timestamp | None, now: Timestamp) -> Listing:
        """List as `Driver` says, always all: Ironic cannot tell what changed."""
        lists = self._lists()
        with self._learning:
            self._machines = lists.machines
            found = tuple(servers_of(lists, self._wanted()))
            before = self._health.held
            self._health.saw(found, lists.machines)
            for machine in self._health.held - before:
                log.error(
                    "Provider %s: machine %s failed %d times in a row and gets nothing more, until an operator puts it "
                    "into maintenance and out again",
                    self.provider,
                    said_of(lists.machines[machine]),
                    self._provider.machine_retries,
                )
            self._installations = {one.id: one.installation for one in found if one.installation is not None}
        return Listing(servers=found, asked=now, full=True)

    @understanding()
    def capacity(self, now: Timestamp) -> Capacity:
        """Count machines, and look whether labels can be had. Refreshes what is remembered of the cloud."""
        known = self._learn()
        machines = self._list_machines()
        fitting = [machine for machine in machines if kinds.uses(machine, self._kinds)]
        with self._learning:
            self._counted = frozenset(machine["uuid"] for machine in fitting)
            held = self._health.held
        facts = {
            (pool.name, label.name): self._label_facts(label, fitting, known)
            for pool in self._provider.pools.values()
            for label in pool.labels.values()
        }
        labels: dict[LabelName, LabelFacts] = {}
        for (_, name), found in facts.items():
            if name not in labels or labels[name].broken is not None:
                labels[name] = found
        return Capacity(
            limits=kinds.limits(fitting, self._kinds),
            zones=(),
            labels=MappingProxyType(labels),
            pool_labels=MappingProxyType(facts),
            network=True,
            list_every=self._provider.list_interval,
            trouble=self._trouble(machines, held),
            asked=now,
        )

    @understanding()
    def create_server(self, order: ServerOrder) -> ServerId:
        """Make the allocation of an attempt; its id follows from the attempt's, so that there is never a second one.
        What is left to do comes with `advance`."""
        machine, attempt = _machine(order.label), order.marks.attempt
        if attempt is None:
            raise Misconfigured(f"label {order.label.name}: a machine needs the id of an attempt")
        server = server_id(order.marks.installation, attempt)
        self._remember(server, order.marks.installation)
        body = allocation_body(order, server, machine, self._candidates(machine))
        answer = self._door.call(BARE_METAL, "POST", "/allocations", json=body, fine=(LOST,))
        if answer.status == LOST:
            there: RawAllocation = self._door.call(BARE_METAL, "GET", f"/allocations/{server}").json()
            server = ServerId(there["uuid"])
        return server

    @understanding()
    def advance(self, server: ServerId, order: ServerOrder) -> None:
        """See `Stepwise`."""
        wanted = _machine(order.label)
        known = self._known or self._learn(again=False)
        machine = self._machine_with(server)
        if machine is None:
            return
        cloud_image = None if order.image else self._provider.cloud_images.get(order.label.cloud_image or "")
        found = known.images.get(cloud_image.name) if cloud_image is not None else None
        deployment = Deployment(
            order=order,
            server=server,
            machine=wanted,
            image=image_told(order.image, cloud_image, found),
            networks=tuple(_network(known, order.label, name) for name in order.label.networks),
        )
        try:
            steps.deploy(self._door, machine, deployment)
        except BadRequest:
            # What we remember of images and networks may be out of date.
            self._known = None
            raise

    @understanding()
    def delete_server(self, server: ServerId) -> None:
        """End a deployment, or give back a machine that was only allocated."""
        machine = self._machine_with(server)
        if machine is None:
            self._door.call(BARE_METAL, "DELETE", f"/allocations/{server}", fine=(404,))
        elif machine.get("provision_state") in DEPLOYED:
            steps.undeploy(self._door, machine)
        else:
            plugged = self._uses_networks() and self._door.has(NETWORK)
            installation = self._installations.get(server) if plugged else None
            steps.withdraw(self._door, machine, server, installation)

    @understanding()
    def console(self, server: ServerId) -> str:
        """Return what Ironic knows of a deployment: state, power, the last error, what happened to the machine, and
        where its console can be reached, if it can."""
        machine = self._machine_with(server)
        if machine is None:
            return ""
        node = f"/nodes/{machine['uuid']}"
        answer = self._door.call(BARE_METAL, "GET", f"{node}/states/console", fine=(400, 403, 404))
        info = (answer.json().get("console_info") or {}) if answer.status < 400 else {}
        events: list[RawEvent] = []
        version = self._door.microversion()
        if version is not None and version >= TELLS_HISTORY:
            detail = {"detail": "true"}
            answer = self._door.call(BARE_METAL, "GET", f"{node}/history", params=detail, fine=(403, 404))
            events = answer.json().get("history") or [] if answer.status < 400 else []
        return as_told(machine, events, str(info.get("url") or ""))

    @understanding()
    def sweep_network(
        self, installation: InstallationId, gone: Set[ServerId], *, ports: bool, floating_ips: bool
    ) -> Swept:
        """Delete ports of ours whose machine went; put machines of ours to work again that failed to clean."""
        there = tending.all_ports(self._door) if self._uses_networks() and self._door.has(NETWORK) else []
        allocations, machines = self._list_allocations(), self._list_machines()
        swept = tending.sweep_ports(self._door, there, allocations, installation)
        most = self._provider.machine_retries
        tended = tending.tend(self._door, machines, installation, self.provider, most)
        return Swept(ports=swept.ports, machines=tended)

    @understanding()
    def upload_image(self, order: ImageOrder, progress: Callable[[int], None]) -> str:
        """Upload to Glance as `Driver` says, within the provider's image-upload-timeout."""
        return images.upload(self._door, order, self._provider.image_upload_timeout, progress)

    def delete_image(self, image: str) -> None:
        self._door.call(IMAGE, "DELETE", f"/images/{image}", fine=(404,))

    @understanding()
    def list_images(self) -> tuple[Image, ...]:
        """List images as `Driver` says; none where Ironic stands alone, without a Glance."""
        if not self._door.has(IMAGE):
            return ()
        return images.list_images(self._door)

    def _lists(self) -> Lists:
        """List allocations before machines: one that is there finds its machine, or that was undeployed meanwhile."""
        allocations = self._list_allocations()
        machines = self._list_machines()
        return Lists(
            allocations=allocations,
            machines=MappingProxyType({machine["uuid"]: machine for machine in machines}),
            addresses=self._port_addresses(),
        )

    def _list_allocations(self) -> Mapping[str, RawAllocation]:
        found: list[RawAllocation] = listed(self._door, BARE_METAL, "/allocations", "allocations")
        return MappingProxyType({allocation["uuid"]: allocation for allocation in found})

    def _list_machines(self) -> list[RawMachine]:
        return listed(self._door, BARE_METAL, "/nodes", "nodes", {"fields": self._fields()})

    def _fields(self) -> str:
        version = self._door.microversion() or MICROVERSIONS[-1]
        return ",".join(name for name, since in FIELDS if since <= version)

    def _machine_with(self, server: ServerId) -> RawMachine | None:
        """Return the machine of a server as it is now; None where Ironic knows of none."""
        query = {"instance_uuid": server, "fields": self._fields()}
        found: list[RawMachine] = listed(self._door, BARE_METAL, "/nodes", "nodes", query)
        for machine in found:
            if machine.get("instance_uuid") == server:
                return machine
        # A deployment whose allocation somebody deleted is known by what was written into it.
        for uuid, seen in self._machines.items():
            if marks_in(seen.get("instance_info")).get(MARK_ALLOCATION) == server:
                answer = self._door.call(BARE_METAL, "GET", f"/nodes/{uuid}", params={"fields": self._fields()})
                now: RawMachine = answer.json()
                still = marks_in(now.get("instance_info")).get(MARK_ALLOCATION) == server
                if still and now.get("instance_uuid") is None and now.get("provision_state") in DEPLOYED:
                    return now
        return None

    def _port_addresses(self) -> Mapping[ServerId, tuple[str, ...]]:
        if not self._uses_networks() or not self._door.has(NETWORK):
            return {}
        ports: list[RawPort] = listed(self._door, NETWORK, "/ports", "ports", {"device_owner": PORT_OWNER})
        found: dict[ServerId, tuple[str, ...]] = {}
        for port in ports:
            words = (port.get("description") or "").split()
            if len(words) == 4 and port_mark(words[1]).split() == words[:3]:
                addresses = (fixed.get("ip_address", "") for fixed in port.get("fixed_ips") or ())
                server = ServerId(words[3])
                found[server] = (*found.get(server, ()), *filter(None, addresses))
        return found

    def _uses_networks(self) -> bool:
        return any(label.networks for pool in self._provider.pools.values() for label in pool.labels.values())

    def _wanted(self) -> Wanted:
        return Wanted(
            kinds=self._kinds,
            address_of={pool.name: _address(pool.labels) for pool in self._provider.pools.values()},
            counted=self._counted,
            held=self._health.held,
        )

    def _candidates(self, wanted: Machine) -> list[str] | None:
        """Return the machines that a label may have where Ironic's own choice could be a wrong one; None: any."""
        kind = kinds.kind_of(wanted)
        with self._learning:
            held, machines = self._health.held, self._machines
        if kind.owner is None and kind.lessee is None and not held:
            return None
        free = [uuid for uuid, each in machines.items() if kind.fits(each) and can_be_had(each) and uuid not in held]
        if not free:
            raise NoCapacity(f"{self.provider}: no {kind.said()} is available")
        return free

    def _learn(self, *, again: bool = True) -> Known:
        with self._learning:
            if self._known is not None and not again:
                return self._known
        known = Known(images=self._find_images(), networks=self._find_networks())
        with self._learning:
            self._known = known
        return known

    def _find_images(self) -> Mapping[str, str | None]:
        used = {label.cloud_image for pool in self._provider.pools.values() for label in pool.labels.values()}
        wanted = [one for name, one in self._provider.cloud_images.items() if name in used and one.source is None]
        if wanted and not self._door.has(IMAGE):
            return {}
        return MappingProxyType({one.name: one.image_id or images.find_image(self._door, one) for one in wanted})

    def _find_networks(self) -> Mapping[str, str]:
        if not self._uses_networks() or not self._door.has(NETWORK):
            return {}
        found: list[RawNetwork] = listed(self._door, NETWORK, "/networks", "networks")
        ids = {network["id"]: network["id"] for network in found}
        return MappingProxyType({network["name"]: network["id"] for network in found if network.get("name")} | ids)

    def _label_facts(self, label: PoolLabel, machines: list[RawMachine], known: Known) -> LabelFacts:
        kind = kinds.kind_of(_machine(label))
        broken = None
        image = self._provider.cloud_images.get(label.cloud_image or "")
        missing = [name for name in label.networks if name not in known.networks]
        if not any(kind.fits(machine) for machine in machines):
            broken = f"the cloud has no {kind.said()}"
        elif image is not None and image.source is None and known.images.get(image.name) is None:
            broken = f"the cloud has no active image {image.name!r}"
        elif missing:
            broken = f"the cloud has no network {missing[0]!r}"
        return LabelFacts(needs=kinds.needs(kind, self._kinds), broken=broken)

    def _trouble(self, machines: list[RawMachine], held: Set[str]) -> str:
        """Return which machines an operator has to look at; it is logged when that changes."""
        most = self._provider.machine_retries
        told = [f"{name_of(one)} failed {most} times in a row" for one in machines if one["uuid"] in held]
        for machine in machines:
            mark = tending.ours(machine, None, self.provider)
            if machine["uuid"] not in held and tending.needs_operator(machine, mark, most):
                told.append(said_of(machine))
        trouble = f"machines that an operator has to look at: {'; '.join(told)}" if told else ""
        if trouble and trouble != self._told:
            log.error("Provider %s: %s", self.provider, trouble)
        self._told = trouble
        return trouble

    def _remember(self, server: ServerId, installation: InstallationId) -> None:
        with self._learning:
            self._installations = {**self._installations, server: installation}


def _machine(label: PoolLabel) -> Machine:
    if label.machine is None:
        raise Misconfigured(f"label {label.name}: it says nothing about machines")
    return label.machine


def _address(labels: Mapping[LabelName, PoolLabel]) -> str:
    return next((label.machine.address for label in labels.values() if label.machine is not None), "name")


def _network(known: Known, label: PoolLabel, name: str) -> str:
    try:
        return known.networks[name]
    except KeyError:
        raise Misconfigured(f"label {label.name}: the cloud has no network {name!r}") from None
