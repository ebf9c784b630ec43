"""Nodes cut into slots: shared, kept, let go, and lost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from nodepool_ng.model.backing import cut_of, written
from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import Provider
from nodepool_ng.sim.virtual.machines import Machine
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Create, Delete
from tests.acceptance.shop import Shop, host, label, pool, provider, settings, slicer, yard


def north(**changes: Any) -> Provider:
    attributes = changes.pop("node_attributes", {"row": 1, "place": "north"})
    return provider("north", pool("main", label("large"), node_attributes=attributes, **changes))


def shop(**changes: Any) -> Shop:
    return Shop(settings(north(), slicer(**changes)))


def backing(here: Shop) -> list[Node]:
    """Return the nodes that are cut."""
    return sorted((node for node in here.nodes("in-use") if node.provider == "north"), key=lambda node: node.id)


def slots(here: Shop) -> list[Node]:
    return sorted((node for node in here.nodes() if node.provider == "slicer"), key=lambda node: node.id)


def place(node: Node) -> tuple[str, int]:
    assert isinstance(node.driver_data, dict)
    return str(node.driver_data["backing_node"]), int(str(node.driver_data["slot"]))


def test_two_jobs_share_a_node_and_a_third_gets_another_one() -> None:
    here = shop()
    first, second, third = (here.ask("slice", seconds=60) for _ in range(3))
    here.run(20)
    one, two = backing(here)
    assert [job.ended for job in (first, second, third)] == [None] * 3
    assert sorted(place(node) for node in slots(here)) == [(one.id, 0), (one.id, 1), (two.id, 0)]
    assert here.created() == 2


def test_a_slot_is_reached_as_its_backing_node_is_and_its_own_attributes_win() -> None:
    here = Shop(settings(north(), slicer(node_attributes={"place": "board"})))
    job = here.ask("slice", seconds=60)
    here.run(20)
    (base,), (node,) = backing(here), slots(here)
    assert job.nodes == (node.id,)
    assert (node.state, node.allocated_to, node.external_id, node.slot) == (NodeState.IN_USE, job.request, node.id, 0)
    same = ("interface_ip", "public_ipv4", "private_ipv4", "public_ipv6", "az", "region", "cloud", "host_keys")
    same += ("username", "python_path", "shell_type", "connection_type", "connection_port")
    for name in same:
        assert getattr(node, name) == getattr(base, name), name
    assert node.interface_ip
    assert node.attributes == {"row": 1, "place": "board"}
    assert node.resources == Resources({"instances": 1})
    marks = {"nodepool_node_id": node.id, "nodepool_pool_name": "board", "nodepool_provider_name": "slicer"}
    assert node.driver_data == {"metadata": marks, "backing_node": base.id, "slot": 0, "node": node.id}
    told = json.loads(str(base.user_data))
    assert isinstance(told.pop("launched"), float)
    assert told == {"owner": "NodePool:metastatic:slicer", "label": "slice", "slots": 2, "failed": False}


def test_a_slot_is_used_again_and_the_backing_node_goes_when_nobody_wants_it() -> None:
    here = shop(grace_time=30)
    first = here.ask("slice", seconds=20)
    here.run(15)
    (base,) = backing(here)
    second = here.ask("slice", seconds=40)
    here.run(15)
    assert first.ended is not None
    third = here.ask("slice", seconds=10)
    here.run(1)
    assert here.created() == 1
    assert [place(node) for node in slots(here)] == [(base.id, 1), (base.id, 0)]
    here.run(45)
    assert second.ended
    assert third.ended
    assert backing(here) == [base]
    here.run(30)
    assert here.nodes() == []
    assert here.servers() == []
    here.assert_at_rest()


def test_the_lock_of_a_backing_node_outlives_its_launcher_and_says_whose_it_is() -> None:
    here = shop()
    here.ask("slice", seconds=200)
    here.run(15)
    (base,) = backing(here)
    (contender,) = here.place.tree.contenders(paths.node_lock(base.id))
    znode = here.place.tree.look(f"{paths.node_lock(base.id)}/{contender}")
    assert znode is not None
    assert (znode.data, znode.owner) == (b"NodePool:metastatic:slicer", 0)


def test_after_a_restart_everything_is_as_it_was() -> None:
    here = shop(grace_time=30)
    job = here.ask("slice", seconds=60)
    here.run(15)
    (base,) = backing(here)
    here.place.launchers[0].kill()
    here.place.launcher("host-1")
    here.run(30)
    assert backing(here) == [base]
    other = here.ask("slice", seconds=10)
    here.run(2)
    assert [place(node) for node in slots(here)] == [(base.id, 0), (base.id, 1)]
    here.run(90)
    assert job.ended
    assert other.ended
    assert (here.nodes(), here.created()) == ([], 1)
    here.assert_at_rest()


def test_a_launcher_that_dies_while_it_waits_for_a_backing_node_is_succeeded() -> None:
    here = shop()
    job = here.ask("slice", seconds=10)
    here.run(3)
    here.place.launchers[0].kill()
    here.place.launcher("host-1")
    here.run(60)
    assert job.ended is not None
    assert not job.trouble
    here.run(120)
    assert (slots(here), backing(here)) == ([], [])
    assert [node.state for node in here.nodes()] in ([], [NodeState.READY])
    here.assert_at_rest()


def test_a_backing_node_of_a_label_that_is_not_configured_any_more_goes_when_it_is_empty() -> None:
    here = Shop(settings(north(), slicer("slice", "crumb", grace_time=1000)))
    job = here.ask("slice", seconds=30)
    here.run(15)
    here.reconfigure(settings(north(), slicer("crumb", grace_time=1000)))
    here.run(10)
    assert len(backing(here)) == 1
    here.run(20)
    assert job.ended
    assert here.nodes() == []


def test_a_provider_that_is_removed_lets_go_of_its_backing_nodes() -> None:
    here = shop(grace_time=1000)
    here.ask("slice", seconds=20)
    here.run(40)
    assert len(backing(here)) == 1
    here.reconfigure(settings(north()))
    here.run(20)
    assert here.nodes() == []


def test_a_slot_without_host_keys_retires_its_backing_node_but_not_the_jobs_on_it() -> None:
    here = shop(host_key_checking=True, launch_retries=3)
    first = here.ask("slice", seconds=150)
    here.run(20)
    (base,) = backing(here)
    assert base.interface_ip
    here.machines[base.interface_ip] = Machine(down=True)
    second = here.ask("slice", seconds=10)
    here.run(90)
    kept, fresh = backing(here)
    assert (kept.id, getattr(cut_of(kept), "failed", None)) == (base.id, True)
    assert second.ended is not None
    assert not second.trouble
    assert first.ended is None
    here.run(60)
    assert first.ended is not None
    assert not first.trouble
    assert base.id not in [node.id for node in here.nodes()]
    assert fresh.id != base.id


def test_a_backing_node_is_kept_for_its_least_age() -> None:
    here = shop(grace_time=1, min_retention_time=100)
    here.ask("slice", seconds=5)
    here.run(60)
    assert len(backing(here)) == 1
    here.run(60)
    assert here.nodes() == []


def test_a_backing_node_beyond_its_age_gets_no_new_jobs_and_goes_when_it_is_empty() -> None:
    here = shop(grace_time=1000, max_age=30)
    first = here.ask("slice", seconds=60)
    here.run(45)
    (old,) = backing(here)
    here.ask("slice", seconds=60)
    here.run(10)
    assert sorted({place(node)[0] for node in slots(here)}) == sorted(node.id for node in backing(here))
    assert len(backing(here)) == 2
    here.run(15)
    assert first.ended
    assert old.id not in [node.id for node in here.nodes()]


def test_what_is_left_of_a_backing_node_that_was_lost_is_cleaned_away() -> None:
    here = Shop(settings(north(), slicer(), labels={"slice": {"min_ready": 1}}))
    here.run(20)
    (base,) = backing(here)
    (spare,) = slots(here)
    assert spare.state is NodeState.READY
    here.rewrite(replace(base, state=NodeState.DELETING))
    here.run(30)
    (again,) = backing(here)
    (node,) = slots(here)
    assert again.id != base.id
    assert (node.state, place(node)) == (NodeState.READY, (again.id, 0))
    assert len(here.servers()) == 1
    here.assert_at_rest()


def test_where_no_backing_node_can_be_had_the_request_fails_with_the_reason() -> None:
    here = Shop(settings(north(limits={"instances": 0}), slicer(launch_retries=2)))
    job = here.ask("slice")
    here.run(60)
    assert job.failed
    here.run(10)
    assert here.requests() == []
    assert here.nodes() == []
    here.assert_at_rest()


def test_a_request_that_is_taken_back_takes_its_backing_request_along() -> None:
    here = Shop(settings(north(), slicer()), boot=60)
    job = here.ask("slice")
    here.run(5)
    assert [request.labels for request in here.requests() if request.requestor == "NodePool:metastatic:slicer"]
    here.client.withdraw(job)
    here.run(120)
    assert here.requests() == []
    assert [node.state for node in here.nodes()] in ([], [NodeState.READY])
    here.assert_at_rest()


def test_slots_are_limited_by_the_pool_and_jobs_wait_for_them() -> None:
    here = Shop(settings(north(), slicer(limits=Resources({"instances": 2}))))
    jobs = [here.ask("slice", seconds=20) for _ in range(4)]
    here.run(25)
    assert (len(slots(here)), here.created()) == (2, 1)
    here.run(60)
    assert all(job.ended for job in jobs)


def test_a_label_may_share_the_nodes_of_a_static_provider_too() -> None:
    here = Shop(settings(yard(host("h1", "large")), slicer(grace_time=5)), machines={"h1": Machine()})
    jobs = [here.ask("slice", seconds=20) for _ in range(2)]
    here.run(10)
    assert [node.interface_ip for node in slots(here)] == ["h1", "h1"]
    here.run(40)
    assert all(job.ended for job in jobs)
    (again,) = here.nodes()
    assert (again.state, again.hostname) == (NodeState.READY, "h1")


def test_what_nodepool_11_left_behind_is_gone_on_with() -> None:
    """It does not name its lasting locks as we do, and its requests end with its session."""
    here = shop(grace_time=20)
    job = here.ask("slice", seconds=60)
    here.run(15)
    (base,) = backing(here)
    (contender,) = here.place.tree.contenders(paths.node_lock(base.id))
    here.place.tree.commit(
        (
            Delete(f"{paths.node_lock(base.id)}/{contender}"),
            Create(f"{paths.node_lock(base.id)}/{'ab' * 16}__lock__", b"NodePool:metastatic:slicer", sequence=True),
        ),
        here.place.client.session_id,
    )
    cut = cut_of(base)
    assert cut is not None
    here.rewrite(replace(base, user_data=written(cut)))
    other = here.ask("slice", seconds=10)
    here.run(5)
    assert [place(node) for node in slots(here)] == [(base.id, 0), (base.id, 1)]
    here.run(90)
    assert job.ended
    assert other.ended
    assert here.nodes() == []
    here.assert_at_rest()


def test_while_a_launcher_of_nodepool_11_has_the_provider_its_backing_nodes_are_left_to_it() -> None:
    here = shop(grace_time=5)
    job = here.ask("slice", seconds=20)
    here.run(15)
    (base,) = backing(here)
    (contender,) = here.place.tree.contenders(paths.node_lock(base.id))
    theirs = Component(
        key="",
        kind=POOL,
        hostname="np11",
        state="running",
        id="np11-PoolWorker.slicer-board-1",  # type: ignore[arg-type]
        name="board",  # type: ignore[arg-type]
        provider_name="slicer",  # type: ignore[arg-type]
        supported_labels=frozenset(),
    )
    lock = paths.node_lock(base.id)
    here.place.tree.commit(
        (
            Delete(f"{lock}/{contender}"),
            Create(f"{lock}/{'ab' * 16}__lock__", b"NodePool:metastatic:slicer", sequence=True),
            Create(paths.new_component(POOL, "np11"), codec.encode_component(theirs), ephemeral=True, sequence=True),
        ),
        here.place.client.session_id,
    )
    other = here.ask("slice", seconds=10)
    here.run(60)
    assert job.ended
    assert other.ended
    assert [node.id for node in backing(here)] == [base.id]
    assert here.created() == 2


def test_a_backing_node_that_an_operator_holds_is_given_up() -> None:
    here = shop()
    here.ask("slice", seconds=20)
    here.run(15)
    (base,) = backing(here)
    here.rewrite(replace(base, state=NodeState.HOLD))
    other = here.ask("slice", seconds=10)
    here.run(60)
    assert other.ended
    assert here.created() == 2
    assert here.place.tree.contenders(paths.node_lock(base.id)) == ()
    assert base.id in [node.id for node in here.nodes("hold")]


def test_a_frozen_provider_cuts_no_more_nodes() -> None:
    here = shop()
    order = codec.encode_freeze(Freeze(creates=True, deletes=True))
    here.place.create(paths.FREEZES)
    here.place.tree.commit((Create(paths.freeze("slicer"), order),), here.place.client.session_id)
    here.run(1)
    job = here.ask("slice")
    here.run(30)
    assert job.served is None
    assert here.created() == 0
    here.place.tree.commit((Delete(paths.freeze("slicer")),), here.place.client.session_id)
    here.run(60)
    assert job.ended
