"""One history: a setup, and what happens in it. `play` lets it happen and says what was broken."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nodepool_ng.drivers import MARK_INSTALLATION, MARK_NODE, MARK_POOL, MARK_PROVIDER
from nodepool_ng.model.ids import LabelName, NodeId, ProviderName, Seconds
from nodepool_ng.model.lifecycle import NodeEvent, NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import Pool, Provider, Settings
from nodepool_ng.sim.server import Caller, Server, ServerAsk
from nodepool_ng.sim.settings import Fault, Latency, RegionSettings, Span
from nodepool_ng.sim.settings import Quota as RegionQuota
from nodepool_ng.sim.virtual import events as ev
from nodepool_ng.sim.virtual.builder import Disk
from nodepool_ng.sim.virtual.check import complaints
from nodepool_ng.sim.virtual.client import After, Job, VirtualScheduler
from nodepool_ng.sim.virtual.foreign import OldLauncher
from nodepool_ng.sim.virtual.operator import HELD_BY_OPERATOR, Operator
from nodepool_ng.sim.virtual.patience import Patience
from nodepool_ng.sim.virtual.process import Fate, Points, VirtualProcess
from nodepool_ng.sim.virtual.promise import Breach, Promise
from nodepool_ng.sim.virtual.promises import is_ours
from nodepool_ng.sim.virtual.scripts import Actor
from nodepool_ng.sim.virtual.world import CALLER, MESSAGE_TIME, Installation
from nodepool_ng.zk import paths

BIG = LabelName("big")
REST_WITHIN: Seconds = 400.0
"""How long after the last disturbance everything must have come to rest."""
REST_STEP: Seconds = 5.0
HEALED: Seconds = 1.0
REGION = RegionSettings(boot=Span(fixed=3.0), latency=Latency(default=Span(fixed=0.05)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where a history takes place. `launchers` have these settings each; `old` is a Nodepool 11 launcher beside
    them, with a provider of its own."""

    settings: Settings
    launchers: Mapping[str, Settings]
    region: RegionSettings = REGION
    builders: Mapping[str, Settings] = field(default_factory=dict)
    old: bool = False
    points: Mapping[str, Mapping[int, Fate]] = field(default_factory=dict)
    """What happens at which point of a launcher's first life; for systematic histories."""
    lives: Mapping[str, Seconds] = field(default_factory=dict)
    """How long after its death a launcher starts again, where that is not left to an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    seed: int
    setup: Setup
    events: tuple[ev.Event, ...]


@dataclass(slots=True)
class Verdict:
    """What came of a history."""

    breaches: list[Breach]
    rested: Seconds
    """How long after the last disturbance everything was at rest."""
    points: dict[str, list[str]]
    """The points that each launcher passed; empty unless they were to be remembered."""
    servers: int


class Stage:
    """A history while it happens."""

    def __init__(self, history: History, *, remember: bool = False, told: Callable[[str], None] | None = None) -> None:
        setup = history.setup
        self.place = Installation(setup.settings, dict.fromkeys(setup.settings.providers, setup.region), history.seed)
        self._history = history
        self._setup = setup
        self._remember = remember
        self._told = told
        self._slots: dict[str, VirtualProcess[Any]] = {}
        self._disks = {name: Disk(builder_id=f"builder of {name}") for name in setup.builders}
        self._settings = dict(setup.launchers)
        self._schedulers: list[VirtualScheduler] = []
        self._lags: dict[str, tuple[float, Seconds]] = {}
        self.points: dict[str, list[str]] = {}
        timeline, tree = self.place.timeline, self.place.tree
        self._scheduler = self._new_scheduler()
        self._operator = Operator(Actor("operator", timeline, tree, MESSAGE_TIME), tree, self.place.erased)
        self._old = OldLauncher(timeline, tree, next(iter(self.place.regions.values()))) if setup.old else None
        self._withdrawn: set[int] = set()
        self.place.delay = self._delay

    def play(self) -> Verdict:
        """Let everything happen; stop at the first breach."""
        place, timeline = self.place, self.place.timeline
        timeline.run(0.1)
        for name in (*self._setup.builders, *self._setup.launchers):
            self._start(name, self._setup.points.get(name))
        for event in self._history.events:
            timeline.schedule(event.at, partial(self._happen, event))
        Patience(place).begin()
        begun = timeline.monotonic()
        last = max((event.at for event in self._history.events), default=0.0)

        def broken() -> bool:
            return bool(place.referee.breaches)

        timeline.run_until(broken, begun + last + HEALED)
        healed = timeline.monotonic()
        if not broken():
            self._heal()
        reasons: list[str] = []
        while not broken():
            timeline.run_until(broken, timeline.monotonic() + REST_STEP)
            self._confirm_sweeps()
            self._end_holds()
            reasons = [*self._open_jobs(), *complaints(place)]
            if not reasons or timeline.monotonic() > healed + REST_WITHIN:
                break
        for reason in reasons:
            place.referee.breach(Promise.BACK, f"{REST_WITHIN:g} s after the last disturbance: {reason}")
        for job in self._jobs():
            surprised = [] if self._operator.touched.intersection(job.nodes) else job.trouble
            for trouble in surprised:
                place.referee.breach(Promise.ONCE, f"the client of {job.request}: {trouble}")
        return Verdict(
            breaches=place.referee.breaches,
            rested=timeline.monotonic() - healed,
            points=self.points,
            servers=sum(len(region.servers.rows) for region in place.regions.values()),
        )

    def _jobs(self) -> Iterable[Job]:
        return (job for scheduler in self._schedulers for job in scheduler.jobs)

    def _open_jobs(self) -> list[str]:
        return [f"the job of request {job.request} is not over" for job in self._jobs() if not job.over]

    def _new_scheduler(self) -> VirtualScheduler:
        scheduler = VirtualScheduler(self.place.timeline, self.place.tree, MESSAGE_TIME)
        self._schedulers.append(scheduler)
        return scheduler

    def _start(self, name: str, fates: Mapping[int, Fate] | None = None) -> None:
        running = self._slots.get(name)
        if running is not None and running.alive:
            return
        points = Points(dict(fates or {}))
        points.remember = self._remember
        launcher: VirtualProcess[Any]
        if name in self._disks:
            launcher = self.place.builder(name, self._disks[name], self._setup.builders[name], points)
        else:
            launcher = self.place.launcher(name, points, self._settings[name])
        self._slots[name] = launcher
        self.points[name] = points.at
        again = self._setup.lives.get(name)
        if again is not None:
            second = self._setup.points.get(f"{name} again") if fates else None
            launcher.died = lambda: self.place.timeline.schedule(again, lambda: self._start(name, second))

    def _happen(self, event: ev.Event) -> None:
        if self._told is not None:
            self._told(str(event))
        timeline = self.place.timeline
        match event:
            case ev.RunJob():
                self._run_job(event)
            case ev.Start(launcher=name):
                self._start(name)
            case ev.Strike(launcher=name, fate=fate):
                self._slots[name].strike(fate)
                if fate is Fate.KILLED:
                    self._again(name, event.restart)
            case ev.StrikeAtPoint(launcher=name, point=point, fate=fate):
                points = self._slots[name].points
                points.fates[points.seen + point] = fate
                self._again(name, event.restart)
            case ev.StandStill(launcher=name, seconds=seconds):
                self._slots[name].stand_still(seconds)
            case ev.Lag(launcher=name, seconds=seconds, most=most):
                self.place.referee.slow.add(name)
                self._lags[name] = (timeline.monotonic() + seconds, most)
            case ev.Jump(launcher=name, seconds=seconds):
                self._slots[name].clock.offset += seconds
                self._slots[name].turn()
            case ev.Reload(change=change):
                self._reload(change)
            case ev.BuildImage(image=image):
                self.place.create(paths.build_requested(image))
            case ev.Operate(order=order, which=which):
                self._operate(order, which)
            case _:
                self._cloud(event)

    def _again(self, name: str, restart: Seconds | None) -> None:
        """Start a launcher some time after it has died, whenever that is."""
        if restart is not None:
            launcher = self._slots[name]
            launcher.died = lambda: self.place.timeline.schedule(restart, lambda: self._start(name))
            if not launcher.alive:
                launcher.died()

    def _run_job(self, event: ev.RunJob) -> None:
        scheduler = self._new_scheduler() if event.after is After.DIE else self._scheduler
        timeline = self.place.timeline
        job = scheduler.run_job(
            event.labels,
            event.seconds,
            after=event.after,
            hold=event.hold,
            priority=event.priority,
            provider=event.provider,
            reuse=event.reuse,
        )
        if event.withdraw is not None:
            timeline.schedule(event.withdraw, lambda: scheduler.withdraw(job))
        if event.revise is not None:
            timeline.schedule(event.revise, lambda: scheduler.revise(job, -1))

    def _operate(self, order: ev.Order, which: int) -> None:
        nodes = sorted(self.place.tree.nodes())
        if not nodes:
            return
        node_id: NodeId = nodes[which % len(nodes)]
        node = self.place.tree.node(node_id)
        match order:
            case ev.Order.DELETE:
                self._operator.change(node_id, NodeEvent.UNWANTED)
            case ev.Order.HOLD:
                self._operator.change(node_id, NodeEvent.HELD)
            case ev.Order.ERASE:
                if node is not None and node.provider in self.place.regions:
                    self._operator.erase(ProviderName(node.provider))

    def _cloud(self, event: ev.Event) -> None:
        timeline, regions = self.place.timeline, self.place.regions
        assert isinstance(event, ev.CloudFault | ev.Weather | ev.Quota | ev.Mishap | ev.Plant)
        region = regions[event.provider]
        if not isinstance(event, ev.Plant):
            self.place.referee.excused.add(event.provider)
        match event:
            case ev.CloudFault():
                fault = Fault(
                    call=event.call, fate=event.fate, times=event.times, status=event.status, seconds=event.seconds
                )
                region.gate.script([fault])
            case ev.Weather():
                self._latency(event.provider, event.latency, event.late_lists)
                timeline.schedule(event.seconds, lambda: self._latency(event.provider, None, 0.0))
            case ev.Quota(instances=instances):
                region.gate.change(region.settings.model_copy(update={"quota": RegionQuota(instances=instances)}))
            case ev.Mishap(which=which, deed=deed):
                ours = [server for server in region.servers.live.values() if is_ours(server)]
                if ours:
                    self._befall(event.provider, ours[which % len(ours)], deed)
            case ev.Plant(kind=kind):
                self._plant(event.provider, kind)

    def _befall(self, provider: ProviderName, server: Server, deed: ev.Deed) -> None:
        servers, now = self.place.regions[provider].servers, self.place.timeline.now()
        match deed:
            case ev.Deed.VANISH:
                servers.vanish(server.id, now=now)
            case ev.Deed.BREAK:
                servers.fail(server.id, "the host is on fire", now=now)
            case ev.Deed.FORGET:
                servers.live[server.id] = servers.rows[server.id] = replace(server, metadata={}, changed=now)

    def _plant(self, provider: ProviderName, kind: ev.Foreigner) -> None:
        marks: dict[str, str] = {}
        nodes = sorted(self.place.tree.nodes())
        match kind:
            case ev.Foreigner.OTHER_INSTALLATION:
                marks = {MARK_INSTALLATION: "another", MARK_NODE: nodes[0] if nodes else "0000000000"}
            case ev.Foreigner.OLD_NODEPOOL:
                marks = {MARK_NODE: "0000009999"}
            case ev.Foreigner.PLAIN:
                pass
        if marks:
            marks |= {MARK_PROVIDER: provider, MARK_POOL: "main"}
        region = self.place.regions[provider]
        ask = ServerAsk(name="somebody else's", flavor=region.settings.flavors[0].id, metadata=marks)
        region.servers.plant(Caller(CALLER.project, "other"), ask, now=self.place.timeline.now())

    def _latency(self, provider: ProviderName, latency: Seconds | None, late_lists: Seconds) -> None:
        region = self.place.regions[provider]
        chosen = self._setup.region.latency if latency is None else Latency(default=Span(fixed=latency))
        region.gate.change(region.settings.model_copy(update={"latency": chosen}))
        self.place.late_lists[provider] = late_lists

    def _reload(self, change: ev.Change) -> None:
        for name, first in self._setup.launchers.items():
            self._settings[name] = changed(first, self._settings[name], change)
            launcher = self._slots[name]
            if launcher.alive:
                self.place.reload(launcher, self._settings[name])
        self.place.referee.excused.update(self.place.regions)

    def _delay(self, name: str) -> Seconds:
        until, most = self._lags.get(name, (0.0, 0.0))
        if self.place.timeline.monotonic() >= until:
            return MESSAGE_TIME
        return MESSAGE_TIME + self.place.rng.random() * most

    def _heal(self) -> None:
        """End every disturbance: whoever is dead starts again, clouds do as they are told."""
        self._lags.clear()
        self.place.late_lists.clear()
        for provider, region in self.place.regions.items():
            region.gate.forget_script()
            settings = region.settings.model_copy(update={"quota": RegionQuota(), "faults": ()})
            region.gate.change(settings)
            self._latency(provider, None, 0.0)
        for name in (*self._setup.builders, *self._setup.launchers):
            launcher = self._slots[name]
            launcher.points.fates.clear()
            launcher.go_on()
            self._start(name)

    def _end_holds(self) -> None:
        """Nobody else ends what an operator holds."""
        for node in self.place.tree.nodes().values():
            if node.comment == HELD_BY_OPERATOR and node.state is NodeState.HOLD:
                self._operator.change(node.id, NodeEvent.UNWANTED)

    def _confirm_sweeps(self) -> None:
        """Do what the alarms ask an operator for, after an order to erase a provider."""
        for launcher in self.place.living():
            latest = launcher.reconciler.latest
            for provider in latest.alarms if latest else ():
                for path in (paths.CONFIRMED, paths.confirmed(provider)):
                    self.place.create(path)


def changed(first: Settings, present: Settings, change: ev.Change) -> Settings:
    """Return the configuration after a change."""
    match change:
        case ev.Change.AS_BEFORE:
            return first
        case ev.Change.MORE_READY | ev.Change.NONE_READY:
            more = change is ev.Change.MORE_READY
            labels = {
                label.name: replace(label, min_ready=label.min_ready + 2 if more else 0)
                for label in present.labels.values()
            }
            return replace(present, labels=labels)
        case ev.Change.LESS_ROOM | ev.Change.MORE_ROOM:
            factor = 0.5 if change is ev.Change.LESS_ROOM else 2
            return _with_pools(present, lambda pool: replace(pool, limits=_times(pool.limits, factor)))
        case ev.Change.NO_BIG:
            return _with_pools(
                present, lambda pool: replace(pool, labels={n: v for n, v in pool.labels.items() if n != BIG})
            )


def _with_pools(settings: Settings, change: Callable[[Pool], Pool]) -> Settings:
    providers: dict[ProviderName, Provider] = {
        name: replace(provider, pools={n: change(pool) for n, pool in provider.pools.items()})
        for name, provider in settings.providers.items()
    }
    return replace(settings, providers=providers)


def _times(limits: Resources, factor: float) -> Resources:
    return Resources({name: max(int(amount * factor), 1) for name, amount in limits.amounts.items()})


def play(history: History) -> Verdict:
    """Let a history happen."""
    return Stage(history).play()
