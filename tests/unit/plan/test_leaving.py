"""A launcher that stops puts back only what nobody of ours would go on with."""

from dataclasses import replace

import pytest

from nodepool_ng.model.action import Release
from nodepool_ng.model.ids import RequestId
from nodepool_ng.model.reason import Code
from nodepool_ng.model.snapshot import AttemptState, Side
from nodepool_ng.plan.leaving import plan_leaving
from tests.unit.plan.support import Scene


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    request = made.pending(1, "small")
    made.building(1, AttemptState.ASKED, allocated_to=request.id, lock=Side.OURS)
    return made


def put_back(scene: Scene, **more: object) -> list[RequestId]:
    actions = plan_leaving(replace(scene.snapshot(), **more))
    assert all(isinstance(action, Release) and action.why.code is Code.STOPPING for action in actions)
    return [action.request for action in actions]


def test_it_is_kept_for_our_next_life_where_we_are_alone(scene: Scene) -> None:
    assert put_back(scene) == []


def test_it_is_put_back_for_another_software(scene: Scene) -> None:
    scene.registration("zeta/main", "theirs", "small")
    assert put_back(scene) == ["100-0000000001"]


def test_it_is_kept_for_another_launcher_of_ours_with_the_same_provider(scene: Scene) -> None:
    scene.registration("zeta/main", "theirs", "small")
    scene.rival("acme/main", "small")
    assert put_back(scene) == []


def test_a_launcher_of_ours_with_another_provider_does_not_go_on_with_it(scene: Scene) -> None:
    scene.registration("zeta/main", "theirs", "small")
    scene.rival("eta/main", "small")
    assert put_back(scene) == ["100-0000000001"]


def test_it_is_kept_where_the_others_cannot_or_would_not_serve_it(scene: Scene) -> None:
    scene.registration("zeta/main", "theirs", "large")
    assert put_back(scene) == []
    scene.registration("eta/main", "declined", "small")
    scene.request(1, "small", state="pending", lock=Side.OURS, declined_by=("declined",))
    assert put_back(scene) == []


def test_what_is_not_ours_or_in_flight_is_left_alone(scene: Scene) -> None:
    scene.registration("zeta/main", "theirs", "small")
    scene.request(2, "small", state="pending", lock=Side.FOREIGN)
    scene.request(3, "small")
    assert put_back(scene) == ["100-0000000001"]
    assert put_back(scene, in_flight={("request", "100-0000000001"): object()}) == []
    assert put_back(scene, cooling={("request", "100-0000000001"): 2e9}) == []


def test_it_is_kept_for_the_provider_that_it_asks_for(scene: Scene) -> None:
    scene.registration("zeta/main", "theirs", "small")
    scene.request(1, "small", state="pending", lock=Side.OURS, provider="acme")
    assert put_back(scene) == []
    scene.registration("acme/other", "theirs-too", "small")
    assert put_back(scene) == ["100-0000000001"]
