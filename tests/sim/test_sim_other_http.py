"""Neutron, Glance, Cinder, the admin door and SSH, as unmodified clients see them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time

import asyncssh
import pytest
import yaml
from openstack import exceptions

from nodepool_ng.sim.client import SimClient, SimError

# The SDK warns of its own use of what it is about to remove.
pytestmark = [
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.OpenStackDeprecationWarning"),
]

MIB = 1 << 20


def test_an_image_is_uploaded_from_a_stream(north, sim, tmp_path):
    content = b"QFI\xfb" + os.urandom(4 * MIB)
    path = tmp_path / "image.qcow2"
    path.write_bytes(content)
    with path.open("rb") as stream:
        image = north.image.create_image(
            "deb", data=stream, disk_format="qcow2", validate_checksum=False, nodepool_build_id="7", wait=True
        )
    seen = north.get_image("deb")
    assert (seen.id, seen.status, seen.size) == (image.id, "active", len(content))
    assert seen.hash_value == hashlib.sha512(content).hexdigest()
    assert seen.properties["nodepool_build_id"] == "7"
    assert north.create_server("n1", image="deb", flavor="small", wait=True).status == "ACTIVE"
    assert north.delete_image("deb", wait=True)
    assert [each.name for each in north.list_images()] == ["base"]
    (gone,) = sim.client.region("acme", "north").state().deleted_images
    assert gone["name"] == "deb"


# The SDK itself leaves the file open that it is given by name.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_image_is_uploaded_from_a_file_and_checked(north, tmp_path):
    path = tmp_path / "deb.raw"
    path.write_bytes(os.urandom(MIB))
    image = north.create_image(
        "deb",
        filename=str(path),
        disk_format="raw",
        container_format="bare",
        wait=True,
        validate_checksum=True,
        meta={"min_disk": 5},
    )
    assert (image.status, image.size, image.min_disk) == ("active", MIB, 5)
    del image


def test_a_refused_upload_leaves_no_image(north, sim, tmp_path):
    sim.client.region("acme", "north").fault(call="image.upload", fate="refused", status=500)
    with pytest.raises(exceptions.SDKException):
        north.image.create_image("deb", data=b"x" * 8 * MIB, disk_format="raw", wait=True)
    assert [each.name for each in north.list_images()] == ["base"]


def test_images_are_changed_filtered_and_paged(north, sim):
    region = sim.client.region("acme", "north")
    for number in range(30):
        region.plant_image(f"i{number}", os_type="linux" if number % 2 else "bsd")
    assert len(list(north.image.images())) == 31
    assert len(list(north.image.images(name="i3"))) == 1
    north.image.update_image(north.get_image("i3"), colour="blue")
    assert north.get_image("i3").properties["colour"] == "blue"


def test_a_floating_ip_is_given_to_a_server(south):
    south.create_server("n1", image="base", flavor="small", wait=True, auto_ip=True)
    server = south.get_server("n1")
    assert server.private_v4.startswith("10.0.")
    assert server.public_v4.startswith("198.51.100.")
    assert server.interface_ip == server.public_v4
    (floating,) = south.list_floating_ips()
    assert floating.status == "ACTIVE"
    assert south.delete_floating_ip(floating.id)
    assert south.get_server("n1").public_v4 == ""
    assert south.delete_server("n1", wait=True)


def test_networks_ports_and_groups(south):
    assert [network.name for network in south.list_networks()] == ["inner", "outer"]
    assert {network.name for network in south.get_external_networks()} == {"outer"}
    assert [subnet.cidr for subnet in south.list_subnets()] == ["10.0.0.0/16"]
    assert south.get_nat_destination().name == "inner"
    inner = south.get_network("inner")
    port = south.create_port(inner.id, name="mine")
    server = south.create_server("n1", image="base", flavor="small", nics=[{"port-id": port.id}], wait=True)
    assert [each.name for each in south.list_ports(filters={"device_id": server.id})] == ["mine"]
    assert south.delete_server("n1", wait=True)
    assert [each.status for each in south.list_ports()] == ["DOWN"]
    assert south.delete_port(port.id)
    assert [group.name for group in south.list_security_groups()] == ["default"]
    south.create_security_group("web", "")
    assert south.create_server("n2", image="base", flavor="small", security_groups=["web"], wait=True)
    assert south.get_network_quotas("ci").floating_ips == -1
    assert south.network.get_quota(south.current_project_id, details=True).ports["used"] == 1
    assert south.delete_security_group("web")


def test_lists_in_pages_come_to_an_end(south):
    assert len(list(south.network.networks(limit=1))) == 2
    assert len(list(south.compute.flavors(limit=2))) == 3
    assert len(list(south.image.images(limit=1))) == 1


def test_the_servers_of_two_projects_are_apart(connect, sim):
    mine, others = connect("acme.north"), connect("acme.north.other")
    region = sim.client.region("acme", "north")
    region.plant_server("foreign", project="other", metadata={"owner": "them"})
    region.plant_server("by-hand")
    assert [server.name for server in mine.list_servers()] == ["by-hand"]
    assert [server.name for server in others.list_servers()] == ["foreign"]


def test_regions_are_apart_and_the_first_is_the_default(connect):
    connect("acme.south").create_server("n1", image="base", flavor="small", auto_ip=False)
    assert len(connect("acme.south").list_servers()) == 1
    assert connect("acme").list_servers() == []


def test_the_admin_door_tells_the_history(north, sim):
    region = sim.client.region("acme", "north")
    server = north.create_server("n1", image="base", flavor="small", wait=True, meta={"k": "v"})
    north.delete_server(server.id, wait=True)
    state = region.state()
    (past,) = state.servers
    assert state.live == ()
    assert (past.name, past.status, past.project, past.metadata) == ("n1", "DELETED", state.projects["ci"], {"k": "v"})
    assert past.created <= past.active <= past.delete_asked <= past.deleted <= state.now
    assert state.counters.calls["server.create"] == 1
    assert region.reset_counters().total > 1
    assert region.counters().total == 0


def test_the_admin_door_interferes(north, sim):
    region = sim.client.region("acme", "north")
    first, second = region.plant_server("a"), region.plant_server("b")
    region.fail_server(first.id, "burnt")
    region.vanish_server(second.id)
    port = region.plant_port(device_owner="compute:nova")
    assert [(server.name, server.status) for server in north.list_servers()] == [("a", "ERROR")]
    assert [each.status for each in north.list_ports() if each.id == port] == ["DOWN"]


def test_the_admin_door_refuses_nonsense(sim):
    region = sim.client.region("acme", "north")
    with pytest.raises(SimError, match="quota"):
        region.change(quota={"instances": "many"})
    with pytest.raises(SimError, match="cannot meet the fate"):
        region.fault(call="server.list", fate="twice")
    with pytest.raises(SimError, match="no server"):
        region.vanish_server("nobody")
    with pytest.raises(SimError, match="no region"):
        sim.client.region("acme", "west").state()


async def host_keys(address, port, kinds):
    keys = [await asyncssh.get_server_host_key(address, port, server_host_key_algs=[kind]) for kind in kinds]
    return [key.get_algorithm() for key in keys if key is not None]


def test_a_booted_server_answers_ssh_and_a_deleted_one_does_not(connect, sim):
    keyed = connect("acme.keyed")
    port = sim.client.region("acme", "keyed").state().ssh_port
    server = keyed.create_server("n1", image="base", flavor="small", wait=True)
    address = server.interface_ip
    assert address.startswith("127.")
    assert port != 22
    wait_until(lambda: is_open(address, port))
    kinds = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"]
    assert asyncio.run(host_keys(address, port, kinds)) == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
    keyed.delete_server("n1", wait=True)
    wait_until(lambda: not is_open(address, port))


def is_open(address, port):
    with socket.socket() as knock:
        knock.settimeout(1)
        return knock.connect_ex((address, port)) == 0


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def test_the_command_serves_until_it_is_told_to_stop(tmp_path):
    config, port_file, clouds = tmp_path / "sim.yaml", tmp_path / "port", tmp_path / "clouds.yaml"
    config.write_text("clouds: {acme: {regions: {north: {}}}}")
    command = [sys.executable, "-m", "nodepool_ng.sim.main", "--config", config]
    command += ["--port-file", port_file, "--clouds-yaml", clouds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = process.stdout.readline()
        port = int(port_file.read_text())
        assert ready == f"Simulated clouds acme at http://127.0.0.1:{port}\n"
        assert SimClient(f"http://127.0.0.1:{port}").regions() == {"acme": ("north",)}
        assert "acme.north" in yaml.safe_load(clouds.read_text())["clouds"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""


def test_the_command_says_what_is_wrong_with_its_file(tmp_path):
    config = tmp_path / "sim.yaml"
    config.write_text("clouds: {acme: {regions: {north: {boot: soon}}}}")
    command = [sys.executable, "-m", "nodepool_ng.sim.main", "--config", config]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert f"{config}:1:35: clouds.acme.regions.north.boot: " in run.stderr


def test_bytes_of_another_format_are_refused_as_glance_does(north):
    image = north.image.post("/images", json={"name": "deb", "disk_format": "qcow2", "container_format": "bare"}).json()
    octets = {"Content-Type": "application/octet-stream"}
    refused = north.image.put(f"/images/{image['id']}/file", data=b"raw" * 99, headers=octets)
    assert refused.status_code == 415
    assert "does not match stream data raw" in refused.text
    assert north.image.get(f"/images/{image['id']}").json()["status"] == "queued"
    taken = north.image.put(f"/images/{image['id']}/file", data=b"QFI\xfb" + b"rest" * 99, headers=octets)
    assert taken.status_code == 204
