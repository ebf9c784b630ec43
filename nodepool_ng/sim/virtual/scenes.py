"""The histories that are tried with a strike at every point: one launcher's ordinary work, in small pieces."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nodepool_ng.model.ids import ImageName, LabelName, PoolName, ProviderName, Seconds
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import CloudImage, DiskImage, Label, Pool, PoolLabel, Provider, ProviderImage, Settings
from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.calls import Fate as CloudFate
from nodepool_ng.sim.virtual import events as ev
from nodepool_ng.sim.virtual.client import After
from nodepool_ng.sim.virtual.history import History, Setup, Stage, Verdict
from nodepool_ng.sim.virtual.process import Fate

SMALL = LabelName("small")
MAIN = PoolName("main")
IMAGE = ImageName("deb")
FIRST = "first"
STANDBY = "standby"
AGAIN = f"{FIRST} again"
"""The key of a launcher's second life."""
CANARY_TRIES = 3
"""Servers that a launcher asks for before it gives a node up."""
RESTART: Seconds = 2.0
"""How soon a launcher that was killed is started again, where nobody stands by."""


def provider(
    name: str,
    *,
    labels: tuple[LabelName, ...] = (SMALL,),
    max_servers: int = 10,
    priority: int = 100,
    retries: int = 3,
    concurrency: int = -1,
) -> Provider:
    """Return a provider with one pool."""
    made = {label: PoolLabel(name=label, cloud_image="base", flavor_name="small") for label in labels}
    pool = Pool(
        name=MAIN,
        provider=ProviderName(name),
        labels=made,
        priority=priority,
        limits=Resources({"instances": max_servers}),
    )
    return Provider(
        name=ProviderName(name),
        cloud=name,
        launch_timeout=60,
        launch_retries=retries,
        max_concurrency=concurrency,
        pools={MAIN: pool},
        cloud_images={"base": CloudImage(name="base")},
    )


def settings(*providers: Provider, min_ready: Mapping[LabelName, int], max_ready_age: Seconds = 0) -> Settings:
    labels = sorted({label for each in providers for pool in each.pools.values() for label in pool.labels})
    return Settings(
        labels={
            name: Label(name=name, min_ready=min_ready.get(name, 0), max_ready_age=max_ready_age) for name in labels
        },
        providers={each.name: each for each in providers},
    )


