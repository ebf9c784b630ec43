"""Counting, pace, faults and settings of a region, as conversations with it."""

from __future__ import annotations

import contextlib
import random

import pytest

from nodepool_ng.sim.calls import Call
from nodepool_ng.sim.gate import Tokens, take
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import ServerAsk
from nodepool_ng.sim.settings import Fault, RateLimit, RegionSettings, Span

ASK = ServerAsk(name="n", flavor="small")


def test_calls_and_refusals_are_counted(make, me):
    region = make(quota={"instances": 1})
    region.servers.create(me, ASK, now=0.0)
    for _ in range(2):
        with pytest.raises(Refused):
            region.servers.create(me, ASK, now=0.0)
    region.servers.list(me, now=0.0)
    assert region.gate.calls == {Call.SERVER_CREATE: 3, Call.SERVER_LIST: 1}
    assert region.gate.refusals == {(Call.SERVER_CREATE, 403): 2}


def test_too_many_calls_are_told_when_to_come_again(make, me):
    region = make(rate_limit={"calls": 2, "seconds": 10})
    region.list_flavors(me, now=0.0)
    region.list_flavors(me, now=0.0)
    with pytest.raises(Refused) as refused:
        region.list_flavors(me, now=1.0)
    assert (refused.value.status, refused.value.retry_after) == (429, 4)
    region.list_flavors(me, now=5.0)
    assert region.gate.refusals == {(Call.FLAVOR_LIST, 429): 1}


def test_the_bucket_fills_up_to_its_brim():
    limit = RateLimit(calls=4, seconds=2)
    full, wait = take(None, limit, now=0.0)
    assert (full.left, wait) == (3.0, 0.0)
    assert take(Tokens(left=0.0, at=0.0), limit, now=0.25) == (Tokens(left=0.5, at=0.25), 0.25)
    assert take(Tokens(left=0.0, at=0.0), limit, now=100.0)[0].left == 3.0


def test_a_configured_retry_after_is_what_is_said(make, me):
    region = make(rate_limit={"calls": 1, "retry_after": 17})
    region.list_zones(me, now=0.0)
    with pytest.raises(Refused) as refused:
        region.list_zones(me, now=0.0)
    assert refused.value.retry_after == 17


def test_scripted_faults_come_first_and_are_used_up(make, me):
    region = make(faults=[{"call": "zone.list", "fate": "refused", "status": 500}])
    region.gate.script([Fault.model_validate({"call": "zone.list", "fate": "refused", "status": 503, "times": 2})])
    seen = []
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            region.list_zones(me, now=0.0)
        seen.append(refused.value.status)
    assert seen == [503, 503, 500]
    region.change({"faults": []})
    assert region.list_zones(me, now=0.0) == ("nova",)


def test_faults_come_as_often_as_they_are_likely(make, me):
    region = make(faults=[{"call": "zone.list", "fate": "refused", "probability": 0.25}])
    for _ in range(2000):
        with contextlib.suppress(Refused):
            region.list_zones(me, now=0.0)
    assert 420 < region.gate.refusals[Call.ZONE_LIST, 500] < 580


def test_latency_is_by_call_by_item_and_by_fault(make):
    region = make(
        latency={"default": 0.5, "calls": {"server.list": {"fixed": 0.02, "per_item": 0.0002}}},
        faults=[{"call": "zone.list", "fate": "slow", "seconds": 60}],
    )
    assert region.gate.latency(Call.SERVER_GET) == 0.5
    assert region.gate.latency(Call.SERVER_LIST) == 0.02
    assert region.gate.latency_of_items(Call.SERVER_LIST, 1000) == pytest.approx(0.2)
    assert region.gate.latency(Call.ZONE_LIST) == 60.5


@pytest.mark.parametrize(
    ("shape", "least", "most"),
    [
        ({"fixed": 5}, 5, 5),
        ({"uniform": [2, 8]}, 2, 8),
        ({"lognormal": {"median": 5, "sigma": 0.3, "most": 9}}, 0.5, 9),
        (3, 3, 3),
    ],
)
def test_durations_have_shapes(shape, least, most):
    span, rng = Span.model_validate(shape), random.Random(1)
    drawn = [span.draw(rng) for _ in range(200)]
    assert all(least <= each <= most for each in drawn)


def test_settings_change_while_the_region_runs(make, me):
    region = make(boot={"uniform": [1, 2]}, latency={"calls": {"server.get": 1}})
    region.change({"quota": {"instances": 3}, "boot": {"fixed": 9}, "latency": {"calls": {"server.list": 2}}})
    assert region.settings.quota.instances == 3
    assert region.settings.boot == Span(fixed=9)
    assert region.gate.latency(Call.SERVER_GET) == 1
    assert region.gate.latency(Call.SERVER_LIST) == 2
    assert region.servers.create(me, ASK, now=0.0).settles == 9.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"networks": []}, "networks cannot be changed"),
        ({"quota": {"instances": -2}}, "quota.instances"),
        ({"bot": 3}, "bot"),
    ],
)
def test_wrong_changes_change_nothing(make, change, said):
    region = make()
    before = region.settings
    with pytest.raises(Refused, match=said):
        region.change(change)
    assert region.settings is before


def test_key_pairs_come_and_go(make, me):
    region = make()
    region.create_key_pair(me, "mine", "ssh-ed25519 AAAA", now=0.0)
    assert [pair.name for pair in region.list_key_pairs(me, now=0.0)] == ["mine"]
    region.servers.create(me, ServerAsk(name="n", flavor="small", key_name="mine"), now=0.0)
    region.delete_key_pair(me, "mine", now=1.0)
    with pytest.raises(Refused, match="not found"):
        region.get_key_pair(me, "mine", now=1.0)


def test_the_defaults_are_a_working_cloud():
    assert RegionSettings().model_dump(mode="json") == RegionSettings.model_validate({}).model_dump(mode="json")
