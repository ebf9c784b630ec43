"""How fast clouds are asked: as fast as they allow, found out by their answers."""

from __future__ import annotations

import math

import pytest

from nodepool_ng.launcher.pace import FORGOTTEN_AFTER, NARROWEST, Paces
from nodepool_ng.model.action import CreateServer
from nodepool_ng.model.ids import ProviderName
from nodepool_ng.model.pace import WIDEST, Pace
from nodepool_ng.model.snapshot import AttemptState
from tests.acceptance.shop import Shop, pool, provider, settings
from tests.unit.plan.support import NOW, Scene

ACME, NORTH = ProviderName("acme"), ProviderName("north")


@pytest.mark.parametrize("retry_after", [None, 3])
def test_a_limited_cloud_is_asked_at_its_pace_and_no_request_fails(retry_after: int | None) -> None:
    faults = [
        {"call": "server.create", "fate": "refused", "probability": 0.05, "status": 500},
        {"call": "server.create", "fate": "error", "probability": 0.02},
    ]
    limit = {"calls": 10, "seconds": 1, "retry_after": retry_after}
    place = settings(provider("north", pool("main", "small", limits={"instances": 100})))
    shop = Shop(place, faults=faults, rate_limit=limit, latency={"default": 0.1})
    began = shop.place.timeline.now()
    jobs = [shop.ask("small", seconds=1000) for _ in range(60)]
    shop.place.timeline.wait_for(lambda: all(job.served or job.failed for job in jobs), 200)
    assert not any(job.failed or job.trouble for job in jobs)
    gate = shop.place.regions[NORTH].gate
    made = sum(gate.calls.values()) - sum(n for (_, status), n in gate.refusals.items() if status == 429)
    allowed = (made - 10) / 10 + (retry_after or 0)
    # The last one may have gone to ERROR once: then it boots twice, and is found out about by lists.
    assert max(job.served or 0 for job in jobs) - began < 1.2 * (allowed + 2 * (5 + 1))
    assert sum(n for (_, status), n in gate.refusals.items() if status == 429) < 60


def complained(accepted: int, seconds: float, retry_after: float | None = 1.0) -> Paces:
    paces = Paces()
    for _ in range(accepted):
        paces.started(ACME, 0.0)
        paces.accepted(ACME, 0.1, 0.1)
    paces.started(ACME, seconds)
    paces.complained(ACME, seconds, retry_after)
    return paces


def test_without_a_complaint_nothing_is_limited() -> None:
    paces = Paces()
    paces.started(ACME, 0.0)
    paces.accepted(ACME, 0.1, 0.1)
    assert math.isinf(paces.view(0.1)[ACME].rate)


def test_what_was_accepted_tells_the_rate_and_the_cloud_has_its_peace_first() -> None:
    paces = complained(40, 0.5)
    assert paces.view(1.0)[ACME].tokens <= 0
    pace = paces.view(1.6)[ACME]
    assert 20 < pace.rate < 30
    assert pace.tokens > 0


def test_how_little_was_asked_before_a_flood_tells_nothing() -> None:
    paces = Paces()
    for second in range(600):
        paces.started(ACME, float(second))
        paces.accepted(ACME, second + 0.1, 0.1)
    for _ in range(80):
        paces.started(ACME, 600.0)
    for number in range(80):
        paces.accepted(ACME, 600.1 + number / 80, 0.1)
    paces.complained(ACME, 601.0, 1.0)
    assert 30 < paces.view(602.1)[ACME].rate < 45


def test_a_complaint_at_a_quiet_time_takes_half_of_the_rate_at_most() -> None:
    """Others ask the same cloud, too."""
    paces = complained(40, 0.5)
    now = 2.0
    assert 20 < paces.view(now)[ACME].rate < 30
    for _ in range(5):
        now += 5.0
        paces.started(ACME, now)
        paces.accepted(ACME, now, 0.1)
    before = paces.view(now)[ACME].rate
    paces.complained(ACME, now, 1.0)
    assert 0.5 * before <= paces.view(now + 1.1)[ACME].rate < before


def test_many_complaints_about_one_flood_count_once() -> None:
    paces = complained(40, 0.5)
    for _ in range(30):
        paces.complained(ACME, 0.6, 1.0)
    assert 20 < paces.view(1.6)[ACME].rate < 30


def test_the_rate_recovers_and_the_complaint_is_forgotten_in_the_end() -> None:
    paces = complained(40, 0.5)
    before = paces.view(2.0)[ACME].rate
    for second in range(3, 30):
        paces.started(ACME, float(second))
        paces.accepted(ACME, second + 0.1, 0.1)
    assert paces.view(30.0)[ACME].rate > 1.3 * before
    assert math.isinf(paces.view(FORGOTTEN_AFTER + 1.0)[ACME].rate)


def test_answers_that_take_longer_and_longer_narrow_the_way() -> None:
    paces = Paces()
    now = 0.0
    for _ in range(50):
        paces.started(ACME, now)
        paces.accepted(ACME, now, 0.1)
    for _ in range(300):
        now += 5.0
        paces.started(ACME, now)
        paces.accepted(ACME, now, 5.0)
    assert paces.view(now)[ACME].width == NARROWEST
    for _ in range(WIDEST**2):
        paces.accepted(ACME, now, 0.1)
    assert paces.view(now)[ACME].width == WIDEST


def test_a_planner_starts_no_more_calls_than_the_pace_allows(scene: Scene) -> None:
    for number in range(10):
        scene.building(number, AttemptState.FRESH)
    assert len(scene.does(CreateServer)) == 10
    scene.more["paces"] = {"acme": Pace(rate=16.0, tokens=3.0, at=NOW)}
    assert len(scene.does(CreateServer)) == 3
    assert NOW < (scene.plan().wake or 0) <= NOW + 0.1
    scene.more["paces"] = {"acme": Pace(width=4)}
    assert len(scene.does(CreateServer)) == 4
    for action in scene.does(CreateServer)[:3]:
        scene.fly(action)
    assert len(scene.does(CreateServer)) == 1


def test_a_cloud_that_boots_for_a_minute_is_seldom_looked_at_meanwhile() -> None:
    shop = Shop(settings(provider("north", pool("main", "small"))), boot=60)
    first = shop.ask("small", seconds=1)
    shop.run(100)
    assert first.served
    began, calls = shop.place.timeline.now(), shop.place.regions[NORTH].gate.calls
    before = calls["server.list"]
    jobs = [shop.ask("small", seconds=1000) for _ in range(20)]
    shop.run(40)
    assert 30 < calls["server.list"] - before < 45
    shop.run(40)
    assert max(job.served or math.inf for job in jobs) - began < 63
