"""Histories from seeds: the same number always gives the same history, to the last record."""

import random
from collections.abc import Mapping
from dataclasses import replace

from nodepool_ng.model.ids import LabelName, ProviderName, Seconds
from nodepool_ng.model.settings import Settings
from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.calls import Fate as CloudFate
from nodepool_ng.sim.settings import Latency, RegionSettings, Span
from nodepool_ng.sim.virtual import events as ev
from nodepool_ng.sim.virtual.client import After
from nodepool_ng.sim.virtual.history import BIG, History, Setup
from nodepool_ng.sim.virtual.process import Fate
from nodepool_ng.sim.virtual.scenes import IMAGE, SMALL, provider, settings, with_image

SPAN: Seconds = 60.0
"""Disturbances come within so long."""
MOST_EVENTS = 9
MOST_JOBS = 7
BUILDERS = ("builder one", "builder two")
_CREATE_FATES = (
    CloudFate.REFUSED,
    CloudFate.ANSWER_LOST,
    CloudFate.SLOW,
    CloudFate.ERROR,
    CloudFate.STUCK,
    CloudFate.NO_ADDRESS,
    CloudFate.TWICE,
)
_DELETE_FATES = (CloudFate.REFUSED, CloudFate.ANSWER_LOST, CloudFate.SLOW, CloudFate.STUCK)


def history(seed: int) -> History:
    """Return the history of a seed. Some kinds of trouble need several things to come together; these are chosen more
    often than chance would bring them about."""
    rng = random.Random(seed)
    kind = rng.random()
    if kind < 0.08:
        setup, events = _crowded(rng)
    elif kind > 0.85:
        setup, events = _rotating(rng)
    else:
        setup = _setup(rng)
        providers, launchers = list(setup.settings.providers), list(setup.launchers)
        jobs = [_job(rng, providers) for _ in range(rng.randint(1, MOST_JOBS))]
        count = rng.choice((0, 1, 1, 2, 2, 3, 4, 6, MOST_EVENTS))
        events = [*jobs, *(_happening(rng, launchers, providers, jobs) for _ in range(count))]
        if kind < 0.2:
            events += _lying(rng, providers, jobs)
        elif kind < 0.3 and len(launchers) > 1:
            events += _laggards(rng, launchers)
    return History(seed=seed, setup=setup, events=tuple(sorted(events, key=lambda event: event.at)))


def _crowded(rng: random.Random) -> tuple[Setup, list[ev.Event]]:
    """Return launchers with a small provider each, and more requests, of different sizes, than they have room for."""
    whole = settings(provider("north", max_servers=3), provider("south", max_servers=3), min_ready={})
    launchers = dict(zip(("one", "two"), _divided(whole, 2), strict=True))
    events: list[ev.Event] = [
        ev.RunJob(at=1.0, labels=(SMALL,) * rng.choice((1, 1, 2)), seconds=rng.choice((20, 40)), provider=name)
        for name in whole.providers
    ]
    for _ in range(rng.randint(2, 5)):
        count = rng.choice((1, 1, 2, 3, 3))
        events.append(
            ev.RunJob(at=round(4 + rng.random() * 6, 3), labels=(SMALL,) * count, seconds=rng.choice((3, 20)))
        )
    return Setup(settings=whole, launchers=launchers), events


def _rotating(rng: random.Random) -> tuple[Setup, list[ev.Event]]:
    """Return images that are built, uploaded and replaced, by one builder or two, while nodes boot from them."""
    plain = _setup(rng)
    setup = replace(
        plain,
        settings=with_image(plain.settings),
        launchers={name: with_image(each) for name, each in plain.launchers.items()},
        old=False,
    )
    builders = BUILDERS[: rng.choice((1, 1, 2))]
    setup = replace(setup, builders=dict.fromkeys(builders, setup.settings))
    providers = list(setup.settings.providers)
    events: list[ev.Event] = [ev.BuildImage(at=_time(rng), image=IMAGE) for _ in range(rng.randint(0, 3))]
    jobs = [_job(rng, providers) for _ in range(rng.randint(1, 3))]
    processes = [*builders, *builders, *setup.launchers]
    for _ in range(rng.randint(0, 5)):
        if rng.random() < 0.4:
            events.append(_image_fault(rng, rng.choice(providers)))
        else:
            events.append(_happening(rng, processes, providers, jobs))
    return setup, [*events, *jobs]


