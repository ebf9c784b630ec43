"""A launcher that stops while a request is being served: who goes on with it?"""

import pytest

from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.ids import PoolId
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.codec import decode_request
from nodepool_ng.zk.store import Commit, Committed, Create, Got
from tests.daemons.test_launcher import clouds, configure
from tests.support.daemons import Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside Nodepool 11"])
def test_a_request_is_put_back_where_only_another_software_goes_on(place: Site, others: bool) -> None:
    place.start_clouds(clouds=clouds(boot=120))
    configure(place, "north", min_ready=0)
    launcher = place.launcher()
    zuul = place.scheduler()
    wait_for(lambda: bool(place.children(paths.components(POOL))), "the pool is registered")
    theirs = KazooStore(place.zookeeper)
    theirs.start()
    assert wait_connected(theirs, 30.0)
    try:
        if others:
            foreign = Component(
                key="",
                kind=POOL,
                hostname="old",
                state="running",
                version="11.0.0",
                id=PoolId("old-main"),
                name="main",
                provider_name="elsewhere",
                supported_labels=frozenset({"small"}),  # type: ignore[arg-type]
                priority=200,
            )
            path = paths.new_component(POOL, "old")
            (made,) = call(
                theirs, [Commit((Create(path, codec.encode_component(foreign), ephemeral=True, sequence=True),))]
            )
            assert isinstance(made, Committed), made
        asked = zuul.ask(["small"])
        wait_for(lambda: any(node.state is NodeState.BUILDING for node in place.nodes().values()), "a node is built")
        assert launcher.stop() == 0
        got = place.read(paths.request(asked))
        assert isinstance(got, Got)
        request = decode_request(asked, got.data)
        assert request.state is (RequestState.REQUESTED if others else RequestState.PENDING)
        assert place.children(paths.request_lock(asked)) == []
        assert ("another software can serve it" in place.logs()) == others
    finally:
        theirs.stop()
