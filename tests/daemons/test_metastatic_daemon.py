"""Nodes cut into slots, with launchers as processes: one server for several jobs."""

import pytest

from nodepool_ng.model.lifecycle import NodeState
from tests.daemons.test_launcher import clouds, provider
from tests.support.daemons import Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


def configure(place: Site, grace_time: int) -> None:
    label = {"name": "slice", "backing-label": "small", "max-parallel-jobs": 3, "grace-time": grace_time}
    slicer = {"name": "slicer", "driver": "metastatic", "pools": [{"name": "board", "labels": [label]}]}
    place.configure(labels=[{"name": "small"}, {"name": "slice"}], providers=[provider("north"), slicer])


def test_jobs_share_a_server_that_outlives_its_launcher_and_then_goes(place: Site) -> None:
    sim = place.start_clouds(clouds=clouds())
    configure(place, grace_time=600)
    region = sim.region("acme", "north")
    first = place.launcher("-first")
    wait_for(lambda: "Launcher of installation" in place.logs(), "the launcher runs")
    zuul = place.scheduler()
    asked = [zuul.ask(["slice"]) for _ in range(2)]
    lent = [each for request in asked for each in zuul.take(zuul.wait(request, 30))]
    (server,) = region.state().live
    assert {each.node.interface_ip for each in lent} == {place.nodes()[backing(place)].interface_ip}
    assert sorted(each.node.slot or 0 for each in lent) == [0, 1]
    first.kill()
    place.launcher("-second")
    (third,) = zuul.take(zuul.wait(zuul.ask(["slice"]), 40))
    assert third.node.slot == 2
    for each in (*lent, third):
        zuul.give_back(zuul.use(each))
    wait_for(lambda: [n.provider for n in place.nodes().values()] == ["north"], "the slots are free")
    assert [each.id for each in region.state().live] == [server.id]
    configure(place, grace_time=1)
    wait_for(lambda: not place.nodes() and not region.state().live, "the server is gone")
    assert "Traceback" not in place.logs()


def backing(place: Site) -> str:
    """Return the id of the one node that is cut."""
    (found,) = [n.id for n in place.nodes().values() if n.provider == "north" and n.state is NodeState.IN_USE]
    return found
