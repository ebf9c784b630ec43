"""What a launcher tells of itself, under virtual time: its views and its numbers."""

from collections.abc import Iterable

from nodepool_ng.launcher.measuring import Measures
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.telemetry.sample import Sample
from nodepool_ng.telemetry.statsd import name_of
from tests.virtual.support import SMALL, installation, scheduler, settings


class Ears:
    def __init__(self) -> None:
        self.heard: list[Sample] = []

    def tell(self, samples: Iterable[Sample]) -> None:
        self.heard += samples

    def count(self, name: str) -> int:
        return sum(name_of(one) == name for one in self.heard)

    def value(self, name: str) -> float:
        return next(one.value for one in self.heard if name_of(one) == name)


def test_launches_and_waits_are_told_once() -> None:
    place = installation(settings(min_ready=2))
    launcher = place.launcher()
    ears = Ears()
    launcher.reconciler._witness = Measures(ears, "vm")
    client = scheduler(place)
    place.timeline.run(20)
    assert ears.count("nodepool.launch.ready") == 2
    assert ears.count("nodepool.launch.requestor.NodePool_min-ready.ready") == 2
    assert 5 < ears.value("nodepool.launch.provider.north.ready") < 8
    client.run_job((SMALL,), seconds=10)
    place.timeline.run(1)
    assert ears.count("nodepool.requests.ended.warm") == 1
    assert ears.value("nodepool.requests.wait.north.small") < 0.1
    client.run_job((SMALL,) * 3, seconds=10)
    place.timeline.run(30)
    assert ears.count("nodepool.requests.ended.cold") == 1


def test_failed_attempts_are_told_with_their_kinds() -> None:
    faults = [{"call": "server.create", "fate": "error", "probability": 1, "times": 2}]
    place = installation(settings(min_ready=1), faults=faults)
    launcher = place.launcher()
    ears = Ears()
    launcher.reconciler._witness = Measures(ears, "vm")
    place.timeline.run(120)
    assert ears.count("nodepool.launch.error.status") + ears.count("nodepool.launch.error.capacity") == 2
    assert ears.count("nodepool.launch.ready") == 1


def test_a_view_is_kept_while_the_world_goes_on() -> None:
    place = installation(settings(min_ready=3))
    launcher = place.launcher()
    place.timeline.run(1)
    before = launcher.reconciler.view()
    states = {id: node.state for id, node in before.nodes.items()}
    used = before.used_in_provider.copy()  # type: ignore[attr-defined]
    place.timeline.run(30)
    after = launcher.reconciler.view()
    assert {id: node.state for id, node in before.nodes.items()} == states
    assert before.used_in_provider == used
    assert [node.state for node in after.nodes.values()] == [NodeState.READY] * 3
    assert after.complete
    assert after.planned
    assert not after.elected
    assert after.used_in_provider[next(iter(after.leased))].get("instances") == 3


def test_who_is_to_tell_the_numbers_of_all_stands_and_is_elected() -> None:
    place = installation(settings(min_ready=0))
    first, second = place.launcher("one"), place.launcher("two")
    for launcher in (first, second):
        launcher.reconciler.world.tells_numbers = True
    place.timeline.run(20)
    assert [one.reconciler.view().elected for one in (first, second)].count(True) == 1
    elected, other = (first, second) if first.reconciler.view().elected else (second, first)
    elected.kill()
    place.timeline.run(20)
    assert other.reconciler.view().elected
