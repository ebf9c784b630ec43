"""What servers of the cloud model do, as conversations with it."""

from __future__ import annotations

import math

import pytest

from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import ServerAsk, Status

ASK = ServerAsk(name="n1", flavor="small", metadata={"k": "v"})


def names(servers):
    return [server.name for server in servers]


def test_a_server_boots_serves_and_goes(make, me):
    region = make(boot=5, delete=2)
    server = region.servers.create(me, ASK, now=100.0)
    assert server.status(104.9) is Status.BUILD
    assert server.task(104.9) == "spawning"
    assert server.status(105.0) is Status.ACTIVE
    assert server.task(105.0) is None
    assert [address.network for address in server.addresses] == ["public"]

    region.servers.delete(me, server.id, now=110.0)
    leaving = region.servers.get(me, server.id, now=111.9)
    assert leaving.status(111.9) is Status.ACTIVE
    assert leaving.task(111.9) == "deleting"
    with pytest.raises(Refused) as refused:
        region.servers.get(me, server.id, now=112.0)
    assert refused.value.status == 404
    assert region.servers.list(me, now=112.0) == ()

    past = region.servers.rows[server.id]
    assert (past.created, past.active_at(), past.delete_asked, past.gone) == (100.0, 105.0, 110.0, 112.0)


def test_a_server_that_is_deleted_while_booting_never_becomes_active(make, me):
    region = make(boot=5, delete=10)
    server = region.servers.create(me, ASK, now=0.0)
    region.servers.delete(me, server.id, now=1.0)
    leaving = region.servers.get(me, server.id, now=6.0)
    assert leaving.status(6.0) is Status.BUILD
    assert leaving.active_at() is None


def test_deleting_twice_does_not_take_longer(make, me):
    region = make(delete=2)
    server = region.servers.create(me, ASK, now=0.0)
    region.servers.delete(me, server.id, now=10.0)
    region.servers.delete(me, server.id, now=11.0)
    assert region.servers.rows[server.id].gone == 12.0


def test_nobody_sees_the_servers_of_another_project(make, me, other):
    region = make()
    server = region.servers.create(other, ASK, now=0.0)
    assert region.servers.list(me, now=1.0) == ()
    for verb in (region.servers.get, region.servers.delete, region.servers.console):
        with pytest.raises(Refused, match="could not be found"):
            verb(me, server.id, now=1.0)


def test_the_list_is_newest_first(make, me):
    region = make()
    for now, name in enumerate(("a", "b", "c")):
        region.servers.create(me, ServerAsk(name=name, flavor="small"), now=float(now))
    assert names(region.servers.list(me, now=5.0)) == ["c", "b", "a"]


def test_a_list_of_changes_has_what_changed_and_what_went(make, me):
    region = make(boot=5, delete=1)
    for now, name in ((0.0, "old"), (10.0, "new"), (0.5, "gone")):
        server = region.servers.create(me, ServerAsk(name=name, flavor="small"), now=now)
    region.servers.delete(me, server.id, now=11.0)

    assert names(region.servers.list(me, changed_since=20.0, now=20.0)) == []
    assert names(region.servers.list(me, changed_since=15.0, now=20.0)) == ["new"]
    assert names(region.servers.list(me, changed_since=12.0, now=20.0)) == ["new", "gone"]
    assert names(region.servers.list(me, changed_since=0.0, now=20.0)) == ["new", "old", "gone"]
    assert region.servers.list(me, changed_since=12.0, now=20.0)[-1].status(20.0) is Status.DELETED


def test_changes_are_kept_in_whole_seconds(make, me):
    region = make(boot=0)
    region.servers.create(me, ASK, now=7.9)
    assert names(region.servers.list(me, changed_since=7.0, now=8.0)) == ["n1"]
    assert names(region.servers.list(me, changed_since=7.5, now=8.0)) == []