def _image_fault(rng: random.Random, where: ProviderName) -> ev.CloudFault:
    call = rng.choice((Call.IMAGE_CREATE, Call.IMAGE_UPLOAD, Call.IMAGE_DELETE, Call.IMAGE_LIST))
    fate = CloudFate.REFUSED
    if call in (Call.IMAGE_CREATE, Call.IMAGE_DELETE):
        fate = rng.choice((CloudFate.REFUSED, CloudFate.ANSWER_LOST))
    return ev.CloudFault(at=_time(rng), provider=where, call=call, fate=fate, times=rng.choice((1, 2, 5)))


def _lying(rng: random.Random, providers: list[ProviderName], jobs: list[ev.RunJob]) -> list[ev.Event]:
    """Return a cloud that does not tell the truth about servers it makes, for some of them, from a job on."""
    at = rng.choice((0.1, rng.choice(jobs).at))
    where, fate, times = rng.choice(providers), rng.choice(_CREATE_FATES), rng.choice((1, 2, 4))
    return [ev.CloudFault(at=at, provider=where, call=Call.SERVER_CREATE, fate=fate, times=times)]


def _laggards(rng: random.Random, launchers: list[str]) -> list[ev.Event]:
    """Return that whoever takes over hears of everything late."""
    lags: list[ev.Event] = [
        ev.Lag(at=0.3, launcher=name, seconds=40.0, most=rng.choice((0.3, 1.0, 3.0))) for name in launchers[1:]
    ]
    fate = rng.choice((Fate.EXPIRED, Fate.LATE, Fate.AWAY, Fate.KILLED))
    return [*lags, ev.StrikeAtPoint(at=0.2, launcher=launchers[0], point=rng.randint(8, 60), fate=fate, restart=15.0)]


def _setup(rng: random.Random) -> Setup:
    names = ("north", "south", "west")[: rng.choice((1, 1, 2, 2, 3))]
    bigs = rng.sample(names, rng.randint(0, len(names)))
    made = [
        provider(
            name,
            labels=(SMALL, BIG) if name in bigs else (SMALL,),
            max_servers=rng.choice((2, 3, 5, 8)),
            priority=rng.choice((100, 100, 100, 50)),
            retries=rng.choice((1, 2, 3)),
            concurrency=rng.choice((-1, -1, -1, 1, 2)),
        )
        for name in names
    ]
    min_ready = {SMALL: rng.choice((0, 1, 2, 4)), BIG: rng.choice((0, 0, 1))}
    age = rng.choice((0, 0, 0, 20))
    whole = settings(*made, min_ready=min_ready, max_ready_age=age)
    launchers: dict[str, Settings] = {}
    for name in ("one", "two", "three")[: rng.choice((1, 1, 2, 2, 3))]:
        launchers[name] = whole
    if len(made) > 1 and len(launchers) > 1 and rng.random() < 0.3:
        launchers = dict(zip(launchers, _divided(whole, len(launchers)), strict=True))
    region = RegionSettings(
        boot=rng.choice((Span(fixed=2.0), Span(uniform=(1.0, 6.0)))),
        delete=rng.choice((Span(fixed=0.5), Span(uniform=(0.1, 4.0)))),
        latency=Latency(default=rng.choice((Span(fixed=0.05), Span(uniform=(0.01, 0.4))))),
        zones=rng.choice((("nova",), ("a", "b"))),
    )
    return Setup(settings=whole, launchers=launchers, region=region, old=rng.random() < 0.15)


def _divided(whole: Settings, count: int) -> list[Settings]:
    """Return settings for launchers that have different providers, as far as there are enough of them."""
    names = list(whole.providers)
    parts = []
    for number in range(count):
        mine: Mapping[ProviderName, object] = {
            name: whole.providers[name] for at, name in enumerate(names) if at % count == number % len(names)
        }
        parts.append(
            Settings(labels=whole.labels, providers={name: whole.providers[ProviderName(name)] for name in mine})
        )
    return parts


