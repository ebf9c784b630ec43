"""Who is first, and who is not starved by those behind."""

from __future__ import annotations

from nodepool_ng.model.action import Claim, LaunchNodes, ScanHostKeys, subjects
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.snapshot import Side
from nodepool_ng.plan.requests import MOST_STARTED
from tests.unit.plan.support import SERVED, Scene, instances, served


def test_requests_are_served_by_priority_relative_priority_and_sequence(scene: Scene) -> None:
    for number in (4, 3):
        scene.request(number, "small")
    scene.request(5, "small", relative_priority=-1)
    scene.request(1, "small", relative_priority=1)
    scene.request(9, "small", priority="050")
    scene.request(2, "small", priority="200")
    scene.request(0, "small", id="odd-form-0000000000")
    assert served(scene) == ["9", "5", "3", "4", "1", "2", "0"]


def test_a_large_request_is_not_starved_by_small_ones_behind_it(scene: Scene) -> None:
    scene.provider("acme", quota=instances(4))
    for number in (1, 2):
        scene.node(number, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.request(1, *["small"] * 3)
    scene.request(2, "small")
    assert not scene.does(*SERVED)


def test_who_waits_behind_a_like_request_is_told_so(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1))
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    first = scene.request(1, "small")
    second = scene.request(2, "small")
    assert scene.why(second) == ["provider-quota", "ahead"]
    assert scene.plan().verdicts[second.id][-1].request == first.id


def test_small_requests_pass_where_the_large_one_does_not_reserve(scene: Scene) -> None:
    scene.provider("zeta", quota=instances(2))
    scene.pool("zeta/main", "small")
    scene.provider("acme", quota=instances(4))
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.request(1, *["large"] * 4)
    scene.request(2, "small")
    assert [(a.request[-1], a.provider) for a in scene.does(Claim)] == [("2", "zeta")]  # type: ignore[union-attr]


def test_a_request_in_another_resource_is_held_back_only_by_what_is_reserved(scene: Scene) -> None:
    scene.provider("acme", quota=Resources({"instances": 10, "cores": 5}))
    scene.node(1, NodeState.IN_USE, label="large", lock=Side.FOREIGN)
    scene.request(1, "large")
    scene.request(2, "small")
    assert not scene.does(*SERVED)


def test_ready_nodes_go_to_whoever_asks_even_behind_a_reservation(scene: Scene) -> None:
    scene.provider("acme", quota=instances(2))
    scene.node(1, NodeState.IN_USE, lock=Side.FOREIGN)
    scene.node(2, label="small", tenant_name=None)
    scene.request(1, "large", "large")
    scene.request(2, "small")
    assert served(scene) == ["2"]


def test_of_several_launchers_exactly_one_reserves_for_a_request() -> None:
    def launcher(own: str, other: str, number: int) -> Scene:
        scene = Scene()
        for pieces in (scene.providers, scene.pool_ids, scene.components, scene.facts, scene.leased):
            pieces.clear()  # type: ignore[attr-defined]
        scene.provider(own, quota=instances(3))
        scene.pool(f"{own}/main")
        scene.rival(f"{other}/main")
        scene.node(1, NodeState.IN_USE, at=f"{own}/main", lock=Side.FOREIGN)
        scene.request(number, *["small"] * 3)
        scene.request(99, "small", priority="200")
        return scene

    reserving = set()
    for number in range(20):
        passed = [
            served(launcher("acme", "zeta", number)) == ["99"],
            served(launcher("zeta", "acme", number)) == ["99"],
        ]
        assert sorted(passed) == [False, True]
        reserving.add(passed[0])
    assert reserving == {False, True}


def test_one_pass_begins_to_serve_so_many_requests_and_the_next_one_is_due_at_once(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1000))
    scene.label("small", min_ready=1)
    for number in range(MOST_STARTED + 2):
        scene.request(number, "small")
    first = scene.plan()
    assert [type(action) for action in first.actions] == [Claim] * MOST_STARTED
    assert (first.whole, first.wake) == (False, scene.now)
    scene.in_flight = {subject: action for action in first.actions for subject in subjects(action)}
    second = scene.plan()
    assert [type(action) for action in second.actions] == [Claim, Claim, LaunchNodes]
    assert second.whole


def test_what_goes_on_already_is_not_held_up_by_what_is_begun(scene: Scene) -> None:
    scene.provider("acme", quota=instances(1000))
    for number in range(MOST_STARTED + 1):
        scene.request(number, "small")
    held = scene.pending(MOST_STARTED + 1, "small")
    scene.building(1, allocated_to=held.id)
    scene.server(1)
    assert [action.node for action in scene.does(ScanHostKeys)] == ["0000000001"]  # type: ignore[union-attr]