@pytest.mark.parametrize(
    ("quota", "said"),
    [
        ({"instances": 1}, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"),
        ({"cores": 1}, "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores"),
        (
            {"cores": 1, "ram": 4000},
            "Quota exceeded for cores, ram: Requested 1, 2048, but already used 1, 2048 of 1, 4000 cores, ram",
        ),
        ({"ports": 1}, "Maximum number of ports exceeded"),
    ],
)
def test_quota_is_refused_in_novas_words(make, me, quota, said):
    region = make(quota=quota)
    region.servers.create(me, ASK, now=0.0)
    with pytest.raises(Refused) as refused:
        region.servers.create(me, ASK, now=0.0)
    assert (refused.value.status, refused.value.message) == (403, said)


def test_quota_is_free_again_when_the_server_is_gone_not_before(make, me, other):
    region = make(quota={"instances": 1}, delete=2)
    server = region.servers.create(me, ASK, now=0.0)
    region.servers.create(other, ASK, now=0.0)
    region.servers.delete(me, server.id, now=10.0)
    with pytest.raises(Refused):
        region.servers.create(me, ASK, now=11.9)
    assert region.servers.limits(me, now=11.9).used["instances"] == 1
    region.servers.create(me, ASK, now=12.0)
    assert region.servers.limits(me, now=12.0).used == {"instances": 1, "cores": 1, "ram": 2048}


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (ServerAsk(name="n", flavor="huge"), 400),
        (ServerAsk(name="", flavor="small"), 400),
        (ServerAsk(name="n", flavor="small", image="none"), 400),
        (ServerAsk(name="n", flavor="small", zone="moon"), 400),
        (ServerAsk(name="n", flavor="small", key_name="mine"), 400),
        (ServerAsk(name="n", flavor="small", networks=("none",)), 400),
        (ServerAsk(name="n", flavor="small", ports=("none",)), 400),
        (ServerAsk(name="n", flavor="small", security_groups=("none",)), 400),
        (ServerAsk(name="n", flavor="small", metadata={"k": "v" * 256}), 400),
    ],
)
def test_a_wrong_wish_is_refused_and_leaves_nothing(make, me, ask, status):
    region = make()
    with pytest.raises(Refused) as refused:
        region.servers.create(me, ask, now=0.0)
    assert refused.value.status == status
    assert region.servers.rows == {}
    assert region.fabric.ports == {}


def test_metadata_can_be_added_and_replaced(make, me):
    region = make()
    server = region.servers.create(me, ASK, now=0.0)
    assert region.servers.set_metadata(me, server.id, {"x": "y"}, now=1.0).metadata == {"k": "v", "x": "y"}
    assert region.servers.set_metadata(me, server.id, {"z": "z"}, now=2.0, keep=False).metadata == {"z": "z"}


def test_the_console_speaks_once_the_server_is_up(make, me):
    region = make(boot=5)
    server = region.servers.create(me, ASK, now=0.0)
    with pytest.raises(Refused):
        region.servers.console(me, server.id, now=1.0)
    assert "booted in 5.0 s" in region.servers.console(me, server.id, now=5.0)


def test_a_full_region_says_so_in_the_fault(make, me, other):
    region = make(capacity={"instances": 1}, boot=3)
    region.servers.create(other, ASK, now=0.0)
    server = region.servers.create(me, ASK, now=0.0)
    assert server.status(3.0) is Status.ERROR
    assert server.fault.message.startswith("No valid host was found.")
    assert server.addresses == ()


def test_a_network_without_addresses_left_makes_an_error(make, me):
    region = make(networks=[{"name": "tiny", "cidrs": ["192.0.2.0/30"]}])
    first, second = (region.servers.create(me, ASK, now=0.0) for _ in range(2))
    assert first.outcome is Status.ACTIVE
    assert second.outcome is Status.ERROR
    assert len(region.fabric.ports) == 1


