"""Services of the cloud are killed and come back in the middle of work: nothing is lost, nothing is doubled."""

from collections import Counter

import pytest

from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.store import Commit, Create
from tests.support import real_site as config
from tests.support.daemons import Site, wait_for
from tests.support.real_cloud import MARKS, RealCloud

WARM = 4
PATIENCE = 240.0  # seconds; a server whose order went down with RabbitMQ is given up after its launch-timeout

pytestmark = list(MARKS)


@pytest.mark.parametrize("service", ["nova", "keystone", "rabbit"])
def test_nodes_outlive_a_service(real_site: Site, cloud: RealCloud, service: str) -> None:
    config.ready_made(real_site, cloud, min_ready=WARM, **{"launch-timeout": 60})
    launcher = real_site.launcher()
    wait_for(lambda: real_site.ready(WARM), f"{WARM} nodes are ready", PATIENCE)
    zuul = real_site.scheduler()
    before = set(real_site.nodes())
    warm = zuul.ask([config.LABEL] * 2)
    cold = zuul.ask([config.LABEL] * (WARM + 2))
    try:
        lent = zuul.take(zuul.wait(warm, 5))
        cloud.kill(service)
        assert {each.node.id for each in lent} <= before, "warm nodes are handed out without the cloud"
        for each in lent:
            zuul.give_back(zuul.use(each))
    finally:
        cloud.start(service)
    later = zuul.take(zuul.wait(cold, PATIENCE))
    assert len({each.node.external_id for each in later}) == WARM + 2
    assert {str(each.node.external_id) for each in later} <= set(cloud.servers())
    for each in later:
        zuul.give_back(zuul.use(each))
    wait_for(
        lambda: (
            real_site.ready(WARM) and {node.external_id for node in real_site.nodes().values()} == set(cloud.servers())
        ),
        "the pool is full, and every server has a node",
        PATIENCE,
    )
    assert launcher.stop() == 0
    assert "Traceback" not in real_site.logs()


def test_tokens_that_are_revoked_in_the_middle_of_work_are_renewed(real_site: Site, cloud: RealCloud) -> None:
    """For a moment the user is disabled, too: what the launcher asks for just then is asked for again."""
    config.ready_made(real_site, cloud, min_ready=2)
    launcher = real_site.launcher()
    wait_for(lambda: real_site.ready(2), "two nodes are ready", PATIENCE)
    zuul = real_site.scheduler()
    warm = zuul.take(zuul.wait(zuul.ask([config.LABEL]), PATIENCE))
    since = cloud.marks()
    cloud.revoke()
    lent = [*warm, *zuul.take(zuul.wait(zuul.ask([config.LABEL] * 3), PATIENCE))]
    assert {str(each.node.external_id) for each in lent} <= set(cloud.servers())
    for each in lent:
        zuul.give_back(zuul.use(each))
    wait_for(
        lambda: (
            real_site.ready(2) and {node.external_id for node in real_site.nodes().values()} == set(cloud.servers())
        ),
        "the pool is full, and every server has a node",
        PATIENCE,
    )
    refused = Counter(what.rpartition(" ")[2] for what in cloud.refusals(since).elements())
    print(f"refused: {refused}")
    assert refused["401"] > 0, "the tokens were no good any more"
    assert launcher.stop() == 0
    assert "Traceback" not in real_site.logs()


def test_an_upload_outlives_glance(real_site: Site, cloud: RealCloud) -> None:
    config.configure(real_site)
    builder = config.builder(real_site)
    wait_for(lambda: config.uploaded(real_site), "the first image is in service")
    (first,) = config.uploads(real_site)
    store = real_site.store()
    try:
        cloud.kill("glance")
        call(store, [Commit((Create(paths.build_requested(config.IMAGE)),))])
        wait_for(lambda: "failed" in real_site.logs("nodepool-builder"), "an upload fails")
    finally:
        cloud.start("glance")
    wait_for(lambda: config.uploaded(real_site, besides=first), "the next image is in service", PATIENCE)
    wait_for(
        lambda: (
            {image.id for image in cloud.ci.image.images(owner=cloud.project)}
            == {upload.external_id for upload in config.uploads(real_site)}
        ),
        "no image is left over",
        PATIENCE,
    )
    assert builder.stop() == 0
    assert "Traceback" not in real_site.logs("nodepool")
