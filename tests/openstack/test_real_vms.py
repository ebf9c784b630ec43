"""An image that we have built boots in virtual machines that we have ordered, and they are what their records say."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodepool_ng.model.settings import ZooKeeperSettings
from tests.support import real_site, real_vms
from tests.support.daemons import Site, wait_for
from tests.support.real_cloud import MARKS, RealCloud, demand
from tests.support.real_vms import LABEL

BUILD_PATIENCE = 240.0  # seconds; the first time packages are downloaded
BOOT_PATIENCE = 300.0  # seconds
GONE_PATIENCE = 120.0  # seconds
DEVICES = Path("/sys/class/net")

pytestmark = [*MARKS, pytest.mark.dib]


@pytest.fixture(scope="module")
def machines() -> Iterator[RealCloud]:
    """The services, with a host of virtual machines."""
    demand(real_vms.missing())
    with real_vms.running() as cloud:
        yield cloud


@pytest.fixture
def machine_site(
    tmp_path: Path, zookeeper: ZooKeeperSettings, machines: RealCloud, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """A site whose daemons talk to these services; when its test fails, their logs are shown."""
    machines.clean()
    with real_site.site_on(machines, tmp_path, zookeeper, request) as made:
        yield made
    machines.clean()


def test_two_virtual_machines_are_logged_into_and_gone_afterwards(machine_site: Site, machines: RealCloud) -> None:
    key = real_vms.key_pair(machines)
    real_vms.configure(machine_site)
    devices = set(DEVICES.iterdir())
    began = time.monotonic()
    builder = real_site.builder(machine_site)
    wait_for(lambda: real_site.uploaded(machine_site), "the image is in service", BUILD_PATIENCE)
    print(f"built and uploaded after {time.monotonic() - began:.1f} s")

    launcher = real_vms.launcher(machine_site, machines)
    zuul = machine_site.scheduler()
    began = time.monotonic()
    lent = [zuul.use(each) for each in zuul.take(zuul.wait(zuul.ask([LABEL] * 2), BOOT_PATIENCE))]
    print(f"two nodes after {time.monotonic() - began:.1f} s")
    floating = {
        address.floating_ip_address: address for address in machines.ci.network.ips(project_id=machines.project)
    }
    servers = machines.servers()
    assert {str(each.node.external_id) for each in lent} == set(servers)
    for each in lent:
        node = each.node
        began = time.monotonic()
        said = real_vms.logged_in(machines, node, key, "hostname; id -un; ip -4 -o addr show scope global").split()
        print(f"logged into {node.id} after {time.monotonic() - began:.1f} s")
        host, user, *addresses = said
        assert host.partition(".")[0] == servers[str(node.external_id)]["name"]
        assert user == real_vms.USER
        assert any(word.startswith(f"{node.private_ipv4}/") for word in addresses)
        assert floating[node.interface_ip].fixed_ip_address == node.private_ipv4
    assert len({each.node.host_keys for each in lent}) == 2, "every machine has made keys of its own"
    assert set(DEVICES.iterdir()) <= devices, "all of their network is in the namespace"

    began = time.monotonic()
    for each in lent:
        zuul.give_back(each)
    wait_for(lambda: not machine_site.nodes(), "the nodes are gone", GONE_PATIENCE)
    wait_for(lambda: _nothing_left(machines), "servers, ports and floating IPs are gone", GONE_PATIENCE)
    print(f"all gone after {time.monotonic() - began:.1f} s")
    assert launcher.stop() == 0
    assert builder.stop() == 0
    assert "Traceback" not in machine_site.logs("nodepool")


def _nothing_left(machines: RealCloud) -> bool:
    network = machines.ci.network
    own = {"project_id": machines.project}
    return not (machines.servers() or list(network.ports(**own)) or list(network.ips(**own)))
