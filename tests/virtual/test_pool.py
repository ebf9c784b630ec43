"""The pool as a whole, under virtual time: the daemons' own loop, planner and effects."""

from nodepool_ng.sim.virtual.check import nodes_in
from tests.virtual.support import SMALL, assert_at_rest, installation, scheduler, settings


def test_an_empty_pool_fills_and_stays_so() -> None:
    place = installation(settings("north", "south", min_ready=6))
    place.launcher()
    place.timeline.run(20)
    assert sorted(node.state for node in nodes_in(place).values()) == ["ready"] * 6
    assert all(len(region.servers.live) > 0 for region in place.regions.values())
    place.timeline.run(600)
    assert len(nodes_in(place)) == 6
    assert_at_rest(place)


def test_a_warm_request_takes_milliseconds_and_its_node_is_replaced() -> None:
    place = installation(settings(min_ready=3))
    place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    job = client.run_job((SMALL,), seconds=10)
    place.timeline.run(1)
    assert job.served is not None
    assert job.served - job.asked < 0.02
    place.timeline.run(60)
    assert job.ended is not None
    assert not job.trouble
    assert len(nodes_in(place)) == 3
    assert job.nodes[0] not in nodes_in(place)
    assert_at_rest(place)


def test_a_set_of_cold_nodes_takes_one_boot() -> None:
    place = installation(settings(min_ready=0))
    place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    job = client.run_job((SMALL,) * 4, seconds=10)
    place.timeline.run(60)
    assert job.served is not None
    assert job.served - job.asked < 5 + 1.5
    assert not job.trouble
    assert nodes_in(place) == {}
    assert_at_rest(place)


def test_what_nobody_can_serve_fails_with_its_reasons() -> None:
    place = installation(settings())
    place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    job = client.run_job(("unknown",), seconds=10)
    place.timeline.run(5)
    assert job.failed


def test_more_requests_than_room_are_served_one_after_the_other() -> None:
    place = installation(settings(min_ready=2, max_servers=4))
    place.launcher()
    client = scheduler(place)
    jobs = [client.run_job((SMALL,) * size, seconds=20) for size in (3, 1, 4, 2, 1)]
    place.timeline.run(300)
    assert [job.trouble for job in jobs] == [[]] * 5
    assert all(job.ended is not None for job in jobs)
    assert len(nodes_in(place)) == 2
    assert_at_rest(place)


def test_a_request_that_is_withdrawn_leaves_spares_behind() -> None:
    place = installation(settings(min_ready=0))
    place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    job = client.run_job((SMALL,) * 3, seconds=10)
    place.timeline.run(2)
    client.withdraw(job)
    place.timeline.run(30)
    assert job.served is None
    assert sorted(node.allocated_to or "" for node in nodes_in(place).values()) == ["", "", ""]
    assert_at_rest(place)


def test_faulty_clouds_fail_no_request() -> None:
    faults = [
        {"call": "server.create", "fate": "refused", "probability": 0.05, "status": 500},
        {"call": "server.create", "fate": "error", "probability": 0.02},
    ]
    place = installation(settings(min_ready=0, max_servers=50), faults=faults, rate_limit={"calls": 40, "seconds": 1})
    place.launcher()
    client = scheduler(place)
    place.timeline.run(20)
    jobs = [client.run_job((SMALL,), seconds=5) for _ in range(100)]
    place.timeline.run(300)
    assert not any(job.failed or job.trouble for job in jobs)
    assert all(job.ended is not None for job in jobs)
    place.timeline.run(120)
    assert_at_rest(place)


def test_the_same_seed_gives_the_same_history() -> None:
    def history(seed: int) -> list[object]:
        place = installation(settings("north", "south", min_ready=4), seed=seed, boot={"uniform": [2, 8]})
        place.launcher()
        client = scheduler(place)
        for size in (1, 2, 3):
            client.run_job((SMALL,) * size, seconds=15)
        place.timeline.run(120)
        return [(job.request, job.served, job.nodes, job.ended) for job in client.jobs]

    assert history(7) == history(7)
    assert history(7) != history(8)


def test_components_of_different_kinds_may_have_the_same_name() -> None:
    # A launcher's and a pool's sequences are their folders' own: with one pool both are called <host>0000000000.
    place = installation(settings(min_ready=1))
    launcher = place.launcher()
    place.timeline.run(20)
    names = [at.key for at in launcher.reconciler.world.picture.components]
    assert len(set(names)) < len(names)
    assert [node.state for node in nodes_in(place).values()] == ["ready"]
