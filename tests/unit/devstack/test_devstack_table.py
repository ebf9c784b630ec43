"""The table of devstack's services, for both kinds of places."""

from pathlib import Path

import pytest

from devstack import services, settings, stack
from devstack.place import SERVICES_WITH_PORTS, Place

FAKES = ("nova-compute-fake-1", "nova-compute-fake-2", "nova-compute-fake-3")
MACHINES = ("ovs-switch", "ovn-controller", "libvirt", "gate", "neutron-ovn-maintenance", "nova-compute-qemu-1")


def place(*, vms: bool, folder: Path = Path("/nowhere")) -> Place:
    ports = {name: 20000 + number for number, name in enumerate(SERVICES_WITH_PORTS)}
    return Place(folder=folder, ports=ports, password="secret", venv=folder / "venv", vms=vms)


@pytest.mark.parametrize("vms", [False, True])
def test_every_service_comes_after_what_it_needs(vms: bool) -> None:
    here = services.of(place(vms=vms))
    names = [service.name for service in here]
    for service in here:
        known = names[: names.index(service.name)]
        assert [need for need in service.needs if need in names and need not in known] == []


@pytest.mark.parametrize("vms", [False, True])
def test_every_need_is_a_service(vms: bool) -> None:
    for service in services.of(place(vms=vms)):
        assert set(service.needs) <= services.BY_NAME.keys()


def test_servers_are_fakes_or_machines() -> None:
    fakes, machines = (stack.with_needs(place(vms=vms), ["nova"]) for vms in (False, True))
    assert set(FAKES) <= set(fakes)
    assert not set(MACHINES) & set(fakes)
    assert set(MACHINES) <= set(machines)
    assert not set(FAKES) & set(machines)


def test_what_is_asked_for_without_names_is_everything() -> None:
    here = place(vms=True)
    assert stack.with_needs(here, []) == [service.name for service in services.of(here)]


@pytest.mark.parametrize(("vms", "hosts"), [(False, ["fake-1", "fake-2", "fake-3"]), (True, ["qemu-1"])])
def test_each_host_has_its_file(tmp_path: Path, vms: bool, hosts: list[str]) -> None:
    here = place(vms=vms, folder=tmp_path)
    for source in ("nova/api-paste.ini", "neutron/api-paste.ini", "glance/glance-api-paste.ini"):
        template = here.venv / "etc" / source
        template.parent.mkdir(parents=True, exist_ok=True)
        template.touch()
    settings.write_all(here)
    assert sorted(file.stem for file in (here.etc / "nova").glob("*-[0-9].conf")) == hosts
    ml2 = (here.etc / "neutron/ml2_conf.ini").read_text()
    assert f"mechanism_drivers = {'ovn' if vms else 'openvswitch'}\n" in ml2
