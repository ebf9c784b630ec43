"""What keeps itself in order: the warm pool, what is old or lost or leaked, and changes of the configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodepool_ng.drivers import MARK_ATTEMPT, MARK_INSTALLATION, MARK_NODE, MARK_PROVIDER
from nodepool_ng.model.ids import NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import Settings
from nodepool_ng.sim.server import ServerAsk
from nodepool_ng.sim.virtual.world import CALLER, INSTALLATION
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Create, Delete
from tests.acceptance.shop import Shop, pool, provider, settings


def warm(count: int, *providers_: object, **changes: object) -> Settings:
    return settings(*providers_, labels={"small": {"min_ready": count, **changes}})  # type: ignore[arg-type]


def test_labels_without_min_ready_have_no_nodes() -> None:
    shop = Shop(warm(0))
    shop.run(100)
    assert not shop.nodes()
    assert shop.created() == 0


def test_launchers_that_share_a_label_make_its_nodes_once() -> None:
    shop = Shop(warm(1, provider("north"), provider("south")), launchers=2)
    shop.run(60)
    assert len(shop.nodes()) == 1
    assert shop.created("north") + shop.created("south") == 1


def test_a_node_that_an_operator_deletes_is_replaced() -> None:
    shop = Shop(warm(1))
    (node,) = shop.nodes()
    shop.rewrite(replace(node, state=NodeState.DELETING))
    shop.run(40)
    (other,) = shop.nodes(NodeState.READY)
    assert other.id != node.id
    assert [server.id for server in shop.servers()] == [other.external_id]


def test_a_delete_that_fails_keeps_the_node_deleting_and_does_not_stop_its_replacement() -> None:
    shop = Shop(warm(1))
    shop.change("north", faults=[{"call": "server.delete", "fate": "refused", "status": 500}])
    (node,) = shop.nodes()
    shop.rewrite(replace(node, state=NodeState.DELETING))
    shop.run(60)
    states = {one.id: one.state for one in shop.nodes()}
    assert states.pop(node.id) is NodeState.DELETING
    assert list(states.values()) == [NodeState.READY]
    shop.change("north", faults=[])
    shop.run(600)
    assert len(shop.servers()) == 1
    shop.assert_at_rest()


def test_a_server_that_goes_to_error_while_it_is_deleted_is_counted_and_deleted_again() -> None:
    shop = Shop(warm(1, provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.change("north", faults=[{"call": "server.delete", "fate": "stuck", "times": 1}])
    (node,) = shop.nodes()
    shop.rewrite(replace(node, state=NodeState.DELETING))
    shop.run(2)
    shop.place.regions["north"].servers.fail(str(node.external_id), "no luck", now=shop.place.timeline.now())  # type: ignore[index]
    shop.run(2)
    assert [one.state for one in shop.nodes()] == [NodeState.DELETING]
    shop.run(60)
    assert [one.state for one in shop.nodes()] == [NodeState.READY]
    shop.assert_at_rest()


def test_a_server_of_ours_without_a_node_is_deleted() -> None:
    shop = Shop(warm(1))
    marks = {MARK_PROVIDER: "north", MARK_NODE: "0000009999", MARK_INSTALLATION: INSTALLATION, MARK_ATTEMPT: "x"}
    leak = ServerAsk(name="np0000009999", flavor="small", metadata=marks)
    foreign = replace(leak, metadata={**marks, MARK_INSTALLATION: "another"})
    region = shop.place.regions["north"]  # type: ignore[index]
    planted = [region.servers.plant(CALLER, ask, now=shop.place.timeline.now()).id for ask in (leak, foreign)]
    shop.run(200)
    there = {server.id for server in shop.servers()}
    assert planted[0] not in there
    assert planted[1] in there


def test_nodes_that_are_ready_for_too_long_are_replaced() -> None:
    shop = Shop(warm(2, max_ready_age=100))
    before = {node.id for node in shop.nodes()}
    shop.run(150)
    after = {node.id for node in shop.nodes(NodeState.READY)}
    assert len(after) == 2
    assert not before & after


@pytest.mark.parametrize(
    ("own", "most", "stays"), [(30, 0, 35), ("30", 0, 35), (30, 100, 35), (100, 30, 35), ("junk", 30, 35), (0, 30, 35)]
)
def test_a_hold_ends_with_the_stricter_of_two_limits(own: object, most: int, stays: int) -> None:
    shop = Shop(replace(warm(1), max_hold_age=most))
    (node,) = shop.nodes()
    held = replace(node, state=NodeState.HOLD, state_time=shop.place.timeline.now(), hold_expiration=own)  # type: ignore[arg-type]
    shop.rewrite(held)
    shop.run(25)
    assert [one.id for one in shop.nodes(NodeState.HOLD)] == [node.id]
    shop.run(stays - 25)
    assert not shop.nodes(NodeState.HOLD)


def test_a_request_lost_by_its_launcher_is_served_by_the_next_and_its_ready_node_is_reused() -> None:
    shop = Shop(warm(1))
    (node,) = shop.nodes()
    lost = NodeRequest(
        id=RequestId(""),
        state=RequestState.PENDING,
        state_time=0,
        labels=("small",),  # type: ignore[arg-type]
    )
    request = shop.write(lost)
    shop.rewrite(replace(node, allocated_to=RequestId(request)))
    shop.run(60)
    (found,) = shop.requests()
    assert (found.state, found.nodes) == (RequestState.FULFILLED, (node.id,))


def test_a_node_of_a_request_that_is_gone_is_free_again() -> None:
    shop = Shop(warm(1))
    (node,) = shop.nodes()
    shop.rewrite(replace(node, allocated_to=RequestId("200-0000009999"), tenant_name="t"))  # type: ignore[arg-type]
    shop.run(10)
    freed = next(one for one in shop.nodes() if one.id == node.id)
    assert (freed.state, freed.allocated_to, freed.tenant_name) == (NodeState.READY, None, None)


def test_records_without_data_and_half_removed_ones_go() -> None:
    shop = Shop(warm(1))
    (node,) = shop.nodes()
    session = shop.place.client.session_id
    shop.place.tree.commit((Create(paths.node(NodeId("0000008888"))),), session)
    shop.rewrite(replace(node, state=NodeState.DELETED))
    shop.run(60)
    assert not {paths.node(NodeId("0000008888")), paths.node(node.id)} & set(shop.place.tree.paths())


def test_a_hand_out_leaves_nothing_of_a_lock_that_nobody_wanted() -> None:
    shop = Shop(warm(1))
    job = shop.ask("small", seconds=5)
    shop.run(60)
    assert job.ended
    assert paths.request_lock(RequestId(str(job.request))) not in shop.place.tree.paths()


def test_the_lock_of_a_request_stays_as_long_as_somebody_may_hold_it_and_is_swept_after_hours() -> None:
    shop = Shop(warm(0))
    job = shop.ask("small", seconds=5)
    shop.run(60)
    assert job.ended
    lock = paths.request_lock(RequestId(str(job.request)))
    assert lock in shop.place.tree.paths()
    shop.run(9 * 3600)
    assert lock not in shop.place.tree.paths()


def test_the_lock_of_a_request_that_is_there_is_never_swept() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.ask("small", seconds=100 * 3600)
    shop.run(20)
    waiting = shop.ask("small")
    session = shop.place.client.session_id
    shop.run(1)
    lock = paths.request_lock(RequestId(str(waiting.request)))
    if lock not in shop.place.tree.paths():
        shop.place.tree.commit((Create(lock),), session)
    shop.run(10 * 3600)
    assert lock in shop.place.tree.paths()
    shop.place.tree.commit((Delete(paths.request(RequestId(str(waiting.request)))),), session)
    shop.run(9 * 3600)
    assert lock not in shop.place.tree.paths()


def test_a_provider_that_is_removed_is_unregistered_and_its_nodes_are_cleaned_away() -> None:
    both = warm(4, provider("north"), provider("south"))
    shop = Shop(both)
    assert {node.provider for node in shop.nodes()} == {"north", "south"}
    shop.reconfigure(warm(4, provider("north")))
    shop.run(60)
    assert {node.provider for node in shop.nodes()} == {"north"}
    assert len(shop.nodes(NodeState.READY)) == 4
    assert list(shop.pools()) == ["north/main"]
    assert not shop.servers("south")


def test_a_removed_providers_nodes_in_use_stay_until_they_are_given_back() -> None:
    shop = Shop(warm(0, provider("north"), provider("south", pool("main", "small", priority=1))))
    job = shop.ask("small", seconds=60)
    shop.run(20)
    assert {node.provider for node in shop.nodes(NodeState.IN_USE)} == {"south"}
    shop.reconfigure(warm(0, provider("north")))
    shop.run(20)
    assert len(shop.servers("south")) == 1
    shop.run(100)
    assert job.ended
    assert not job.trouble
    assert not shop.nodes()
    assert not shop.servers("south")


def test_labels_are_published_anew_after_a_change() -> None:
    shop = Shop(settings(provider("north", pool("main", "a"))))
    assert shop.pools()["north/main"].supported_labels == {"a"}
    shop.reconfigure(settings(provider("north", pool("main", "a", "b", priority=7))))
    shop.run(5)
    assert shop.pools()["north/main"].supported_labels == {"a", "b"}
    assert shop.pools()["north/main"].priority == 7


def test_a_pool_is_paused_while_something_waits_for_its_room() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.ask("small", seconds=60)
    shop.run(10)
    assert not shop.pools()["north/main"].paused
    shop.ask("small", seconds=5)
    shop.run(5)
    assert shop.pools()["north/main"].paused
    shop.run(120)
    assert not shop.pools()["north/main"].paused


def test_a_session_lost_in_a_launch_costs_the_request_nothing() -> None:
    shop = Shop(settings())
    job = shop.ask("small", "small", seconds=10)
    shop.run(2)
    shop.launcher.store.expire()
    shop.run(60)
    assert job.ended
    assert not job.trouble
    shop.assert_at_rest()
