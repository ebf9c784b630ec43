"""Nova's servers as we see them."""

import pytest

from nodepool_ng.drivers import Misconfigured
from nodepool_ng.drivers.openstack.labels import Flavor
from nodepool_ng.drivers.openstack.networks import (
    Access,
    NetworkEntry,
    NetworkFacts,
    facts_without_neutron,
    network_facts,
)
from nodepool_ng.drivers.openstack.parse import Facts, addresses_of, has_floating_ip, is_stub, server_of
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import Addresses, ServerStatus

MAC, OTHER_MAC = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
INNER = {"id": "net-in", "name": "inner", "router:external": False}
OUTER = {"id": "net-out", "name": "outer", "router:external": True}
FLAT = {"id": "net-flat", "name": "flat", "provider:physical_network": "phys"}


def address(addr, kind="fixed", mac=MAC):
    return {
        "addr": addr,
        "version": 6 if ":" in addr else 4,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": mac,
    }


def raw(**more):
    return {"id": "srv-1", "name": "np0000000001", "status": "ACTIVE", **more}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("BUILD", ServerStatus.BUILDING),
        ("ACTIVE", ServerStatus.ACTIVE),
        ("ERROR", ServerStatus.FAILED),
        ("DELETED", ServerStatus.DELETED),
        ("SOFT_DELETED", ServerStatus.DELETED),
        ("SHUTOFF", ServerStatus.OTHER),
        ("UNKNOWN", ServerStatus.OTHER),
        ("what comes next", ServerStatus.OTHER),
    ],
)
def test_every_word_of_nova_has_a_status(word, status):
    assert server_of(raw(status=word), Facts()).status is status


def test_marks_come_from_the_metadata():
    marks = {
        "nodepool_node_id": "0000000001",
        "nodepool_provider_name": "acme",
        "nodepool_ng_attempt_id": "a1",
        "nodepool_ng_installation_id": "i1",
        "groups": "anything",
    }
    server = server_of(raw(metadata=marks), Facts())
    assert (server.node, server.provider, server.attempt, server.installation) == ("0000000001", "acme", "a1", "i1")
    stranger = server_of(raw(metadata={}), Facts())
    assert (stranger.node, stranger.provider, stranger.attempt, stranger.installation) == (None,) * 4


@pytest.mark.parametrize(
    ("status", "fault", "no_capacity", "unplaced"),
    [
        ("ERROR", "Build aborted: exceeds allowed quota", True, False),
        ("ERROR", "No valid host was found. There are not enough hosts available.", False, True),
        ("ERROR", "Build of instance aborted: Unknown error", False, False),
        ("ACTIVE", "it exceeded a quota, long ago", False, False),
        ("ACTIVE", "No valid host was found, long ago", False, False),
    ],
)
def test_a_fault_tells_a_full_cloud_from_a_broken_server(status, fault, no_capacity, unplaced):
    server = server_of(raw(status=status, fault={"message": fault, "code": 500}), Facts())
    assert (server.fault, server.no_capacity, server.unplaced) == (fault, no_capacity, unplaced)


@pytest.mark.parametrize(
    ("more", "resources"),
    [
        ({"flavor": {"vcpus": 4, "ram": 8192, "disk": 10}}, {"instances": 1, "cores": 4, "ram": 8192}),
        ({"flavor": {"id": "1"}}, {"instances": 1, "cores": 1, "ram": 2048}),
        ({"flavor": {"id": "deleted long ago"}}, {"instances": 1}),
        ({}, {"instances": 1}),
        (
            {
                "flavor": {"vcpus": 1, "ram": 512},
                "os-extended-volumes:volumes_attached": [{"id": "vol-1"}, {"id": "vol-x"}],
            },
            {"instances": 1, "cores": 1, "ram": 512, "volumes": 2, "volume-gb": 80},
        ),
    ],
)
def test_a_server_uses_what_its_flavor_says(more, resources):
    facts = Facts(flavors={"1": Flavor(2048, "small", "1", 1)}, volume_gb={"vol-1": 80})
    assert server_of(raw(**more), facts).resources == Resources(resources)


def test_where_it_is_and_since_when():
    server = server_of(
        raw(
            hostId="abc",
            created="1970-01-01T00:01:00Z",
            **{"OS-EXT-AZ:availability_zone": "az1", "OS-EXT-STS:task_state": "deleting"},
        ),
        Facts(),
    )
    assert (server.az, server.host_id, server.created, server.deleting) == ("az1", "abc", 60.0, True)
    bare = server_of(
        raw(hostId="", created="once", **{"OS-EXT-AZ:availability_zone": "", "OS-EXT-STS:task_state": None}), Facts()
    )
    assert (bare.az, bare.host_id, bare.created, bare.deleting) == (None, None, None, False)


def test_a_server_of_a_cell_that_is_down_is_a_stub():
    assert is_stub({"id": "srv-1", "status": "UNKNOWN"})
    assert not is_stub(raw())


ACCESS = Access()


