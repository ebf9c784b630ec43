"""Nova as the unmodified openstacksdk sees it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from keystoneauth1.exceptions import ConnectTimeout, Unauthorized
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from openstack import exceptions

# The SDK warns of its own use of what it is about to remove.
pytestmark = [
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.OpenStackDeprecationWarning"),
]

MINE = {"flavorRef": "small", "networks": "auto"}


def wait_for(condition, seconds=5.0):
    """Return what the condition gives, asking again until it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return found


def create(connection, name, **fields):
    response = connection.compute.post("/servers", json={"server": {**MINE, "name": name, **fields}})
    assert response.status_code == 202
    return response.json()["server"]["id"]


def test_it_lets_in_who_knows_the_password(north, sim):
    assert north.authorize()
    north.list_flavors()
    north.list_flavors()
    assert sim.client.logins("acme") == 1
    assert north.current_project.name == "ci"


@pytest.mark.parametrize("wrong", [{"password": "guessed"}, {"username": "nobody"}, {"project_name": "theirs"}])
def test_it_keeps_others_out(sim, wrong):
    right = {"username": "ci", "password": "simulated", "project_name": "ci"}
    domains = {"user_domain_id": "default", "project_domain_id": "default"}
    session = Session(Password(f"{sim.url}/acme/identity/v3", **{**right, **domains, **wrong}))
    with pytest.raises(Unauthorized):
        session.get_token()
    session.session.close()


def test_an_expired_token_is_renewed_by_the_sdk(north, sim):
    north.list_flavors()
    sim.site.clouds["acme"].tokens.clear()
    assert north.list_flavors()
    assert sim.client.logins("acme") == 2


def test_flavors_come_with_their_specs(north, sim):
    sim.client.region("acme", "north").change(
        flavors=[{"name": "gpu", "vcpus": 4, "ram": 1024, "disk": 1, "extra_specs": {"pci": "1"}}]
    )
    (flavor,) = north.list_flavors(get_extra=True)
    assert (flavor.id, flavor.vcpus, flavor.ram, flavor.extra_specs) == ("gpu", 4, 1024, {"pci": "1"})
    assert north.get_flavor("gpu").name == "gpu"
    assert [each["id"] for each in north.compute.get("/flavors/detail").json()["flavors"]] == ["gpu"]


def test_a_server_lives_by_raw_calls(north, sim):
    sim.client.region("acme", "north").change(boot=0.1, delete=0.1)
    server_id = create(north, "n1", metadata={"nodepool_node_id": "7"})

    def seen(status):
        server = north.compute.get(f"/servers/{server_id}").json()["server"]
        return server if server["status"] == status else None

    server = wait_for(lambda: seen("ACTIVE"))
    assert server["metadata"] == {"nodepool_node_id": "7"}
    assert server["flavor"]["id"] == "small"
    assert server["addresses"]["public"][0]["addr"].startswith("10.20.")
    assert north.compute.delete(f"/servers/{server_id}").status_code == 204
    wait_for(lambda: north.compute.get(f"/servers/{server_id}").status_code == 404)


def test_a_server_lives_by_the_sdks_own_calls(north):
    server = north.create_server("n2", image="base", flavor="small", wait=True, meta={"k": "v"}, userdata="#!/bin/sh")
    assert (server.status, server.metadata, server.flavor.name) == ("ACTIVE", {"k": "v"}, "small")
    assert server.interface_ip == server.public_v4 == server.addresses["public"][0]["addr"]
    assert [each.name for each in north.list_servers()] == ["n2"]
    assert "booted" in north.get_server_console("n2")
    north.set_server_metadata("n2", {"x": "y"})
    assert north.get_server("n2").metadata == {"k": "v", "x": "y"}
    assert north.delete_server("n2", wait=True)
    assert north.list_servers() == []


def test_a_server_boots_from_a_volume(north):
    server = north.create_server("n3", image="base", flavor="small", wait=True, boot_from_volume=True, volume_size=40)
    (volume,) = north.list_volumes()
    assert (volume.size, volume.attachments[0]["server_id"]) == (40, server.id)
    assert north.get_volume_limits()["absolute"]["totalGigabytesUsed"] == 40
    assert north.delete_server("n3", wait=True)
    assert north.list_volumes() == []


