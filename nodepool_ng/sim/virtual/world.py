"""Puts an installation together: a tree, regions, launchers, and a referee who sees everything."""

import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from nodepool_ng.drivers.calls import Call
from nodepool_ng.launcher.reconciler import Reconciler, Reconfigured
from nodepool_ng.launcher.registration import pool_keys
from nodepool_ng.launcher.world import World
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import NodeId, PoolId, ProviderName, Seconds
from nodepool_ng.model.settings import Settings
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller
from nodepool_ng.sim.settings import RegionSettings
from nodepool_ng.sim.virtual.builder import Disk, VirtualBuilder, assemble
from nodepool_ng.sim.virtual.cloud import ModelDriver, VirtualClouds
from nodepool_ng.sim.virtual.machines import Machines
from nodepool_ng.sim.virtual.process import Points, VirtualLauncher, VirtualProcess
from nodepool_ng.sim.virtual.promise import INSTALLATION, SETTLE
from nodepool_ng.sim.virtual.promises import Referee
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.sim.virtual.witness import WitnessedTree, reading
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.installation import BASE
from nodepool_ng.zk.memory import MemoryStore
from nodepool_ng.zk.mirror import Mirror
from nodepool_ng.zk.store import Create
from nodepool_ng.zk.tree import SessionId

CALLER = Caller("pool", "nodepool")
MESSAGE_TIME: Seconds = 0.001
"""How long a message between a client and ZooKeeper is on its way."""


Called: TypeAlias = Callable[[str, ProviderName, Call, object], None]


def _nobody_listens(name: str, provider: ProviderName, call: Call, answer: object) -> None:
    """Nobody wants to hear of cloud calls."""