def _job(rng: random.Random, providers: list[ProviderName]) -> ev.RunJob:
    count = rng.choice((1, 1, 1, 2, 3))
    labels: list[LabelName] = [SMALL if rng.random() < 0.85 else BIG for _ in range(count)]
    if rng.random() < 0.03:
        labels[0] = LabelName("unknown")
    return ev.RunJob(
        at=_time(rng),
        labels=tuple(labels),
        seconds=rng.choice((0, 1, 3, 8, 20)),
        after=rng.choice((After.RETURN,) * 8 + (After.HOLD, After.DIE)),
        hold=rng.choice((10, 40)),
        priority=rng.choice(("200", "200", "100", "300")),
        provider=rng.choice(providers) if rng.random() < 0.15 else None,
        reuse=rng.random() < 0.9,
        withdraw=round(rng.random() * 6, 3) if rng.random() < 0.15 else None,
        revise=round(rng.random() * 4, 3) if rng.random() < 0.1 else None,
    )


def _time(rng: random.Random) -> Seconds:
    return round(rng.random() * SPAN * rng.choice((0.2, 1.0)), 3)


def _happening(
    rng: random.Random, launchers: list[str], providers: list[ProviderName], jobs: list[ev.RunJob]
) -> ev.Event:
    """Return something that happens at any time, or soon after a job began."""
    kind = rng.random()
    soon = round(rng.choice(jobs).at + rng.random() * rng.choice((0.05, 5.0)), 3)
    at, launcher, where = rng.choice((_time(rng), soon)), rng.choice(launchers), rng.choice(providers)
    if kind < 0.22:
        restart = rng.choice((None, 0.5, 3.0, 15.0, 30.0))
        return ev.StrikeAtPoint(
            at=at, launcher=launcher, point=rng.randint(1, 40), fate=rng.choice(list(Fate)), restart=restart
        )
    if kind < 0.34:
        restart = rng.choice((None, 0.5, 3.0, 15.0, 30.0))
        return ev.Strike(at=at, launcher=launcher, fate=rng.choice(list(Fate)), restart=restart)
    if kind < 0.40:
        return ev.StandStill(at=at, launcher=launcher, seconds=rng.choice((0.5, 3.0, 12.0, 25.0)))
    if kind < 0.48:
        return ev.Lag(at=at, launcher=launcher, seconds=rng.choice((2.0, 20.0)), most=rng.choice((0.02, 0.3, 2.0)))
    if kind < 0.51:
        return ev.Jump(at=at, launcher=launcher, seconds=rng.choice((-40.0, -3.0, 3.0, 40.0)))
    if kind < 0.56:
        return ev.Reload(at=at, change=rng.choice(list(ev.Change)))
    if kind < 0.64:
        return ev.Operate(at=at, order=rng.choice(list(ev.Order)), which=rng.randint(0, 9))
    return _cloud(rng, at, where)


def _cloud(rng: random.Random, at: Seconds, where: ProviderName) -> ev.Event:
    kind = rng.random()
    if kind < 0.45:
        call = rng.choice((Call.SERVER_CREATE, Call.SERVER_CREATE, Call.SERVER_DELETE, Call.SERVER_LIST))
        if call is Call.SERVER_CREATE:
            fate = rng.choice(_CREATE_FATES)
        elif call is Call.SERVER_DELETE:
            fate = rng.choice(_DELETE_FATES)
        else:
            fate = rng.choice((CloudFate.REFUSED, CloudFate.SLOW))
        return ev.CloudFault(
            at=at,
            provider=where,
            call=call,
            fate=fate,
            times=rng.choice((1, 1, 2, 6)),
            status=rng.choice((500, 500, 429, 403, 400)) if fate is CloudFate.REFUSED else 500,
            seconds=rng.choice((2.0, 30.0)),
        )
    if kind < 0.60:
        return ev.Weather(
            at=at,
            provider=where,
            seconds=rng.choice((5.0, 30.0)),
            latency=rng.choice((0.05, 1.0, 8.0)),
            late_lists=rng.choice((0.0, 3.0, 12.0)),
        )
    if kind < 0.70:
        return ev.Quota(at=at, provider=where, instances=rng.choice((0, 1, 3)))
    if kind < 0.85:
        return ev.Mishap(at=at, provider=where, which=rng.randint(0, 5), deed=rng.choice(list(ev.Deed)))
    return ev.Plant(at=at, provider=where, kind=rng.choice(list(ev.Foreigner)))