def test_lists_come_in_pages(north, sim):
    region = sim.client.region("acme", "north")
    region.change(page=10)
    for number in range(25):
        region.plant_server(f"n{number}")
    assert len(list(north.compute.servers())) == 25
    page = north.compute.get("/servers/detail?limit=3").json()
    assert [server["name"] for server in page["servers"]] == ["n24", "n23", "n22"]
    assert "marker=" in page["servers_links"][0]["href"]
    assert north.compute.get("/servers/detail?marker=nowhere").status_code == 400


def test_changes_since_has_the_deleted(north):
    server_id = create(north, "n1")
    before = datetime.now(UTC).isoformat()
    time.sleep(1.1)
    north.compute.delete(f"/servers/{server_id}")
    wait_for(lambda: north.compute.get(f"/servers/{server_id}").status_code == 404)
    (gone,) = north.compute.get("/servers/detail", params={"changes-since": before}).json()["servers"]
    assert (gone["id"], gone["status"]) == (server_id, "DELETED")
    assert north.compute.get("/servers/detail", params={"changes-since": "soon"}).status_code == 400


def test_quota_is_a_403_in_novas_words(north, sim):
    sim.client.region("acme", "north").change(quota={"instances": 1})
    create(north, "n1")
    response = north.compute.post("/servers", json={"server": {**MINE, "name": "n2"}})
    assert response.status_code == 403
    assert response.json()["forbidden"]["message"].startswith("Quota exceeded for instances: Requested 1")
    limits = north.get_compute_limits()
    assert (limits.max_total_instances, limits.total_instances_used, limits.total_ram_used) == (1, 1, 2048)
    with pytest.raises(exceptions.ForbiddenException, match="Quota exceeded"):
        north.create_server("n3", image="base", flavor="small")


def test_too_many_calls_are_a_429_with_retry_after(north, sim):
    north.list_flavors()
    region = sim.client.region("acme", "north")
    region.change(rate_limit={"calls": 1, "seconds": 60})
    answers = [north.compute.get("/limits") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert 0 < int(answers[1].headers["Retry-After"]) <= 60
    assert region.counters().refusals == {"limits.get 429": 1}


def test_an_errored_server_tells_why(north, sim):
    sim.client.region("acme", "north").fault(call="server.create", fate="error", message="the host burns", times=1)
    with pytest.raises(exceptions.SDKException, match="the host burns"):
        north.create_server("n1", image="base", flavor="small", wait=True)


def test_a_lost_answer_leaves_a_server(north, sim):
    region = sim.client.region("acme", "north")
    region.fault(call="server.create", fate="answer-lost", status=502, times=1)
    assert north.compute.post("/servers", json={"server": {**MINE, "name": "n1"}}).status_code == 502
    assert [server.name for server in region.state().live] == ["n1"]


def test_a_slow_call_times_out_and_happens_all_the_same(north, sim):
    north.list_flavors()
    region = sim.client.region("acme", "north")
    region.fault(call="server.create", fate="slow", seconds=0.4, times=1)
    with pytest.raises(ConnectTimeout):
        north.compute.post("/servers", json={"server": {**MINE, "name": "n1"}}, timeout=0.1, connect_retries=0)
    wait_for(lambda: [server.name for server in region.state().live] == ["n1"])


def test_zones_and_key_pairs(north):
    assert north.list_availability_zone_names() == ["nova"]
    north.create_keypair("mine", "ssh-ed25519 AAAA me")
    assert [pair.name for pair in north.list_keypairs()] == ["mine"]
    assert north.create_server("n1", image="base", flavor="small", key_name="mine", wait=True).key_name == "mine"
    assert north.delete_keypair("mine")
    response = north.compute.post("/servers", json={"server": {**MINE, "name": "n2", "key_name": "mine"}})
    assert response.status_code == 400


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"server": []}', b'{"server": {}}', b'{"server": {"name": "n", "flavorRef": "none"}}']
)
def test_a_body_that_makes_no_sense_is_a_400(north, body):
    response = north.compute.post("/servers", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["badRequest"]["message"]
