"""What a request becomes: its nodes and their records, attempts that fail, and what is left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodepool_ng.launcher.outcome import Lost
from nodepool_ng.launcher.properties import rendered
from nodepool_ng.model.action import Claim, ScanHostKeys
from nodepool_ng.model.ids import RequestId
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.settings import CloudImage
from nodepool_ng.zk import paths
from nodepool_ng.zk.changes import NodeChange
from tests.acceptance.shop import Shop, label, pool, provider, settings
from tests.unit.plan.support import Scene

CREATE = "server.create"


def failing(fate: str, **more: object) -> dict[str, object]:
    return {"call": CREATE, "fate": fate, **more}


def test_a_request_becomes_a_node_with_everything_its_client_relies_on() -> None:
    image = CloudImage(
        name="stock", username="worker", python_path="/usr/bin/python3", shell_type="sh", connection_port=2022
    )
    small = label("small", cloud_image="stock", dynamic_instance_properties={"for": "{request.tenant_name}"})
    main = pool("main", small, node_attributes={"executor-zone": "a"}, availability_zones=("az1",))
    north = provider("north", main, region_name="the-region", cloud_images={"stock": image})
    shop = Shop(settings(north), zones=["az1"])
    shop.write(
        NodeRequest(
            id=RequestId(""),
            state=RequestState.REQUESTED,
            state_time=0,
            labels=("small",),  # type: ignore[arg-type]
            requestor="somebody",
            requestor_data={"span_info": {"trace": 2**127 + 1}},
            tenant_name="a-tenant",  # type: ignore[arg-type]
        )
    )
    shop.run(20)
    (request,) = shop.requests()
    (node,) = shop.nodes()
    (server,) = shop.servers()
    assert request.state is RequestState.FULFILLED
    assert request.nodes == (node.id,)
    assert request.requestor_data == {"span_info": {"trace": 2**127 + 1}}
    assert (node.state, node.allocated_to) == (NodeState.READY, request.id)
    assert (node.tenant_name, node.requestor) == ("a-tenant", "somebody")
    assert (node.provider, node.pool, node.labels) == ("north", "main", ("small",))
    assert (node.cloud, node.region, node.az) == ("cloud-north", "the-region", "az1")
    assert (node.username, node.python_path, node.shell_type) == ("worker", "/usr/bin/python3", "sh")
    assert (node.connection_type, node.connection_port, node.image_id) == ("ssh", 2022, "stock")
    assert node.resources == Resources({"instances": 1, "cores": 1, "ram": 2048})
    assert node.attributes == {"executor-zone": "a"}
    assert node.external_id == server.id
    assert node.interface_ip
    assert node.host_keys
    assert node.launcher == shop.pools()["north/main"].id
    assert shop.place.tree.look(paths.node_lock(node.id)) is not None
    assert not shop.place.tree.look(paths.node_lock(node.id)).children  # type: ignore[union-attr]
    marks = {"nodepool_node_id": node.id, "nodepool_pool_name": "main", "nodepool_provider_name": "north"}
    assert {**marks, "for": "a-tenant"}.items() <= server.metadata.items()
    assert server.ask.name == f"np{node.id}"


def test_a_property_that_cannot_be_rendered_is_left_out() -> None:
    made = label(
        "small",
        instance_properties={"fixed": 7},
        dynamic_instance_properties={
            "tenant": "{request.tenant_name}",
            "pipeline": "{request.requestor_data.pipeline}",
            "job": "{request.requestor_data[job_name]}",
            "junk": "{nobody.knows}",
        },
    )
    asked = NodeRequest(
        id=RequestId("100-1"), state=RequestState.REQUESTED, state_time=0, requestor_data={"job_name": "unit"}
    )
    assert rendered(made, asked) == {"fixed": "7", "tenant": "None", "job": "unit"}


def test_nodes_are_listed_in_the_order_of_their_labels() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", "b", "c"))))
    job = shop.ask("c", "small", "b", "small", seconds=100)
    shop.run(30)
    assert job.served
    kinds = [node.label for name in job.nodes for node in shop.nodes() if node.id == name]
    assert kinds == ["c", "small", "b", "small"]


def test_all_nodes_of_a_set_are_in_one_zone_that_the_pool_names() -> None:
    main = pool("main", "small", availability_zones=("az2", "az3"))
    shop = Shop(settings(provider("north", main)), zones=["az1", "az2", "az3"])
    jobs = [shop.ask("small", "small", seconds=60) for _ in range(4)]
    shop.run(20)
    assert all(job.served for job in jobs)
    zones = [{node.az for node in shop.nodes() if node.id in job.nodes} for job in jobs]
    assert all(len(zone) == 1 for zone in zones)
    assert set.union(*zones) == {"az2", "az3"}  # type: ignore[type-var]


def test_after_a_zone_went_away_one_request_fails_at_most_and_the_next_one_is_served_elsewhere() -> None:
    shop = Shop(settings(provider("north", launch_retries=1)), zones=["old"])
    shop.change("north", zones=["new"])
    shop.ask("small")
    shop.run(40)
    job = shop.ask("small", seconds=100)
    shop.run(40)
    assert job.served
    assert {node.az for node in shop.nodes() if node.id in job.nodes} == {"new"}


@pytest.mark.parametrize("retries", [1, 3])
def test_a_request_fails_after_so_many_attempts_with_everybody_named_who_declined(retries: int) -> None:
    shop = Shop(settings(provider("north", launch_retries=retries)), faults=[failing("error")])
    job = shop.ask("small")
    shop.run(120)
    assert job.failed
    assert shop.created() == retries
    assert not shop.nodes()
    shop.run(60)
    assert not shop.servers()


def test_refusals_count_as_attempts_too() -> None:
    shop = Shop(settings(provider("north", launch_retries=3)), faults=[failing("refused", status=400, times=3)])
    job = shop.ask("small")
    shop.run(60)
    assert job.failed
    assert shop.created() == 0
    assert shop.place.regions["north"].gate.calls[CREATE] == 3  # type: ignore[index]


def test_a_server_that_never_boots_uses_up_its_time_and_its_attempts() -> None:
    shop = Shop(settings(provider("north", launch_retries=2, launch_timeout=20)), faults=[failing("stuck")])
    job = shop.ask("small")
    shop.run(35)
    assert not job.failed
    shop.run(60)
    assert job.failed
    assert shop.created() == 2
    shop.run(60)
    assert not shop.servers()


def test_servers_in_error_are_deleted_before_the_request_is_served_at_last() -> None:
    shop = Shop(settings(provider("north", launch_retries=3)), faults=[failing("error", times=2)])
    job = shop.ask("small", seconds=100)
    shop.run(60)
    assert job.served
    assert len(shop.servers()) == 1
    assert shop.created() == 3
    shop.assert_at_rest()


def test_servers_in_error_use_quota_until_they_are_gone() -> None:
    delete = {"call": "server.delete", "fate": "refused", "status": 500, "times": 4}
    north = provider("north", pool("main", "small", limits={"instances": 10}), launch_retries=2)
    shop = Shop(settings(north), faults=[failing("error", times=1), delete], quota={"instances": 2})
    job = shop.ask("small", "small", seconds=10)
    shop.run(120)
    assert job.served
    assert not job.trouble
    shop.run(60)
    shop.assert_at_rest()


def test_a_failed_delete_between_attempts_does_not_stop_the_launch() -> None:
    faults = [failing("error", times=1), {"call": "server.delete", "fate": "refused", "status": 500, "times": 3}]
    shop = Shop(settings(provider("north", launch_retries=2)), faults=faults)
    job = shop.ask("small", seconds=1000)
    shop.run(60)
    assert job.served
    shop.run(60)
    assert len(shop.servers()) == 1
    shop.assert_at_rest()


def test_where_one_provider_fails_another_serves() -> None:
    place = settings(provider("north", pool("main", "small", priority=1), launch_retries=1), provider("south"))
    shop = Shop(place)
    shop.change("north", faults=[failing("error")])
    job = shop.ask("small", seconds=60)
    shop.run(60)
    assert job.served
    assert {node.provider for node in shop.nodes() if node.id in job.nodes} == {"south"}


def test_a_fault_in_one_provider_fails_only_what_has_nowhere_else_to_go() -> None:
    north = provider("north", pool("main", label("broken", flavor_name="no-such")))
    shop = Shop(settings(north, provider("south")))
    broken, fine = shop.ask("broken"), shop.ask("small")
    shop.run(30)
    assert broken.failed
    assert fine.served


def test_a_disabled_provider_fails_requests() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 0}))))
    job = shop.ask("small")
    shop.run(20)
    assert job.failed


def test_a_pool_lists_the_labels_that_it_serves_and_may_have_none() -> None:
    place = settings(provider("north", pool("main", "a"), pool("empty")), provider("south", pool("main", "b")))
    shop = Shop(place)
    jobs = {name: shop.ask(name, seconds=100) for name in ("a", "b")}
    shop.run(20)
    where = {job.labels[0]: node.provider for job in jobs.values() for node in shop.nodes() if node.id in job.nodes}
    assert where == {"a": "north", "b": "south"}
    assert shop.pools()["north/empty"].supported_labels == frozenset()


def test_two_pools_of_a_provider_have_their_own_zones_and_labels() -> None:
    north = provider(
        "north",
        pool("left", "a", availability_zones=("az1",)),
        pool("right", "b", availability_zones=("az2",)),
    )
    shop = Shop(settings(north), zones=["az1", "az2"])
    for name in ("a", "b"):
        shop.ask(name, seconds=100)
    shop.run(20)
    assert {(node.label, node.pool, node.az) for node in shop.nodes()} == {("a", "left", "az1"), ("b", "right", "az2")}


@pytest.mark.parametrize(("kind", "port"), [("ssh", 22), ("network_cli", 22), ("winrm", 5986), ("winrm", 1986)])
def test_a_cloud_image_says_how_its_nodes_are_reached(kind: str, port: int) -> None:
    image = CloudImage(name="win", connection_type=kind, connection_port=port)
    shop = Shop(settings(provider("north", pool("main", label("w", cloud_image="win")), cloud_images={"win": image})))
    job = shop.ask("w", seconds=100)
    shop.run(20)
    assert job.served
    (node,) = shop.nodes()
    assert (node.connection_type, node.connection_port) == (kind, port)
    assert (node.username, node.python_path) == (None, "auto")


def test_without_host_key_checking_nodes_have_no_keys() -> None:
    shop = Shop(settings(provider("north", pool("main", label("small", host_key_checking=False)))))
    job = shop.ask("small", seconds=100)
    shop.run(20)
    assert job.served
    assert [node.host_keys for node in shop.nodes()] == [()]


def test_records_that_lack_type_or_pool_are_no_trouble(scene: Scene) -> None:
    scene.node(1, NodeState.READY, labels=(), resources=None)
    scene.node(2, NodeState.HOLD, pool=None)
    scene.node(3, NodeState.READY, provider=None, pool=None, labels=())
    scene.request(1, "small")
    assert scene.one(Claim)


def test_the_preferred_provider_of_a_request_serves_it() -> None:
    shop = Shop(settings(provider("north"), provider("south")))
    jobs = [shop.ask("small", seconds=100, provider="south") for _ in range(3)]
    shop.run(20)
    assert all(job.served for job in jobs)
    assert {node.provider for node in shop.nodes()} == {"south"}


@pytest.mark.parametrize("wanted", ["nobody", "west"])
def test_a_preferred_provider_that_is_not_there_or_lacks_the_label_is_ignored(wanted: str) -> None:
    shop = Shop(settings(provider("north"), provider("west", pool("main", "else"))))
    job = shop.ask("small", provider=wanted)
    shop.run(20)
    assert job.served


def test_the_preferred_pool_fills_first_and_the_other_takes_what_it_has_no_room_for() -> None:
    place = settings(
        provider("north", pool("main", "small", priority=2, limits={"instances": 10})),
        provider("south", pool("main", "small", priority=1, limits={"instances": 2})),
    )
    shop = Shop(place)
    jobs = [shop.ask("small", seconds=100) for _ in range(4)]
    shop.run(20)
    assert all(job.served for job in jobs)
    assert sorted(str(node.provider) for node in shop.nodes()) == ["north", "north", "south", "south"]


def test_the_lowest_relative_priority_is_served_first() -> None:
    shop = Shop(settings(provider("north", pool("main", "small", limits={"instances": 1}))))
    shop.ask("small", seconds=20)
    shop.run(8)
    late, early = shop.ask("small", relative_priority=2), shop.ask("small", relative_priority=1)
    shop.run(120)
    assert (early.served or 0) < (late.served or 0)


def test_a_held_node_stays_and_counts_and_goes_when_its_time_is_over() -> None:
    place = settings(
        provider("north", pool("main", "small", limits={"instances": 1})),
        labels={"small": {"min_ready": 1}},
        max_hold_age=60,
    )
    shop = Shop(place)
    (node,) = shop.nodes(NodeState.READY)
    shop.rewrite(replace(node, state=NodeState.HOLD, state_time=shop.place.timeline.now()))
    waiting = shop.ask("small", seconds=5)
    shop.run(50)
    assert not waiting.served
    assert [one.id for one in shop.nodes()] == [node.id]
    shop.run(60)
    assert waiting.served


def test_a_booting_node_is_passed_over_until_there_is_news_of_it() -> None:
    shop = Shop(settings(), boot=60)
    shop.ask("small", "small")
    shop.run(10)
    one, two = (node.id for node in shop.nodes())
    world = shop.launcher.reconciler.world
    assert world.resting.nodes.keys() == {one, two}
    entry = world.picture.nodes[one]
    world.changed(NodeChange(one, entry, entry))
    assert world.resting.nodes.keys() == {two}
    scan = ScanHostKeys(node=two, address="", port=22, ssh=True, deadline=0.0, why=Reason(code=Code.DUE))
    world.came(scan, Lost("no answer"))
    assert not world.resting.nodes
