"""What the nodes of `ng-node` make of a configuration drive: the script itself, imported."""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "elements/ng-node/ng-node/ng-config-drive.py"
MAC = "fa:16:3e:00:00:01"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("ng_config_drive", str(SCRIPT))
    spec = importlib.util.spec_from_loader("ng_config_drive", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # no cache file beside the element
        patch.setattr(sys, "dont_write_bytecode", True)
        loader.exec_module(module)
    return module


def network(**changes: object) -> dict[str, object]:
    return {
        "links": [{"id": "tap1", "ethernet_mac_address": MAC, "mtu": 1450}],
        "networks": [],
        "services": [],
        **changes,
    }


def test_dhcp_is_dhcp(script: ModuleType) -> None:
    (text,) = script.networks(network(networks=[{"link": "tap1", "type": "ipv4_dhcp"}])).values()
    assert f"MACAddress={MAC}" in text
    assert "MTUBytes=1450" in text
    assert "DHCP=ipv4" in text
    assert "IPv6AcceptRA=yes" in text


def test_static_addresses_have_prefixes_routes_and_name_servers(script: ModuleType) -> None:
    four = {"link": "tap1", "type": "ipv4", "ip_address": "192.0.2.7", "netmask": "255.255.255.0"}
    four |= {"routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]}
    six = {"link": "tap1", "type": "ipv6", "ip_address": "2001:db8::7", "netmask": "ffff:ffff:ffff:ffff::"}
    six |= {"routes": [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}]}
    told = network(networks=[four, six], services=[{"type": "dns", "address": "192.0.2.53"}])
    (text,) = script.networks(told).values()
    lines = text.split("\n")
    assert "Address=192.0.2.7/24" in lines
    assert "Address=2001:db8::7/64" in lines
    assert "DNS=192.0.2.53" in lines
    assert lines[lines.index("Gateway=192.0.2.1") + 1] == "Destination=0.0.0.0/0"
    assert lines[lines.index("Gateway=2001:db8::1") + 1] == "Destination=::/0"
    assert "DHCP=no" in lines
    assert "IPv6AcceptRA=no" in lines


def test_a_drive_without_network_leaves_it_to_dhcp(script: ModuleType) -> None:
    assert script.networks({}) == {}
    assert script.networks(network(links=[{"id": "x"}])) == {}


def test_keys_come_once_each(script: ModuleType) -> None:
    told = {
        "public_keys": {"mine": "ssh-ed25519 A\n"},
        "keys": [{"type": "ssh", "data": "ssh-ed25519 A"}, {"type": "x509"}],
    }
    assert script.keys(told) == ["ssh-ed25519 A"]
    assert script.keys({}) == []


def test_keys_are_added_to_those_in_the_image(script: ModuleType, tmp_path: Path) -> None:
    owner = (os.getuid(), os.getgid())
    script.authorize(tmp_path, ["one"], owner)
    script.authorize(tmp_path, ["one", "two"], owner)
    file = tmp_path / ".ssh/authorized_keys"
    assert file.read_text() == "one\ntwo\n"
    assert file.stat().st_mode & 0o777 == 0o600
