"""Puts an installation together: a tree, regions, launchers, and a scheduler that asks for nodes."""

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodepool_ng.launcher.reconciler import Reconciler
from nodepool_ng.launcher.registration import pool_keys
from nodepool_ng.launcher.world import World
from nodepool_ng.model.ids import InstallationId, PoolId, ProviderName, Seconds, Timestamp
from nodepool_ng.model.settings import Settings
from nodepool_ng.shell.effect import Step
from nodepool_ng.shell.runner import Hooks
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller
from nodepool_ng.sim.settings import RegionSettings
from nodepool_ng.sim.virtual.cloud import ModelDriver, VirtualClouds
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.installation import BASE
from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.mirror import Mirror
from nodepool_ng.zk.store import Create

INSTALLATION = InstallationId("simulated")
CALLER = Caller("pool", "nodepool")
MESSAGE_TIME: Seconds = 0.001
"""How long a message between a client and ZooKeeper is on its way."""
KEYS_AFTER: Seconds = 0.1
"""How long reading a server's host keys takes."""
SESSION_TIMEOUT: Seconds = 10.0
SETTLE: Seconds = SESSION_TIMEOUT + 5.0


class Killed(Exception):
    """Raised by a hook: the process dies here."""


@dataclass(slots=True)
class KillAt:
    """Hooks that let a process die at one of its steps: before it is taken, or when its answer has come.

    Steps are counted from 1, their beginnings and ends apart; with `point` 0 they are only counted.
    """

    point: int = 0
    seen: int = 0

    def before(self, action: object, step: Step) -> None:
        self._pass()

    def after(self, action: object, step: Step, answer: object) -> None:
        self._pass()

    def _pass(self) -> None:
        self.seen += 1
        if self.seen == self.point:
            raise Killed


class _Keys:
    """Every server that is up has one host key."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def scan(
        self, address: str, port: int, ssh: bool, deadline: Timestamp, done: Callable[[tuple[str, ...] | str], None]
    ) -> None:
        self._timeline.schedule(KEYS_AFTER, lambda: done((f"ssh-ed25519 {address}",)))


@dataclass(slots=True, eq=False)
class VirtualLauncher:
    """One launcher process. `kill` ends it as kill -9 does."""

    store: MemoryStore
    reconciler: Reconciler
    alive: bool = True
    wakes: list[float] = field(default_factory=list)

    def kill(self) -> int:
        """End the process; returns its session, which lives on in ZooKeeper until it expires."""
        self.alive = False
        return self.store.vanish()


class Installation:
    """Everything that a simulation consists of, under one seeded virtual clock."""

    def __init__(self, settings: Settings, regions: Mapping[ProviderName, RegionSettings], seed: int) -> None:
        self.rng = random.Random(seed)
        self.timeline = Timeline()
        self.tree = Tree(self.timeline.schedule, self.timeline.now)
        self.settings = settings
        self.regions = {
            name: Region(name, chosen, random.Random(self.rng.random())) for name, chosen in regions.items()
        }
        self.launchers: list[VirtualLauncher] = []
        self.client = MemoryStore(self.tree, lambda: MESSAGE_TIME)
        self.client.start()
        self.timeline.run(0.1)
        self._prepare()

    def launcher(self, hostname: str = "launcher", hooks: Hooks | None = None) -> VirtualLauncher:
        """Start a launcher."""
        store = MemoryStore(self.tree, lambda: MESSAGE_TIME)
        drivers = {
            name: ModelDriver(provider, self.regions[name], self.timeline, CALLER)
            for name, provider in self.settings.providers.items()
        }
        holder: list[VirtualLauncher] = []

        def post(letter: Any) -> None:
            self.timeline.schedule(0.0, lambda: self._deal(holder[0], letter))

        mirror = Mirror(store, post)
        world = World(
            settings=self.settings,
            installation=INSTALLATION,
            owner=self._hex(),
            picture=mirror.picture,
            new_id=self._hex,
            pool_ids={
                key: PoolId(f"{hostname}-PoolWorker.{key[0]}-{key[1]}-{self._hex()}")
                for key in pool_keys(self.settings)
            },
            now=self.timeline.now(),
        )
        reconciler = Reconciler(
            world=world,
            mirror=mirror,
            store=store,
            clouds=VirtualClouds(self.timeline, drivers, self.regions),
            scanner=_Keys(self.timeline),
            clock=self.timeline,
            hostname=hostname,
            post=post,
            settle=SETTLE,
            hooks=hooks,
        )
        launcher = VirtualLauncher(store, reconciler)
        holder.append(launcher)
        self.launchers.append(launcher)
        mirror.start()
        store.start()
        return launcher

    def kill(self, launcher: VirtualLauncher) -> None:
        """End a launcher as kill -9 does; its session ends when ZooKeeper has not heard of it for long enough."""
        if launcher.alive:
            session = launcher.kill()
            self.timeline.schedule(SESSION_TIMEOUT, lambda: self.tree.end_session(session))

    def _deal(self, launcher: VirtualLauncher, letter: Any) -> None:
        if not launcher.alive:
            return
        try:
            launcher.reconciler.deal(letter)
            self._turn(launcher)
        except Killed:
            self.kill(launcher)

    def _woken(self, launcher: VirtualLauncher, wake: float) -> None:
        launcher.wakes.remove(wake)
        try:
            self._turn(launcher)
        except Killed:
            self.kill(launcher)

    def _turn(self, launcher: VirtualLauncher) -> None:
        if not launcher.alive:
            return
        wake = launcher.reconciler.turn()
        if wake is not None and wake not in launcher.wakes:
            launcher.wakes.append(wake)
            self.timeline.schedule_at(wake, lambda: self._woken(launcher, wake))

    def _hex(self) -> str:
        return uuid.UUID(int=self.rng.getrandbits(128)).hex

    def _prepare(self) -> None:
        for path in BASE:
            self.tree.commit((Create(path),), self.client.session_id)
        self.tree.commit((Create(paths.INSTALLATION, codec.encode_installation(INSTALLATION)),), self.client.session_id)
