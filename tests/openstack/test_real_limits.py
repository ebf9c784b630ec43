"""Limits, leaks and what belongs to others, on the real services."""

from typing import Any

import pytest

from nodepool_ng.demo.scheduler import NoAnswer
from nodepool_ng.drivers import MARK_INSTALLATION, MARK_NODE, MARK_POOL, MARK_PROVIDER
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Got
from tests.support import real_site as config
from tests.support.daemons import Site, wait_for
from tests.support.real_cloud import MARKS, RealCloud
from tests.support.transcript import UNKNOWN

PATIENCE = 180.0  # seconds

pytestmark = list(MARKS)


def test_a_quota_that_is_used_up_refuses_with_403_and_what_waits_gets_the_next_room(
    real_site: Site, cloud: RealCloud
) -> None:
    config.ready_made(real_site, cloud, min_ready=2)
    real_site.launcher()
    wait_for(lambda: real_site.ready(2), "two nodes are ready", PATIENCE)
    cloud.quota(instances=3)
    since = cloud.marks()
    zuul = real_site.scheduler()
    lent = zuul.take(zuul.wait(zuul.ask([config.LABEL] * 3), PATIENCE))
    wait_for(lambda: cloud.refusals(since)["nova POST servers 403"] > 0, "Nova refuses to refill the pool", PATIENCE)
    assert "Quota exceeded" in real_site.logs()
    assert len(cloud.servers()) == 3
    waiting = zuul.ask([config.LABEL] * 2)
    with pytest.raises(NoAnswer):
        zuul.wait(waiting, 5)
    for each in lent:
        zuul.give_back(zuul.use(each))
    for each in zuul.take(zuul.wait(waiting, PATIENCE)):
        zuul.give_back(zuul.use(each))
    wait_for(lambda: real_site.ready(2), "two are ready again", PATIENCE)
    wait_for(
        lambda: {node.external_id for node in real_site.nodes().values()} == set(cloud.servers()),
        "every server has a node",
        PATIENCE,
    )
    assert "Traceback" not in real_site.logs()


def test_a_leak_goes_and_what_is_not_ours_stays(real_site: Site, cloud: RealCloud) -> None:
    """It is there before the launcher is, as after a crash: the first list shows it, and another one soon after."""
    image = config.ready_made(real_site, cloud, min_ready=1)
    crashed = real_site.launcher()
    wait_for(lambda: real_site.ready(1), "a node is ready", PATIENCE)
    crashed.kill()
    (ours,) = cloud.servers()
    foreign = [
        boot(cloud, "somebodys", image),
        boot(cloud, "np0000000042", image, {MARK_NODE: "0000000042", MARK_PROVIDER: config.PROVIDER}),
        boot(cloud, "anothers", image, marks("another installation")),
    ]
    leak = boot(cloud, "np0000009999", image, marks(installation(real_site)))
    network = cloud.ci.network.find_network("private")
    port = cloud.ci.network.create_port(network_id=network.id, name="somebodys")
    theirs = cloud.image("somebodys")
    real_site.launcher("-second")
    wait_for(lambda: leak not in cloud.servers(), "the leak is gone", PATIENCE)
    assert set(cloud.servers()) == {ours, *foreign}
    assert cloud.ci.network.get_port(port.id).name == "somebodys"
    assert cloud.ci.image.get_image(theirs).status == "active"
    leftover = [one.device_id for one in cloud.ci.network.ports(project_id=cloud.project)]
    assert leak not in leftover
    assert set(foreign) <= set(leftover)


def test_a_port_that_a_server_of_ours_left_behind_goes(real_site: Site, cloud: RealCloud) -> None:
    """Neutron lets nobody but an administrator delete a port that says a server has it, even one that is gone."""
    config.ready_made(real_site, cloud, min_ready=1, **{"port-cleanup-interval": 5})
    real_site.launcher()
    wait_for(lambda: real_site.ready(1), "a node is ready", PATIENCE)
    (gone,) = cloud.servers()
    zuul = real_site.scheduler()
    (lent,) = zuul.take(zuul.wait(zuul.ask([config.LABEL]), PATIENCE))
    zuul.give_back(zuul.use(lent))
    wait_for(lambda: gone not in cloud.servers(), "the server is gone", PATIENCE)
    network = cloud.ci.network.find_network("private")
    owner = {"network_id": network.id, "device_owner": "compute:az1"}
    theirs = cloud.ci.network.create_port(**owner, device_id=UNKNOWN)
    left = cloud.ci.network.create_port(**owner, device_id=gone)
    wait_for(lambda: cloud.ci.network.find_port(left.id) is None, "the port is gone", PATIENCE)
    assert cloud.ci.network.get_port(theirs.id).device_owner == "compute:az1"


def boot(cloud: RealCloud, name: str, image: str, metadata: dict[str, str] | None = None) -> str:
    """Have a server made that no launcher asked for, and return its id."""
    flavor = next(one for one in cloud.ci.compute.flavors() if one.name == "small")
    made: Any = cloud.ci.compute.create_server(
        name=name, image_id=image, flavor_id=flavor.id, networks="auto", metadata=metadata or {}
    )
    return str(made.id)


def marks(installation: str) -> dict[str, str]:
    named = {MARK_NODE: "0000009999", MARK_PROVIDER: config.PROVIDER, MARK_POOL: "main"}
    return {**named, MARK_INSTALLATION: installation}


def installation(place: Site) -> str:
    got = place.read(paths.INSTALLATION)
    assert isinstance(got, Got), got
    return got.data.decode()