class Installation:
    """Everything that a simulation consists of, under one seeded virtual clock."""

    def __init__(self, settings: Settings, regions: Mapping[ProviderName, RegionSettings], seed: int) -> None:
        self.rng = random.Random(seed)
        self.timeline = Timeline()
        self.tree = WitnessedTree(self.timeline.schedule, self.timeline.now)
        self.settings = settings
        self.regions = {
            name: Region(name, chosen, random.Random(self.rng.random())) for name, chosen in regions.items()
        }
        self.machines = Machines(self.timeline)
        self.launchers: list[VirtualLauncher] = []
        self.builders: list[VirtualBuilder] = []
        self.late_lists: dict[ProviderName, Seconds] = {}
        self.delay: Callable[[str], Seconds] = lambda name: MESSAGE_TIME
        """How long the next message between ZooKeeper and the named launcher takes."""
        self.erased: set[NodeId] = set()
        """Nodes that an operator erased: should their servers have lost their metadata, nobody can know them."""
        self.called: Called = _nobody_listens
        """Told of every cloud call that was carried out."""
        self.referee = Referee(self.tree, self.regions, self.timeline.now, self.process_of)
        self._clouds: dict[VirtualLauncher, VirtualClouds] = {}
        self.pool_ids: dict[VirtualLauncher, dict[PoolKey, PoolId]] = {}
        self._sessions: dict[SessionId, VirtualLauncher | None] = {}
        self.client = MemoryStore(self.tree, lambda: MESSAGE_TIME)
        self.client.start()
        self.timeline.run(0.1)
        self._prepare()
        self.tree.judge = self.referee.judge
        self.tree.ended = self.referee.session_ended

    def launcher(
        self, hostname: str = "launcher", points: Points | None = None, settings: Settings | None = None
    ) -> VirtualLauncher:
        """Start a launcher."""
        settings = settings or self.settings
        store = MemoryStore(self.tree, lambda: self.delay(hostname))
        launcher = VirtualLauncher(
            hostname, self.timeline, store, points or Points(), self.referee.defect, self.tree.end_session
        )
        clouds = VirtualClouds(
            self.timeline, launcher, self.referee, self._drivers(settings), self.regions, self.late_lists, self._called
        )
        mirror = Mirror(store, launcher.post, decode=reading)
        self.pool_ids[launcher] = {}
        world = World(
            settings=settings,
            installation=INSTALLATION,
            owner=self._hex(),
            picture=mirror.picture,
            new_id=self._hex,
            pool_ids=self._ids(launcher, settings),
            now=launcher.clock.now(),
        )
        launcher.reconciler = Reconciler(
            world=world,
            mirror=mirror,
            store=store,
            clouds=clouds,
            scanner=self.machines,
            clock=launcher.clock,
            hostname=hostname,
            post=launcher.post,
            settle=SETTLE,
        )
        self._clouds[launcher] = clouds
        self.launchers.append(launcher)
        mirror.start()
        store.start()
        return launcher

    def builder(self, hostname: str, disk: Disk, settings: Settings, points: Points | None = None) -> VirtualBuilder:
        """Start a builder on a host's disk."""
        store = MemoryStore(self.tree, lambda: self.delay(hostname))
        builder: VirtualBuilder = VirtualProcess(
            hostname, self.timeline, store, points or Points(), self.referee.defect, self.tree.end_session
        )
        drivers = self._drivers(settings)
        clouds = VirtualClouds(
            self.timeline, builder, self.referee, drivers, self.regions, self.late_lists, self._called
        )
        self.builders.append(builder)
        assemble(builder, self.timeline, settings, disk, clouds, self._hex)
        return builder

    def process_of(self, session: SessionId) -> VirtualProcess[Any] | None:
        """Return the launcher or builder whose session it is."""
        builders = (each for each in self.builders if each.store.session_id == session)
        return self.launcher_of(session) or next(builders, None)

    def reload(self, launcher: VirtualLauncher, settings: Settings) -> None:
        """Give a launcher a changed configuration."""
        self.referee.reloaded[launcher.name] = self.timeline.now()
        self._clouds[launcher].use(self._drivers(settings))
        launcher.post(Reconfigured(settings, self._ids(launcher, settings)))

    def launcher_of(self, session: SessionId) -> VirtualLauncher | None:
        """Return whose session it is; None for everybody who is no launcher of ours."""
        if session not in self._sessions:
            owners: Iterator[VirtualLauncher] = (each for each in self.launchers if each.store.session_id == session)
            self._sessions[session] = next(owners, None)
        return self._sessions[session]

    def processes(self) -> Iterator[VirtualProcess[Any]]:
        yield from self.launchers
        yield from self.builders

    def living(self) -> list[VirtualLauncher]:
        return [launcher for launcher in self.launchers if launcher.alive]

    def _called(self, name: str, provider: ProviderName, call: Call, answer: object) -> None:
        self.called(name, provider, call, answer)

    def _drivers(self, settings: Settings) -> dict[ProviderName, ModelDriver]:
        return {
            name: ModelDriver(provider, self.regions[name], self.timeline, CALLER)
            for name, provider in settings.providers.items()
            if provider.has_cloud
        }

    def _ids(self, launcher: VirtualLauncher, settings: Settings) -> dict[PoolKey, PoolId]:
        known = self.pool_ids[launcher]
        return {
            key: known.setdefault(key, PoolId(f"{launcher.name}-PoolWorker.{key[0]}-{key[1]}-{self._hex()}"))
            for key in pool_keys(settings)
        }

    def _hex(self) -> str:
        return uuid.UUID(int=self.rng.getrandbits(128)).hex

    def create(self, path: str) -> None:
        """Create an empty znode, as an operator's command does; one that exists stays as it is."""
        self.tree.commit((Create(path),), self.client.session_id)

    def _prepare(self) -> None:
        ops: list[Any] = [Create(path) for path in BASE]
        self.tree.commit(
            [*ops, Create(paths.INSTALLATION, codec.encode_installation(INSTALLATION))], self.client.session_id
        )
