"""What no pool of ours can serve is told so, in one write, and the last one not in haste."""

from __future__ import annotations

import pytest

from nodepool_ng.model.action import (
    Claim,
    Decline,
)
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.reason import Code
from nodepool_ng.model.server import LabelFacts
from nodepool_ng.model.settings import PoolLabel
from nodepool_ng.model.snapshot import Side
from tests.unit.plan.support import NEEDS, NOW, SERVED, SETTLE, Scene, instances, served


def test_an_unknown_label_fails_the_request_as_a_whole(scene: Scene) -> None:
    scene.pool("acme/side")
    request = scene.request(1, "small", "nope")
    action = scene.one(Decline)
    assert (action.request, set(action.pools), action.fail) == (request.id, {"us-acme/main", "us-acme/side"}, True)
    assert {reason.code for reason in action.because} == {Code.NO_SUCH_LABEL}


def test_a_label_that_only_another_pool_has_is_left_to_it_in_silence(scene: Scene) -> None:
    scene.registration("zeta/main", "them", "rare")
    request = scene.request(1, "rare")
    assert not scene.does(*SERVED)
    assert scene.why(request) == []


def test_a_label_that_another_pool_of_ours_has_is_no_reason_to_decline(scene: Scene) -> None:
    scene.pool("acme/side", "rare")
    scene.cloud(labels={"rare": LabelFacts(needs=NEEDS["small"])})
    scene.request(1, "rare")
    assert scene.one(Claim).pool == "side"


def test_after_others_declined_a_label_that_we_lack_it_is_declined_here(scene: Scene) -> None:
    scene.registration("zeta/main", "them", "rare")
    scene.request(1, "rare", declined_by=("them",))
    assert scene.one(Decline).fail


def no_image(scene: Scene) -> None:
    scene.pool("acme/main", labels={"small": PoolLabel(name="small", diskimage="ubuntu")})  # type: ignore[arg-type,dict-item]


def broken(scene: Scene) -> None:
    scene.cloud(labels={"small": LabelFacts(needs=NEEDS["small"], broken="no such flavor")})


CANNOT = {
    "pool-disabled": lambda scene: scene.pool("acme/main", limits=instances(0)),
    "out-of-service": lambda scene: scene.provider("acme", max_concurrency=0),
    "no-image": no_image,
    "label-broken": broken,
    "never-fits": lambda scene: scene.provider("acme", quota=instances(0)),
}


@pytest.mark.parametrize("code", CANNOT)
def test_a_pool_that_cannot_serve_a_request_declines_with_its_reason(scene: Scene, code: str) -> None:
    CANNOT[code](scene)
    scene.request(1, "small")
    action = scene.one(Decline)
    assert action.pools == ("us-acme/main",)
    assert action.why.code == code
    assert action.fail


@pytest.mark.parametrize("code", CANNOT)
def test_it_does_so_even_with_a_node_ready(scene: Scene, code: str) -> None:
    CANNOT[code](scene)
    scene.node(1)
    scene.request(1, "small")
    assert scene.one(Decline).why.code == code


def test_a_label_with_a_ready_upload_is_served(scene: Scene) -> None:
    no_image(scene)
    scene.upload("ubuntu")
    scene.request(1, "small")
    assert served(scene) == ["1"]


def test_what_would_not_fit_an_empty_pool_is_declined_what_would_waits(scene: Scene) -> None:
    scene.pool("acme/main", limits=instances(2))
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    waits = scene.request(1, "small", "small")
    scene.request(2, "small", "small", "small")
    assert [action.request[-1] for action in scene.does(Decline)] == ["2"]  # type: ignore[union-attr]
    assert scene.why(waits) == ["pool-limit"]


def test_as_long_as_the_cloud_is_unknown_nothing_is_declined_for_size(scene: Scene) -> None:
    scene.cloud(limits_read=None)
    scene.request(1, *["small"] * 1000)
    assert not scene.does(*SERVED)


def test_nothing_is_written_while_another_pool_of_ours_may_serve_it(scene: Scene) -> None:
    no_image(scene)
    scene.pool("acme/side")
    scene.request(1, "small")
    assert scene.one(Claim).pool == "side"
    assert not scene.does(Decline)


def test_our_pools_that_cannot_get_out_of_the_way_of_others(scene: Scene) -> None:
    no_image(scene)
    scene.registration("zeta/main", "them", priority=200)
    scene.request(1, "small")
    action = scene.one(Decline)
    assert (action.pools, action.fail) == (("us-acme/main",), False)


def test_one_decline_answers_for_all_our_pools_and_their_standbys(scene: Scene) -> None:
    no_image(scene)
    scene.pool("acme/side", "large")
    scene.rival("acme/main")
    scene.registration("acme/main", "eleven", "large")
    scene.request(1, "small")
    action = scene.one(Decline)
    assert set(action.pools) == {"us-acme/main", "rival-acme/main", "us-acme/side"}
    assert not action.fail


def test_who_declined_is_not_written_twice(scene: Scene) -> None:
    no_image(scene)
    scene.registration("zeta/main", "them", "large")
    scene.request(1, "small", declined_by=("us-acme/main",))
    assert not scene.does(*SERVED)


def test_the_last_decline_waits_until_the_registry_has_been_quiet(scene: Scene) -> None:
    scene.registry_changed = NOW - 3
    request = scene.request(1, "nope")
    plan = scene.plan()
    assert not scene.does(*SERVED)
    assert scene.why(request) == ["no-such-label", "registry-unsettled"]
    assert plan.wake == NOW - 3 + SETTLE
    scene.now = NOW - 3 + SETTLE
    assert scene.one(Decline).fail


def test_a_decline_that_is_not_the_last_does_not_wait(scene: Scene) -> None:
    scene.registry_changed = NOW
    no_image(scene)
    scene.registration("zeta/main", "them")
    scene.request(1, "small")
    assert not scene.one(Decline).fail
