"""What networks of the cloud model do, as conversations with it."""

from __future__ import annotations

import pytest

from nodepool_ng.sim.network import Addresses, Subnet
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import ServerAsk

NAT = [
    {"name": "inner", "cidrs": ["10.0.0.0/24", "2001:db8::/64"]},
    {"name": "outer", "cidrs": ["198.51.100.0/24"], "external": True},
]
ASK = ServerAsk(name="n", flavor="small")


def network_id(region, name):
    return next(network.id for network in region.fabric.networks.values() if network.name == name)


def test_a_server_joins_the_network_that_is_not_external(make, me):
    region = make(networks=NAT)
    server = region.servers.create(me, ASK, now=0.0)
    assert [(each.network, each.address, each.version) for each in server.addresses] == [
        ("inner", "10.0.0.2", 4),
        ("inner", "2001:db8::2", 6),
    ]


def test_two_networks_to_choose_from_need_a_word(make, me):
    region = make(networks=[{"name": "a", "cidrs": ["10.0.0.0/24"]}, {"name": "b", "cidrs": ["10.1.0.0/24"]}])
    with pytest.raises(Refused, match="Multiple possible networks found"):
        region.servers.create(me, ASK, now=0.0)
    wish = ServerAsk(name="n", flavor="small", networks=(network_id(region, "b"), network_id(region, "a")))
    assert [each.network for each in region.servers.create(me, wish, now=0.0).addresses] == ["b", "a"]


def test_a_port_is_up_with_its_server_and_goes_with_it(make, me):
    region = make(boot=5, delete=1)
    server = region.servers.create(me, ASK, now=0.0)
    (port,) = region.fabric.list_ports(me, device=server.id, now=0.0)
    assert [port.status(4.0), port.status(5.0)] == ["DOWN", "ACTIVE"]
    region.servers.delete(me, server.id, now=10.0)
    assert region.fabric.list_ports(me, now=11.0) == ()


def test_a_port_of_the_callers_own_outlives_its_server(make, me):
    region = make(boot=1, delete=1)
    port = region.fabric.create_port(me, network_id(region, "public"), "mine", now=0.0)
    server = region.servers.create(me, ServerAsk(name="n", flavor="small", ports=(port.id,)), now=0.0)
    assert [each.address for each in server.addresses] == [port.fixed[0].address]
    with pytest.raises(Refused, match="still in use"):
        region.servers.create(me, ServerAsk(name="m", flavor="small", ports=(port.id,)), now=0.0)
    region.servers.delete(me, server.id, now=2.0)
    (left,) = region.fabric.list_ports(me, now=3.0)
    assert (left.status(3.0), left.device, left.device_owner) == ("DOWN", "", "")


def test_a_port_can_be_left_behind(make, me):
    region = make(boot=1, delete=1, faults=[{"call": "server.delete", "fate": "port-left"}])
    server = region.servers.create(me, ASK, now=0.0)
    region.servers.delete(me, server.id, now=2.0)
    (left,) = region.fabric.list_ports(me, now=3.0)
    assert (left.status(3.0), left.device, left.device_owner) == ("DOWN", server.id, "compute:nova")
    with pytest.raises(Refused, match="delete_port is disallowed"):
        region.fabric.delete_port(me, left.id, now=4.0)
    region.fabric.update_port(me, left.id, device_owner="", now=4.0)
    region.fabric.delete_port(me, left.id, now=4.0)
    assert region.fabric.ports == {}


def test_a_floating_ip_shows_at_its_server_and_is_free_when_that_is_gone(make, me):
    region = make(networks=NAT, boot=1, delete=1)
    server = region.servers.create(me, ASK, now=0.0)
    (port,) = region.fabric.list_ports(me, device=server.id, now=0.0)
    floating = region.fabric.create_floating_ip(me, network_id(region, "outer"), port.id, now=2.0)
    shown = region.servers.get(me, server.id, now=2.0)
    assert (floating.status, floating.fixed) == ("ACTIVE", "10.0.0.2")
    assert [each.address for each in shown.addresses if each.floating] == ["198.51.100.2"]
    assert shown.updated(2.0) == 2.0

    region.servers.delete(me, server.id, now=3.0)
    (left,) = region.fabric.list_floating_ips(me, now=4.0)
    assert (left.status, left.port) == ("DOWN", None)
    region.fabric.delete_floating_ip(me, left.id, now=5.0)
    assert region.fabric.floating_ips == {}


def test_a_floating_ip_can_be_taken_off_again(make, me):
    region = make(networks=NAT)
    server = region.servers.create(me, ASK, now=0.0)
    (port,) = region.fabric.list_ports(me, device=server.id, now=0.0)
    floating = region.fabric.create_floating_ip(me, network_id(region, "outer"), None, now=0.0)
    assert floating.status == "DOWN"
    region.fabric.update_floating_ip(me, floating.id, port.id, now=1.0)
    region.fabric.update_floating_ip(me, floating.id, None, now=2.0)
    assert not any(each.floating for each in region.servers.get(me, server.id, now=2.0).addresses)


@pytest.mark.parametrize(("quota", "network"), [({"floating_ips": 0}, "outer"), ({}, "inner")])
def test_floating_ips_are_refused(make, me, quota, network):
    region = make(networks=NAT, quota=quota)
    with pytest.raises(Refused):
        region.fabric.create_floating_ip(me, network_id(region, network), None, now=0.0)
    assert region.fabric.floating_ips == {}


def test_every_project_has_its_own_default_group(make, me, other):
    region = make()
    assert [group.name for group in region.fabric.list_groups(me, now=0.0)] == ["default"]
    made = region.fabric.create_group(me, "web", "", now=0.0)
    assert len(region.fabric.list_groups(other, now=0.0)) == 1
    region.servers.create(me, ServerAsk(name="n", flavor="small", security_groups=("web",)), now=0.0)
    region.fabric.delete_group(me, made.id, now=0.0)
    with pytest.raises(Refused):
        region.fabric.get_group(me, made.id, now=0.0)


def test_freed_addresses_rest_until_the_range_has_been_gone_through():
    subnet = Subnet(id="s", network="n", name="s", cidr="192.0.2.0/29", version=4, gateway="192.0.2.1")
    addresses = Addresses(subnet)
    assert [addresses.take() for _ in range(2)] == ["192.0.2.2", "192.0.2.3"]
    addresses.free("192.0.2.2")
    assert [addresses.take() for _ in range(4)] == ["192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.2"]
    with pytest.raises(Refused, match="No more IP addresses"):
        addresses.take()