def with_image(plain: Settings, *, gate: bool = False) -> Settings:
    """Return the same settings, but all nodes boot from one image that builders build."""

    def changed(pool: Pool) -> Pool:
        labels = {
            name: PoolLabel(name=name, diskimage=IMAGE, flavor_name=label.flavor_name)
            for name, label in pool.labels.items()
        }
        return replace(pool, labels=labels)

    providers = {
        name: replace(
            each,
            images={IMAGE: ProviderImage(name=IMAGE)},
            cloud_images={},
            pools={name: changed(pool) for name, pool in each.pools.items()},
        )
        for name, each in plain.providers.items()
    }
    return replace(plain, providers=providers, diskimages={IMAGE: DiskImage(name=IMAGE, elements=("some",), gate=gate)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A history of one launcher that is to be struck, and what it is for."""

    what: str
    min_ready: int
    events: tuple[ev.Event, ...]
    max_servers: int = 6
    max_ready_age: Seconds = 0
    builder: bool = False
    """Nodes boot from an image of ours, and it is the builder that is struck."""
    gate: bool = False
    """The same, but uploads have to prove themselves, and it is the launcher that is struck."""


def _job(at: Seconds, count: int = 1, **more: object) -> ev.RunJob:
    return ev.RunJob(at=at, labels=(SMALL,) * count, seconds=4, **more)  # type: ignore[arg-type]


SCENES: Mapping[str, Scene] = MappingProxyType(
    {
        "single": Scene(what="one request for one cold node", min_ready=0, events=(_job(2),)),
        "set": Scene(what="one request for three nodes, one of them ready", min_ready=1, events=(_job(8, 3),)),
        "warm": Scene(what="ready nodes are handed out and replaced", min_ready=3, events=(_job(8), _job(8, 2))),
        "restart": Scene(
            what="a launcher is restarted in the middle of its work",
            min_ready=1,
            events=(_job(2, 2), ev.Strike(at=4, launcher=FIRST, fate=Fate.KILLED), ev.Start(at=6, launcher=FIRST)),
        ),
        "take-over": Scene(
            what="another launcher takes over",
            min_ready=1,
            events=(_job(2, 2), ev.Strike(at=4, launcher=FIRST, fate=Fate.AWAY), _job(9)),
        ),
        "hold": Scene(
            what="a client holds its node for a while",
            min_ready=0,
            events=(_job(2, after=After.HOLD, hold=12), ev.Start(at=40, launcher=FIRST)),
        ),
        "reload": Scene(
            what="the configuration changes while nodes are being launched",
            min_ready=2,
            events=(
                _job(1.5, 2),
                ev.Reload(at=3, change=ev.Change.NONE_READY),
                ev.Reload(at=9, change=ev.Change.MORE_READY),
                ev.Reload(at=16, change=ev.Change.AS_BEFORE),
            ),
        ),
        "age": Scene(what="ready nodes grow too old", min_ready=1, max_ready_age=12, events=(_job(30),)),
        "withdrawn": Scene(what="a client loses interest", min_ready=0, events=(_job(2, 2, withdraw=2.5), _job(12))),
        "images": Scene(
            what="an image is built, uploaded, and replaced by younger ones until the first one goes",
            min_ready=1,
            events=(
                ev.BuildImage(at=18, image=IMAGE),
                _job(24),
                ev.BuildImage(at=36, image=IMAGE),
                ev.Start(at=60, launcher=FIRST),
            ),
            builder=True,
        ),
        "gate": Scene(
            what="a younger image comes up as a canary, and then into service",
            min_ready=1,
            events=(ev.BuildImage(at=30, image=IMAGE), _job(32), _job(60)),
            gate=True,
        ),
        "gate shut": Scene(
            what="the canary of a younger image does not come up, and the old image stays in service",
            min_ready=1,
            events=(
                ev.BuildImage(at=30, image=IMAGE),
                ev.CloudFault(
                    at=30,
                    provider=ProviderName("north"),
                    call=Call.SERVER_CREATE,
                    fate=CloudFate.ERROR,
                    times=CANARY_TRIES,
                ),
                _job(70),
            ),
            gate=True,
        ),
    }
)


def history(scene: Scene, *, standby: bool, points: Mapping[int, Fate], second: Mapping[int, Fate]) -> History:
    """Return a scene in which the first launcher is struck at some points. Whoever is killed starts again after a
    while, or (with a standby) only when all is over; the standby is struck at the points of `second`."""
    chosen = settings(
        provider("north", max_servers=scene.max_servers),
        min_ready={SMALL: scene.min_ready},
        max_ready_age=scene.max_ready_age,
    )
    if scene.gate:
        chosen = with_image(chosen, gate=True)
    if scene.builder:
        return _image_history(scene, chosen, standby=standby, points=points, second=second)
    names = (FIRST, STANDBY) if standby else (FIRST,)
    setup = Setup(
        settings=chosen,
        launchers=dict.fromkeys(names, chosen),
        builders={"builder": chosen} if scene.gate else {},
        points={FIRST: points, STANDBY if standby else AGAIN: second},
        lives={} if standby else {FIRST: RESTART},
    )
    return History(seed=1, setup=setup, events=scene.events)


def _image_history(
    scene: Scene, plain: Settings, *, standby: bool, points: Mapping[int, Fate], second: Mapping[int, Fate]
) -> History:
    """Return a scene of one launcher and two providers, in which a builder is struck."""
    other = provider("south", max_servers=scene.max_servers)
    chosen = with_image(replace(plain, providers={**plain.providers, other.name: other}))
    names = (FIRST, STANDBY) if standby else (FIRST,)
    setup = Setup(
        settings=chosen,
        launchers={"launcher": chosen},
        builders=dict.fromkeys(names, chosen),
        points={FIRST: points, STANDBY if standby else AGAIN: second},
        lives={FIRST: RESTART},
    )
    return History(seed=1, setup=setup, events=scene.events)


def points_of(scene: Scene, *, standby: bool = False) -> tuple[str, ...]:
    """Return the points that the first launcher passes when nothing is struck."""
    stage = Stage(history(scene, standby=standby, points={}, second={}), remember=True)
    verdict: Verdict = stage.play()
    assert not verdict.breaches, verdict.breaches
    return tuple(verdict.points[FIRST])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One systematic history: a scene, struck at one or two points."""

    scene: str
    point: int
    fate: Fate
    standby: bool
    then: int = 0
    """The point at which it is killed in its second life; 0: not at all."""

    def history(self) -> History:
        return history(
            SCENES[self.scene],
            standby=self.standby,
            points={self.point: self.fate},
            second={self.then: Fate.KILLED} if self.then else {},
        )

    def __str__(self) -> str:
        more = f" --then {self.then}" if self.then else ""
        standby = " --standby" if self.standby else ""
        return f"--scene {self.scene} --point {self.point} --fate {self.fate.name.lower()}{standby}{more}"


PAIRS_OF_A_SCENE = 40
"""Pairs of points tried in each scene; there are many more."""
_OTHERS = (Fate.CUT, Fate.LATE, Fate.AWAY, Fate.EXPIRED)


def every_point(names: Iterable[str] = SCENES, *, all_fates: bool = False) -> Iterator[Case]:
    """Yield every point of some scenes: killed and started again, killed with another one standing by, and one of the
    other fates in turn, or all of them."""
    for name in names:
        for point in range(1, len(points_of(SCENES[name])) + 1):
            yield Case(scene=name, point=point, fate=Fate.KILLED, standby=False)
            yield Case(scene=name, point=point, fate=Fate.KILLED, standby=True)
            for number, fate in enumerate(_OTHERS):
                if all_fates:
                    yield Case(scene=name, point=point, fate=fate, standby=False)
                if all_fates or number == point % len(_OTHERS):
                    yield Case(scene=name, point=point, fate=fate, standby=True)


def pairs(names: Iterable[str] = SCENES) -> Iterator[Case]:
    """Yield pairs, spread evenly over each scene: the first one is killed at one point, whoever comes after it at one
    of its own."""
    for name in names:
        count = len(points_of(SCENES[name]))
        for number in range(PAIRS_OF_A_SCENE):
            point = 1 + number * count // PAIRS_OF_A_SCENE
            then = 1 + number * 7 % max(count // 2, 1)
            yield Case(scene=name, point=point, fate=Fate.KILLED, standby=number % 2 == 0, then=then)