def test_a_boot_volume_lives_with_its_server(make, me):
    region = make(boot=1, delete=1, quota={"gigabytes": 100})
    asked = ServerAsk(name="n", flavor="small", volume_size=80)
    server = region.servers.create(me, asked, now=0.0)
    assert [volume.size for volume in region.volumes.list(me, now=0.0)] == [80]
    refused = region.servers.create(me, asked, now=0.0)
    assert "exceeds allowed gigabytes quota" in refused.fault.message
    region.servers.delete(me, server.id, now=2.0)
    assert region.volumes.limits(me, now=3.0).gigabytes_used == 0


def test_planted_servers_need_no_leave(make, me, other):
    region = make(quota={"instances": 0})
    foreign = region.servers.plant(other, ASK, now=0.0)
    broken = region.servers.plant(me, ASK, now=0.0, error="broken")
    assert foreign.status(0.0) is Status.ACTIVE
    assert broken.status(0.0) is Status.ERROR
    assert region.gate.calls == {}


def test_a_server_can_fail_and_vanish_behind_everybodys_back(make, me):
    region = make()
    server = region.servers.plant(me, ASK, now=0.0)
    assert region.servers.fail(server.id, "the host burns", now=5.0).status(5.0) is Status.ERROR
    region.servers.vanish(server.id, now=6.0)
    assert region.servers.list(me, now=6.0) == ()
    assert region.servers.rows[server.id].gone == 6.0
    assert region.fabric.ports == {}


def test_the_same_seed_is_the_same_cloud(make, me):
    lives = []
    for _ in range(2):
        region = make(boot={"uniform": [1, 9]})
        lives.append([region.servers.create(me, ASK, now=float(now)) for now in range(5)])
    assert lives[0] == lives[1]
    assert all(1 <= server.settles - server.created <= 9 for server in lives[0])


def test_a_stuck_server_boots_until_it_is_deleted(make, me):
    region = make(faults=[{"call": "server.create", "fate": "stuck"}], delete=1)
    server = region.servers.create(me, ASK, now=0.0)
    assert server.status(1e9) is Status.BUILD
    assert server.active_at() is None
    region.servers.delete(me, server.id, now=1e9)
    assert region.servers.rows[server.id].gone == 1e9 + 1


def test_a_stuck_deletion_is_moved_by_asking_again(make, me):
    region = make(faults=[{"call": "server.delete", "fate": "stuck", "times": 1}], delete=1)
    server = region.servers.create(me, ASK, now=0.0)
    region.servers.delete(me, server.id, now=10.0)
    assert region.servers.rows[server.id].gone == math.inf
    assert region.servers.get(me, server.id, now=500.0).task(500.0) == "deleting"
    region.servers.delete(me, server.id, now=600.0)
    assert region.servers.rows[server.id].gone == 601.0
    assert region.servers.rows[server.id].delete_asked == 10.0


def test_an_answer_can_be_lost_although_the_server_is_there(make, me):
    region = make(faults=[{"call": "server.create", "fate": "answer-lost", "status": 502}])
    with pytest.raises(Refused) as refused:
        region.servers.create(me, ASK, now=0.0)
    assert refused.value.status == 502
    assert names(region.servers.list(me, now=0.0)) == ["n1"]


def test_a_create_can_happen_twice(make, me):
    region = make(faults=[{"call": "server.create", "fate": "twice"}])
    server = region.servers.create(me, ASK, now=0.0)
    twin, itself = region.servers.list(me, now=0.0)
    assert itself.id == server.id
    assert (twin.twin_of, twin.metadata) == (server.id, server.metadata)


@pytest.mark.parametrize(
    ("fate", "status", "addresses", "answers"),
    [("error", Status.ERROR, 0, True), ("no-address", Status.ACTIVE, 0, True), ("mute", Status.ACTIVE, 1, False)],
)
def test_a_server_meets_its_fate(make, me, fate, status, addresses, answers):
    region = make(faults=[{"call": "server.create", "fate": fate, "message": "bad luck"}])
    server = region.servers.create(me, ASK, now=0.0)
    assert server.status(60.0) is status
    assert len(server.addresses) == addresses
    assert server.answers_ssh is answers
    assert (server.fault.message if server.fault else None) == ("bad luck" if fate == "error" else None)