def seen(nets, access=ACCESS, listed=(INNER, OUTER, FLAT), **more):
    return addresses_of(raw(addresses=nets, **more), network_facts(listed, access))


def test_nothing_is_empty_strings():
    assert seen({}) == Addresses(interface_ip="", public_ipv4="", private_ipv4="", public_ipv6="")


def test_an_external_network_is_public():
    assert seen({"outer": [address("192.0.2.7")]}) == Addresses(
        interface_ip="192.0.2.7", public_ipv4="192.0.2.7", private_ipv4="192.0.2.7"
    )


def test_so_is_one_on_a_physical_network():
    assert seen({"flat": [address("10.9.9.9")]}).public_ipv4 == "10.9.9.9"


def test_an_internal_address_alone_is_not_where_we_connect():
    assert seen({"inner": [address("10.0.0.5")]}) == Addresses(private_ipv4="10.0.0.5")


def test_unless_the_cloud_is_private():
    assert seen({"inner": [address("10.0.0.5")]}, Access(private=True)).interface_ip == "10.0.0.5"


def test_a_floating_ip_is_public_and_names_its_port():
    nets = {
        "inner": [address("10.0.0.4", mac=OTHER_MAC), address("10.0.0.5"), address("192.0.2.9", "floating")],
    }
    found = seen(nets)
    assert (found.public_ipv4, found.private_ipv4, found.interface_ip) == ("192.0.2.9", "10.0.0.5", "192.0.2.9")
    assert has_floating_ip(raw(addresses=nets))
    assert not has_floating_ip(raw(addresses={"inner": [address("10.0.0.4")]}))


def test_access_addresses_win():
    nets = {"outer": [address("192.0.2.7"), address("2001:db8::7")]}
    found = seen(nets, accessIPv4="192.0.2.99", accessIPv6="2001:db8::99")
    assert (found.public_ipv4, found.public_ipv6) == ("192.0.2.99", "2001:db8::99")


@pytest.mark.parametrize(
    ("access", "interface", "six"),
    [
        (Access(), "192.0.2.7", "2001:db8::7"),
        (Access(local_ipv6=True), "2001:db8::7", "2001:db8::7"),
        (Access(local_ipv6=True, force_ipv4=True), "192.0.2.7", ""),
    ],
)
def test_ipv6_is_used_where_there_is_a_way(access, interface, six):
    found = seen({"outer": [address("192.0.2.7"), address("2001:db8::7")]}, access)
    assert (found.interface_ip, found.public_ipv6) == (interface, six)


@pytest.mark.parametrize(("local_ipv6", "interface"), [(False, "10.0.0.5"), (True, "2001:db8::5")])
def test_the_default_interface_wins(local_ipv6, interface):
    entries = (NetworkEntry(name="inner", default_interface=True),)
    nets = {"outer": [address("192.0.2.7")], "inner": [address("10.0.0.5"), address("2001:db8::5")]}
    assert seen(nets, Access(entries=entries, local_ipv6=local_ipv6)).interface_ip == interface


def test_clouds_yaml_overrules_neutron():
    access = Access(entries=(NetworkEntry(name="inner", external=True), NetworkEntry(name="net-out")))
    found = seen({"outer": [address("192.0.2.7")], "inner": [address("10.0.0.5")]}, access)
    assert (found.public_ipv4, found.private_ipv4) == ("10.0.0.5", "192.0.2.7")


def test_names_and_routable_addresses_help_where_nothing_else_does():
    nothing = facts_without_neutron(Access())
    assert addresses_of(raw(addresses={"public": [address("10.1.1.1")]}), nothing).public_ipv4 == "10.1.1.1"
    assert addresses_of(raw(addresses={"private": [address("10.1.1.1")]}), nothing).private_ipv4 == "10.1.1.1"
    assert (
        addresses_of(raw(addresses={"x": [address("10.1.1.1"), address("8.8.8.8")]}), nothing).public_ipv4 == "8.8.8.8"
    )


def test_networks_can_be_left_unused():
    nets = {"outer": [address("192.0.2.7")], "inner": [address("10.0.0.5")]}
    assert seen(nets, Access(use_external=False)).public_ipv4 == ""
    assert seen(nets, Access(use_internal=False)).private_ipv4 == "192.0.2.7"


def test_what_clouds_yaml_names_must_exist():
    with pytest.raises(Misconfigured, match="'nowhere'"):
        network_facts((INNER,), Access(entries=(NetworkEntry(name="nowhere"),)))


def test_one_name_cannot_be_two_default_interfaces():
    twin = {"id": "net-in2", "name": "inner"}
    with pytest.raises(Misconfigured, match="default_interface"):
        network_facts((INNER, twin), Access(entries=(NetworkEntry(name="inner", default_interface=True),)))


def test_networks_are_found_by_name_and_by_id():
    facts = network_facts((INNER, OUTER), Access())
    assert facts.ids == {"inner": "net-in", "net-in": "net-in", "outer": "net-out", "net-out": "net-out"}
    assert facts.nat_source == "net-out"
    assert NetworkFacts() == facts_without_neutron(Access())
