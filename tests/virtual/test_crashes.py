"""Launchers that share a provider, clouds that lie, connections that break: small cases, each seen by itself.

Every point of the ordinary work is struck in `test_points`, everything at once in `test_histories`.
"""

import pytest

from tests.virtual.support import SMALL, assert_at_rest, installation, scheduler, settings


def test_two_launchers_of_one_provider_do_the_work_once() -> None:
    place = installation(settings("north", "south", min_ready=4))
    for name in ("one", "two", "three"):
        place.launcher(name)
    client = scheduler(place)
    jobs = [client.run_job((SMALL,) * size, seconds=10) for size in (1, 3, 2, 4, 1, 1)]
    place.timeline.run(120)
    assert not any(job.trouble or job.failed for job in jobs)
    assert all(job.ended is not None for job in jobs)
    assert_at_rest(place)
    created = sum(len(region.servers.rows) for region in place.regions.values())
    assert created <= sum(len(job.nodes) for job in jobs) + 4 + 2


@pytest.mark.parametrize("fate", ["answer-lost", "twice", "slow", "stuck", "no-address"])
def test_a_cloud_that_lies_about_creates_leaks_nothing(fate: str) -> None:
    faults = [{"call": "server.create", "fate": fate, "probability": 0.5, "times": 6, "seconds": 40}]
    place = installation(settings(min_ready=2, launch_timeout=60), faults=faults)
    place.launcher()
    client = scheduler(place)
    jobs = [client.run_job((SMALL,) * size, seconds=10) for size in (1, 3)]
    place.timeline.run(600)
    assert not any(job.trouble for job in jobs)
    assert all(job.ended is not None or job.failed for job in jobs)
    assert_at_rest(place)


@pytest.mark.parametrize("cut", [0.0005, 0.0015, 0.0025, 0.05, 2.0, 3.2])
def test_a_connection_cut_at_any_time_loses_nothing(cut: float) -> None:
    place = installation(settings(min_ready=1), boot=3)
    launcher = place.launcher()
    place.timeline.run(10)
    client = scheduler(place)
    job = client.run_job((SMALL,) * 3, seconds=5)
    place.timeline.run(cut)
    launcher.store.suspend()
    place.timeline.run(4)
    launcher.store.resume()
    place.timeline.run(120)
    assert not job.trouble
    assert job.ended is not None
    assert_at_rest(place)


@pytest.mark.parametrize("cut", [0.0005, 0.0015, 0.0025, 0.05, 2.0, 3.2])
def test_a_session_lost_at_any_time_loses_nothing(cut: float) -> None:
    place = installation(settings(min_ready=1), boot=3)
    launcher = place.launcher()
    place.timeline.run(10)
    client = scheduler(place)
    job = client.run_job((SMALL,) * 3, seconds=5)
    place.timeline.run(cut)
    launcher.store.expire()
    place.timeline.run(120)
    assert not job.trouble
    assert job.ended is not None
    assert_at_rest(place)
