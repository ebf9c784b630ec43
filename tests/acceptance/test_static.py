"""Machines that are there already: a node for every slot, given out, and written anew after use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.quota import Resources
from nodepool_ng.sim.virtual.machines import Machine
from tests.acceptance.shop import Shop, host, provider, settings, yard

KEY, OTHER_KEY = "ssh-ed25519 AAAA", "ssh-rsa BBBB"


def shop(*hosts, machines=None, **changes) -> Shop:
    """Open a shop with one static provider; its machines are up unless said otherwise."""
    named = {one.name: Machine() for one in hosts}
    return Shop(settings(yard(*hosts, **changes)), machines={**named, **(machines or {})})


def one(here: Shop, *states: NodeState | str) -> Node:
    (node,) = here.nodes(*states)
    return node


def slots(here: Shop) -> list[tuple[str | None, int | None]]:
    return sorted((node.hostname, node.slot) for node in here.nodes("ready"))


def test_a_machine_becomes_a_ready_node_with_everything_a_client_relies_on() -> None:
    here = shop(host("h1"), node_attributes={"row": 1})
    node = one(here)
    assert (node.state, node.allocated_to, node.launcher) == (NodeState.READY, None, "static driver")
    assert (node.provider, node.pool, node.labels, node.slot) == ("yard", "bench", ("bare",), 0)
    assert (node.external_id, node.hostname, node.interface_ip) == ("h1", "h1", "h1")
    assert (node.public_ipv4, node.public_ipv6) == ("192.0.2.10", "")
    assert (node.username, node.connection_type, node.connection_port) == ("zuul", "ssh", 22)
    assert (node.python_path, node.shell_type, node.host_keys) == ("auto", None, (KEY,))
    assert (node.resources, node.attributes) == (None, {"row": 1})
    assert (node.cloud, node.region, node.az, node.attempt) == (None, None, None, None)
    here.assert_at_rest()


def test_an_address_of_the_sixth_version_is_told_as_such() -> None:
    node = one(shop(host("h1"), machines={"h1": Machine(addresses=("2001:db8::1", "192.0.2.1"))}))
    assert (node.public_ipv4, node.public_ipv6) == ("", "2001:db8::1")


def test_python_path_shell_and_the_rest_survive_being_used() -> None:
    full = host(
        "h1", username="gardener", connection_port=2222, shell_type="sh", python_path="/usr/bin/python3", timeout=7
    )
    here = shop(full)
    job = here.ask("bare")
    here.run(30)
    assert job.ended is not None
    node = one(here, "ready")
    assert node.id not in job.nodes
    assert (node.username, node.connection_port) == ("gardener", 2222)
    assert (node.python_path, node.shell_type) == ("/usr/bin/python3", "sh")


def test_a_used_node_is_written_anew_at_once_and_with_what_the_machine_shows_then() -> None:
    here = shop(host("h1"))
    first = one(here)
    job = here.ask("bare", seconds=10)
    here.run(1)
    assert job.nodes == (first.id,)
    here.machines["h1"].keys = (OTHER_KEY,)
    here.run(11)
    again = one(here, "ready")
    assert again.id != first.id
    assert again.host_keys == (OTHER_KEY,)
    assert not job.trouble
    here.assert_at_rest()


def test_one_machine_with_two_users_is_two_nodes() -> None:
    here = shop(host("h1", username="zuul"), host("h1", "second", username="other"))
    assert sorted((node.username, node.labels) for node in here.nodes()) == [
        ("other", ("second",)),
        ("zuul", ("bare",)),
    ]


def test_a_machine_that_nobody_can_resolve_is_left_out_until_somebody_can() -> None:
    here = shop(host("h1"), host("nowhere"), machines={"nowhere": Machine(addresses=())})
    assert slots(here) == [("h1", 0)]
    here.machines["nowhere"].addresses = ("192.0.2.3",)
    here.run(60)
    assert slots(here) == [("h1", 0), ("nowhere", 0)]


def test_a_machine_that_is_down_is_left_out_and_comes_back() -> None:
    here = shop(host("h1"), machines={"h1": Machine(down=True)})
    assert here.nodes() == []
    here.machines["h1"].down = False
    here.run(60)
    assert slots(here) == [("h1", 0)]


def test_a_machine_with_other_host_keys_than_configured_is_left_out() -> None:
    good = host("h1", host_keys=(KEY,))
    here = shop(good, host("h2", host_keys=(KEY, OTHER_KEY)), machines={"h1": Machine(keys=(KEY, OTHER_KEY))})
    assert one(here).hostname == "h1"
    assert one(here).host_keys == (KEY, OTHER_KEY)


def test_machines_come_and_go_with_the_configuration() -> None:
    here = Shop(settings(provider("north"), yard(host("h1"))), machines={"h1": Machine(), "h2": Machine()})
    (before,) = here.nodes()
    here.reconfigure(settings(provider("north"), yard(host("h1"), host("h2"))))
    here.run(5)
    assert slots(here) == [("h1", 0), ("h2", 0)]
    here.reconfigure(settings(provider("north"), yard(host("h1"))))
    here.run(5)
    assert here.nodes() == [before]
    here.reconfigure(settings(provider("north")))
    here.run(5)
    assert here.nodes() == []


def test_slots_come_and_go_with_the_configuration() -> None:
    here = shop(host("h1", slots=2))
    assert slots(here) == [("h1", 0), ("h1", 1)]
    here.reconfigure(settings(yard(host("h1", slots=4))))
    here.run(5)
    assert slots(here) == [("h1", 0), ("h1", 1), ("h1", 2), ("h1", 3)]
    here.reconfigure(settings(yard(host("h1", slots=1))))
    here.run(5)
    assert slots(here) == [("h1", 0)]


def test_a_machine_taken_away_while_in_use_goes_when_its_job_ends() -> None:
    here = shop(host("h1"), host("h2", "other"))
    job = here.ask("bare", seconds=30)
    here.run(2)
    here.reconfigure(settings(yard(host("h2", "other"))))
    here.run(10)
    assert one(here, "in-use").id in job.nodes
    here.run(30)
    assert job.ended is not None
    assert slots(here) == [("h2", 0)]
    here.assert_at_rest()


CHANGED = host(
    "h1", "other", "third", username="admin", connection_port=5986, connection_type="winrm", shell_type="cmd"
)


def test_labels_user_port_and_type_change_in_place() -> None:
    here = shop(host("h1"))
    (before,) = here.nodes()
    here.reconfigure(settings(yard(CHANGED)))
    here.run(5)
    node = one(here)
    assert node.id == before.id
    assert (node.labels, node.username, node.connection_port) == (("other", "third"), "admin", 5986)
    assert (node.connection_type, node.shell_type, node.host_keys) == ("winrm", "cmd", ())


def test_the_same_at_a_restart() -> None:
    here = shop(host("h1"))
    (before,) = here.nodes()
    here.launcher.kill()
    here.run(15)
    here.place.settings = settings(yard(CHANGED))
    here.place.launcher("again")
    here.run(10)
    node = one(here)
    assert (node.id, node.labels, node.connection_port) == (before.id, ("other", "third"), 5986)


def test_changed_host_keys_are_taken_up_at_a_restart() -> None:
    here = shop(host("h1"))
    (before,) = here.nodes()
    here.launcher.kill()
    here.machines["h1"].keys = (OTHER_KEY,)
    here.run(15)
    here.place.launcher("again")
    here.run(10)
    assert (one(here).id, one(here).host_keys) == (before.id, (OTHER_KEY,))


def test_a_node_with_several_labels_serves_each_and_is_gone_for_all() -> None:
    here = shop(host("h1", "oak", "elm"))
    first = here.ask("elm", seconds=30)
    here.run(1)
    second = here.ask("oak", seconds=5)
    here.run(20)
    assert first.served is not None
    assert second.served is None
    assert [request.declined_by for request in here.requests()] == [()]
    here.run(30)
    assert second.served is not None


def test_who_waits_for_a_machine_waits_open_and_undeclined_while_others_are_served() -> None:
    here = shop(host("h1", "oak"), host("h2", "elm"))
    here.ask("oak", seconds=900)
    waiting, other = here.ask("oak", seconds=5), here.ask("elm", seconds=5)
    here.run(10)
    assert other.served is not None
    assert here.pools()["yard/bench"].paused
    here.run(500)
    (request,) = here.requests()
    assert (request.state, request.declined_by, request.id) == ("requested", (), waiting.request)
    here.run(500)
    assert waiting.served is not None


def test_waiting_requests_are_served_by_priority_and_then_by_age() -> None:
    here = shop(host("h1"))
    jobs = [here.ask("bare", seconds=5, relative_priority=rank) for rank in (0, 2, 1, 1)]
    here.run(60)
    order = sorted(jobs, key=lambda job: job.served or 0)
    assert [jobs.index(job) for job in order] == [0, 2, 3, 1]


def test_two_labels_in_one_request_are_two_machines() -> None:
    here = shop(host("h1", "oak"), host("h2", "elm"), host("h3", "oak", "elm"))
    job = here.ask("oak", "elm", "oak")
    here.run(5)
    assert job.served is not None
    assert len(set(job.nodes)) == 3


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    here = shop(host("h1"), host("h2"))
    small = [here.ask("bare", seconds=seconds) for seconds in (10, 20)]
    here.run(1)
    large = here.ask("bare", "bare", seconds=5)
    behind = here.ask("bare", seconds=5)
    here.run(25)
    assert all(job.ended is not None for job in small)
    assert large.served is not None
    here.run(20)
    assert behind.served is not None
    assert behind.served > large.served


def test_more_than_the_pool_has_machines_for_fails_and_so_does_an_unknown_label() -> None:
    here = shop(host("h1", slots=2))
    jobs = [here.ask("bare", "bare", "bare"), here.ask("unknown")]
    here.run(20)
    assert all(job.failed for job in jobs)
    assert len(here.nodes("ready")) == 2


@pytest.mark.parametrize("off", ["pool", "provider"])
def test_a_pool_that_is_disabled_declines(off: str) -> None:
    limits = {"limits": Resources({"instances": 0})} if off == "pool" else {}
    disabled = yard(host("h1"), **limits)
    here = Shop(settings(disabled if limits else replace(disabled, max_concurrency=0)), machines={"h1": Machine()})
    job = here.ask("bare")
    here.run(20)
    assert job.failed


def test_beside_a_cloud_each_serves_its_own_labels() -> None:
    configured = settings(provider("north"), yard(host("h1")))
    here = Shop(configured, machines={"h1": Machine()})
    jobs = [here.ask("small"), here.ask("bare"), here.ask("small", "bare")]
    here.run(30)
    assert [job.failed for job in jobs] == [False, False, True]
    assert all(job.ended is not None for job in jobs[:2])
    here.assert_at_rest()


def test_a_preferred_machine_that_is_taken_does_not_keep_requests_from_a_cloud() -> None:
    both = settings(provider("north"), yard(host("h1", "small"), priority=1))
    here = Shop(both, machines={"h1": Machine()})
    first, second = here.ask("small", seconds=60), here.ask("small", seconds=5)
    here.run(2)
    assert first.served is not None
    here.run(20)
    assert second.served is not None
    assert len(here.nodes("in-use", "ready")) >= 1


def test_min_ready_of_a_static_label_launches_nothing_and_harms_nobody() -> None:
    here = Shop(settings(yard(host("h1")), labels={"bare": {"min_ready": 3}}), machines={"h1": Machine()})
    here.run(60)
    assert len(here.nodes()) == 1
    job = here.ask("bare")
    here.run(30)
    assert job.ended is not None


def test_a_node_whose_machine_does_not_answer_is_not_given_out() -> None:
    here = shop(host("h1"))
    (before,) = here.nodes()
    here.machines["h1"].down = True
    job = here.ask("bare")
    here.run(20)
    assert job.served is None
    assert here.nodes() == []
    here.machines["h1"].down = False
    here.run(60)
    assert job.served is not None
    assert before.id not in job.nodes
    assert not job.trouble


def test_a_silent_machine_leaves_the_request_to_the_next_one() -> None:
    here = shop(host("h1"), host("h2"))
    (first, second) = sorted(here.nodes(), key=lambda node: node.hostname or "")
    here.machines["h1"].down = True
    here.machines["h2"].down = False
    job = here.ask("bare")
    here.run(12)
    assert job.nodes == (second.id,)
    assert first.id not in {node.id for node in here.nodes("ready")} or here.machines["h1"].connections == 0


def test_a_silent_machine_is_in_nobody_elses_way() -> None:
    here = shop(host("h1", "oak"), host("h2", "elm"))
    here.machines["h1"].down = True
    stuck, other = here.ask("oak"), here.ask("elm")
    here.run(2)
    assert other.served is not None
    assert stuck.served is None


def test_without_host_key_checking_nothing_is_ever_connected_to() -> None:
    free = host("h1", host_key_checking=False, host_keys=("ssh-rsa CONFIGURED",))
    here = shop(free, machines={"h1": Machine(down=True)})
    assert one(here).host_keys == ("ssh-rsa CONFIGURED",)
    job = here.ask("bare", seconds=5)
    here.run(30)
    assert job.ended is not None
    assert (here.machines["h1"].scans, here.machines["h1"].connections) == (0, 0)
    here.reconfigure(settings(yard(replace(free, host_key_checking=True, host_keys=()))))
    here.machines["h1"].down = False
    here.run(5)
    assert here.machines["h1"].scans == 1
    assert one(here).host_keys == (KEY,)


@pytest.mark.parametrize("state", ["in-use", "hold"])
def test_a_node_that_is_somebodys_is_never_touched(state: str) -> None:
    here = shop(host("h1"))
    node = replace(one(here), allocated_to="200-0000000009", state=NodeState(state))
    if state == "hold":
        here.rewrite(node)
    else:
        here.ask("bare", seconds=500)
        here.run(1)
        node = one(here)
    here.reconfigure(settings(yard(replace(CHANGED, labels=("bare",)))))
    here.run(120)
    kept = [each for each in here.nodes() if each.id == node.id]
    assert kept == [node]


def test_a_held_node_keeps_its_slot() -> None:
    here = shop(host("h1"))
    here.rewrite(replace(one(here), state=NodeState.HOLD, state_time=here.place.timeline.now()))
    here.run(200)
    assert [node.state for node in here.nodes()] == [NodeState.HOLD]


def test_a_record_that_was_lost_is_written_again() -> None:
    here = shop(host("h1"))
    gone = one(here)
    here.erase(gone)
    here.run(5)
    assert slots(here) == [("h1", 0)]
    assert one(here).id != gone.id


def test_a_node_without_a_slot_gets_one_and_too_many_go() -> None:
    here = shop(host("h1"))
    here.rewrite(replace(one(here), slot=None))
    here.run(5)
    assert slots(here) == [("h1", 0)]


def test_a_standby_takes_over_and_writes_nothing_twice() -> None:
    here = Shop(settings(yard(host("h1", slots=3))), launchers=2, machines={"h1": Machine()})
    assert len(here.nodes()) == 3
    here.place.launchers[0].kill()
    job = here.ask("bare", seconds=5)
    here.run(60)
    assert job.ended is not None
    assert slots(here) == [("h1", 0), ("h1", 1), ("h1", 2)]
    here.assert_at_rest()
