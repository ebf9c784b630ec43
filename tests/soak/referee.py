"""Judges from outside: what is in ZooKeeper, what the cloud remembers, what is on disk.

It knows nothing of what daemons say of themselves. Some things it looks at every second, others when all is over.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain

from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.sim.client import RegionState, ServerState
from tests.soak.crew import MOST, REGIONS, Crew
from tests.soak.load import Use

LOOK_EVERY = 1.0  # seconds
PLANTED = 12
"""Servers of others in each region, half of them of another installation, half as Nodepool 11 made them."""
CLOSE = 1.5  # seconds by which a job's end and the cloud's clock may differ


class Referee:
    """Looks on from `start` to `stop`; `judge` is for the end, when all is at rest."""

    def __init__(self, crew: Crew, broken: Callable[[str], None]) -> None:
        self._crew = crew
        self._broken = broken
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="referee")
        self._planted: dict[str, set[str]] = {name: set() for name in REGIONS}
        self._said: set[str] = set()

    def plant(self) -> None:
        """Put machines and images there that look like ours and are not."""
        for name in REGIONS:
            region = self._crew.place.sim.region("acme", name)
            for number in range(PLANTED):
                marks = {"nodepool_provider_name": name, "nodepool_node_id": f"{number:010}"}
                if number % 2:
                    marks |= {"nodepool_ng_installation_id": "another", "nodepool_ng_attempt_id": f"theirs-{number}"}
                self._planted[name].add(region.plant_server(f"np{number:010}", metadata=marks).id)
            image = {"nodepool_build_id": "1", "nodepool_upload_id": "1", "nodepool_provider_name": name}
            self._planted[name].add(region.plant_image("tiny-1", **image))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def foreign(self, region: str) -> set[str]:
        return self._planted[region]

    def ours(self, region: str) -> list[ServerState]:
        """Return the servers of a region that exist and were not planted."""
        state = self._crew.place.sim.region("acme", region).state()
        return [server for server in state.live if server.id not in self._planted[region]]

    def images(self, region: str) -> set[str]:
        state = self._crew.place.sim.region("acme", region).state()
        return {image["id"] for image in state.images if image["name"] != "base"} - self._planted[region]

    def at_rest(self) -> str:
        """Say what is not as it should be when nothing is asked for; empty when all is."""
        nodes = self._crew.place.nodes().values()
        servers = {server.id for region in REGIONS for server in self.ours(region)}
        recorded = {node.server_id for node in nodes}
        if servers != recorded:
            return f"TIDY: {len(servers - recorded)} servers without a node, {len(recorded - servers)} nodes without"
        busy = [f"{node.id} is {node.state}" for node in nodes if not node.free]
        if busy:
            return f"TIDY: nodes are not at rest: {', '.join(busy[:5])}"
        uploads = {str(upload.external_id) for upload in self._crew.yard.uploads()}
        images = set(chain.from_iterable(map(self.images, REGIONS)))
        if images != uploads:
            return f"TIDY: {len(images - uploads)} images without a record, {len(uploads - images)} records without"
        litter = [path.name for path in self._crew.scratch.iterdir()]
        return f"TIDY: builds left {', '.join(litter)}" if litter else ""

    def judge(self, uses: list[Use]) -> None:
        """Go through the whole history."""
        servers: dict[str, ServerState] = {}
        for name in REGIONS:
            state = self._crew.place.sim.region("acme", name).state()
            servers |= {server.id: server for server in state.servers}
            self._foreign_is_untouched(name, state)
        for what in chain(_given_twice(uses), _taken_away(uses, servers)):
            self._tell(what)

    def _foreign_is_untouched(self, name: str, state: RegionState) -> None:
        there = {server.id for server in state.live} | {image["id"] for image in state.images}
        for gone in sorted(self._planted[name] - there):
            self._tell(f"OURS: {gone} in {name} was not ours and is gone")

    def _watch(self) -> None:
        before: set[str] = set()
        while not self._over.wait(LOOK_EVERY):
            # What is seen once may be the half of an answer, of a ZooKeeper that went away in the middle.
            seen = {*self._images_are_kept(), *self._limits_are_kept()}
            for what in seen & before:
                self._tell(what)
            before = seen

    def _images_are_kept(self) -> Iterator[str]:
        """In the clouds first: what is deleted between two looks would seem to be missing otherwise."""
        before = {region: self.images(region) for region in REGIONS}
        records = self._crew.yard.records().values()
        ready = [record for record in records if record.state is ImageState.READY]
        if not records:
            return  # ZooKeeper is away at the moment
        if not any(isinstance(record, Build) for record in ready):
            yield "IMAGES: there is no build any more"
        for region in REGIONS:
            uploads = {r.external_id for r in ready if isinstance(r, Upload) and r.provider == region}
            if not uploads & before[region] and not uploads & self.images(region):
                yield f"IMAGES: {region} has no image any more that nodes can be made of"

    def _limits_are_kept(self) -> Iterator[str]:
        counts: dict[str, int] = defaultdict(int)
        for node in self._crew.place.nodes().values():
            counts[str(node.provider)] += 1
        for provider, count in counts.items():
            if count > MOST:
                yield f"LIMITS: {count} nodes in {provider}, where {MOST} are allowed"

    def _tell(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._broken(what)


def _given_twice(uses: list[Use]) -> Iterator[str]:
    of_node: dict[str, int] = defaultdict(int)
    of_server: dict[str, set[str]] = defaultdict(set)
    for use in uses:
        of_node[use.node] += 1
        of_server[use.server].add(use.node)
    yield from (f"ONCE: node {node} was given out {count} times" for node, count in of_node.items() if count > 1)
    yield from (f"ONCE: server {id} served nodes {sorted(nodes)}" for id, nodes in of_server.items() if len(nodes) > 1)


def _taken_away(uses: list[Use], servers: dict[str, ServerState]) -> Iterator[str]:
    for use in uses:
        server = servers.get(use.server)
        if server is None:
            yield f"ONCE: node {use.node} was given out with a server {use.server} that never was"
        elif server.delete_asked is not None and server.delete_asked < use.until - CLOSE:
            yield f"OURS: server {use.server} was deleted while a job ran on node {use.node}"
