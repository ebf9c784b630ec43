"""When a launcher gathers letters, under virtual time: never while somebody waits for milliseconds."""

from nodepool_ng.launcher.pacing import LINGER
from tests.virtual.support import SMALL, installation, scheduler, settings


def test_at_rest_and_while_a_node_is_made_for_a_request_letters_are_dealt_with_at_once() -> None:
    place = installation(settings(min_ready=0))
    launcher = place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    assert launcher.reconciler.linger == 0
    job = client.run_job((SMALL,), seconds=30)
    place.timeline.run(3)
    assert job.served is None
    assert launcher.reconciler.linger == 0


def test_while_all_that_wait_queue_for_a_full_cloud_letters_are_gathered() -> None:
    place = installation(settings(min_ready=0, max_servers=1))
    launcher = place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    client.run_job((SMALL,), seconds=60)
    place.timeline.run(10)
    waiting = client.run_job((SMALL,), seconds=10)
    place.timeline.run(1)
    assert launcher.reconciler.linger == LINGER
    client.withdraw(waiting)
    place.timeline.run(1)
    assert launcher.reconciler.linger == 0
