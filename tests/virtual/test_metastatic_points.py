"""A launcher is struck at every point of its work with nodes that are cut; nothing is lost or kept for ever."""

import pytest

from nodepool_ng.sim.settings import RegionSettings
from nodepool_ng.sim.virtual.check import nodes_in
from nodepool_ng.sim.virtual.client import Job, VirtualScheduler
from nodepool_ng.sim.virtual.process import Fate, Points
from nodepool_ng.sim.virtual.world import MESSAGE_TIME, Installation
from tests.acceptance.shop import label, pool, provider, settings, slicer
from tests.virtual.support import assert_at_rest

CONFIGURED = settings(provider("north", pool("main", label("large"))), slicer(grace_time=10))


def three_jobs(points: Points) -> tuple[list[Job], Installation]:
    """Cut one node for two jobs and another for a third; let both go. A struck launcher is replaced."""
    region = RegionSettings.model_validate({"boot": 5, "latency": {"default": 0.05}})
    place = Installation(CONFIGURED, {name: region for name in CONFIGURED.providers if name == "north"}, seed=5)
    place.launcher("first", points)
    client = VirtualScheduler(place.timeline, place.tree, MESSAGE_TIME)
    place.timeline.run(0.1)
    jobs = [client.run_job(("slice",), seconds=5) for _ in range(3)]  # type: ignore[arg-type]
    place.timeline.run(60)
    if not place.launchers[0].alive:
        place.launcher("second")
    place.timeline.run(200)
    return jobs, place


def number_of_points() -> int:
    points = Points()
    three_jobs(points)
    return points.seen


@pytest.mark.campaign
@pytest.mark.parametrize("fate", Fate)
def test_struck_at_every_point_it_loses_and_doubles_nothing(fate: Fate) -> None:
    count = number_of_points()
    assert count > 40
    for point in range(1, count + 1):
        jobs, place = three_jobs(Points({point: fate}))
        assert not any(job.failed or job.trouble for job in jobs), (point, jobs)
        assert all(job.ended is not None for job in jobs), (point, jobs)
        left = [node for node in nodes_in(place).values() if (node.provider, node.state) != ("north", "ready")]
        assert left == [], (point, left)
        assert_at_rest(place)
