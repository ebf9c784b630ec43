"""A launcher is struck at every point of its work with machines that are there already; the slots come out right."""

import pytest

from nodepool_ng.sim.virtual.check import nodes_in
from nodepool_ng.sim.virtual.client import Job, VirtualScheduler
from nodepool_ng.sim.virtual.process import Fate, Points
from nodepool_ng.sim.virtual.world import MESSAGE_TIME, Installation
from tests.acceptance.shop import host, settings, yard
from tests.virtual.support import assert_at_rest

CONFIGURED = settings(yard(host("h1", slots=2), host("h2", "bare", "large")))
SLOTS = [("h1", 0), ("h1", 1), ("h2", 0)]


def two_jobs(points: Points) -> tuple[list[Job], Installation]:
    """Register three nodes, lend two of them, then one that has to be waited for; a struck launcher is replaced."""
    place = Installation(CONFIGURED, {}, seed=5)
    place.launcher("first", points)
    client = VirtualScheduler(place.timeline, place.tree, MESSAGE_TIME)
    place.timeline.run(0.1)
    jobs = [client.run_job(("bare", "large"), seconds=5), client.run_job(("large",), seconds=5)]  # type: ignore[arg-type]
    place.timeline.run(20)
    if not place.launchers[0].alive:
        place.launcher("second")
    place.timeline.run(120)
    return jobs, place


def number_of_points() -> int:
    points = Points()
    two_jobs(points)
    return points.seen


@pytest.mark.campaign
@pytest.mark.parametrize("fate", Fate)
def test_struck_at_every_point_it_loses_and_doubles_nothing(fate: Fate) -> None:
    count = number_of_points()
    assert count > 20
    for point in range(1, count + 1):
        jobs, place = two_jobs(Points({point: fate}))
        assert not any(job.failed or job.trouble for job in jobs), (point, jobs)
        assert all(job.ended is not None for job in jobs), (point, jobs)
        assert sorted((n.hostname, n.slot) for n in nodes_in(place).values() if n.state == "ready") == SLOTS, point
        assert_at_rest(place)
