"""The services that virtual machines and their network need: Open vSwitch, OVN and libvirt, in a network namespace."""

import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devstack import databases, namespace, vm_settings
from devstack.place import HOST, ROOT, Place
from devstack.process import StackError
from devstack.service import Service
from devstack.settings import QEMU_HOST

SCHEMAS = {
    "ovs/conf.db": "/usr/share/openvswitch/vswitch.ovsschema",
    "ovn/northbound.db": "/usr/share/ovn/ovn-nb.ovsschema",
    "ovn/southbound.db": "/usr/share/ovn/ovn-sb.ovsschema",
}
APIS = ("keystone", "placement", "glance", "neutron", "nova", "ironic")
"""What those in the namespace reach at the ports where it is outside, too."""
INNER_BRIDGE = "br-int"
BRIDGES_PATIENCE = 30  # seconds; the switch makes them
ANSWER_PATIENCE = 5.0  # seconds
LONGEST_SOCKET = 100  # characters of its path; Linux takes 107


def prepare(place: Place) -> None:
    """Make the namespace, folders, libvirt's files and empty databases, where they are not there yet."""
    if os.geteuid() != 0:
        raise StackError("only root can have virtual machines with a network: they need a network namespace")
    longest = str(vm_settings.northbound(place))
    if len(longest) > LONGEST_SOCKET:
        raise StackError(f"{longest} is too long for a socket; choose a --folder with a shorter path")
    namespace.make(place.namespace)
    vm_settings.write_libvirts(place)
    for name, schema in SCHEMAS.items():
        if not (place.data / name).exists():
            databases.run(place, "ovsdb-tool", ["ovsdb-tool", "create", str(place.data / name), schema], os.environ)


def describe_chassis(place: Place) -> None:
    """Tell OVN what this host is called, and which bridge leads outside. Needs Open vSwitch's database."""
    settings = {
        "external-ids:system-id": QEMU_HOST,
        "external-ids:hostname": QEMU_HOST,
        "external-ids:ovn-remote": f"unix:{vm_settings.southbound(place)}",
        "external-ids:ovn-encap-type": "geneve",
        "external-ids:ovn-encap-ip": HOST,
        "external-ids:ovn-bridge-datapath-type": "netdev",
        "external-ids:ovn-bridge-mappings": f"{vm_settings.EXTERNAL_PHYSNET}:{vm_settings.EXTERNAL_BRIDGE}",
        "external-ids:ovn-cms-options": "enable-chassis-as-gw",
        # packets between processes of one machine may lack checksums
        "other_config:userspace-tso-enable": "true",
    }
    _vsctl(place, "--no-wait", "init")
    _vsctl(place, "--no-wait", "set", "Open_vSwitch", ".", *(f"{key}={value}" for key, value in settings.items()))


def lead_outside(place: Place, gateway: str) -> None:
    """Make the bridges, and give the namespace the address of the gateway on the outer one. Needs the switch."""
    _vsctl(
        place,
        f"--timeout={BRIDGES_PATIENCE}",
        *("--may-exist", "add-br", INNER_BRIDGE, "--", "set", "bridge", INNER_BRIDGE),
        *("datapath_type=netdev", "fail-mode=secure", "other-config:disable-in-band=true"),
        *("--", "--may-exist", "add-br", vm_settings.EXTERNAL_BRIDGE),
        *("--", "set", "bridge", vm_settings.EXTERNAL_BRIDGE, "datapath_type=netdev"),
    )
    here = ("-n", place.namespace)
    namespace.ip(*here, "address", "replace", gateway, "dev", vm_settings.EXTERNAL_BRIDGE)
    namespace.ip(*here, "link", "set", vm_settings.EXTERNAL_BRIDGE, "up")


def _vsctl(place: Place, *words: str) -> None:
    argv = ["ovs-vsctl", f"--db=unix:{vm_settings.switch(place)}", *words]
    databases.run(place, "ovs-vsctl", argv, os.environ)


def _env(place: Place) -> Mapping[str, str]:
    ovs, ovn = str(place.data / "ovs"), str(place.data / "ovn")
    return {"OVS_RUNDIR": ovs, "OVS_LOGDIR": ovs, "OVS_DBDIR": ovs, "OVN_RUNDIR": ovn, "OVN_LOGDIR": ovn}


def _accepts(path: Callable[[Place], Path]) -> Callable[[Place], bool]:
    def up(place: Place) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(ANSWER_PATIENCE)
            return probe.connect_ex(str(path(place))) == 0

    return up


def _inside(
    name: str, argv: Callable[[Place], Sequence[str]], up: Callable[[Place], bool], needs: tuple[str, ...] = ()
) -> Service:
    return Service(
        name=name,
        argv=lambda place: namespace.within(place.namespace, *argv(place)),
        env=_env,
        up=up,
        needs=needs,
        runs_in=lambda place: place.vms,
    )


def _database(name: str, file: str, path: Callable[[Place], Path]) -> Service:
    def argv(place: Place) -> Sequence[str]:
        stem = place.data / file
        control = stem.with_suffix(".ctl")
        return ("ovsdb-server", str(stem), f"--remote=punix:{path(place)}", f"--unixctl={control}", "-vconsole:warn")

    return _inside(name, argv, _accepts(path))


def _switch(place: Place) -> Sequence[str]:
    folder = place.data / "ovs"
    pid = folder / "ovs-vswitchd.pid"
    control = folder / "switch.ctl"
    socket = f"unix:{vm_settings.switch(place)}"
    return ("ovs-vswitchd", socket, f"--pidfile={pid}", f"--unixctl={control}", "-vconsole:warn")


def _northd(place: Place) -> Sequence[str]:
    return (
        "ovn-northd",
        f"--ovnnb-db=unix:{vm_settings.northbound(place)}",
        f"--ovnsb-db=unix:{vm_settings.southbound(place)}",
        f"--unixctl={place.data / 'ovn/northd.ctl'}",
        "-vconsole:warn",
    )


def _controller(place: Place) -> Sequence[str]:
    pid = place.data / "ovn/ovn-controller.pid"
    return ("ovn-controller", f"unix:{vm_settings.switch(place)}", f"--pidfile={pid}", "-vconsole:warn")


def _libvirtd(place: Place) -> Sequence[str]:
    folders = vm_settings.PRIVATE_FOLDERS
    files = {f"libvirt/{name}": f"/etc/{name}" for name in vm_settings.USERS}
    mounts = (
        f"mount --bind {shlex.quote(str(place.data / ours))} {there}" for ours, there in {**folders, **files}.items()
    )
    script = " && ".join((f"mkdir -p {' '.join(folders.values())}", *mounts, 'exec "$@"'))
    libvirtd = ("libvirtd", "--config", "/etc/libvirt/libvirtd.conf")
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *libvirtd)


def _gate(place: Place) -> Sequence[str]:
    return (sys.executable, "-m", "devstack.gate", place.namespace, *(str(place.ports[name]) for name in APIS))


def _opens(place: Place) -> bool:
    def attempt() -> bool:
        with socket.socket() as probe:
            probe.settimeout(ANSWER_PATIENCE)
            return probe.connect_ex((HOST, place.ports[APIS[-1]])) == 0

    return namespace.inside(place.namespace, attempt)


def _neutron_worker(name: str, program: str) -> Service:
    def argv(place: Place) -> Sequence[str]:
        files = (place.etc / "neutron" / each for each in ("neutron.conf", "ml2_conf.ini"))
        log = place.logs / f"{name}.log"
        return (place.program(program), *(f"--config-file={file}" for file in files), f"--log-file={log}")

    return Service(
        name=name,
        argv=argv,
        up=lambda _: True,
        needs=("keystone", "rabbit", "ovn-northbound", "ovn-southbound"),
        runs_in=lambda place: place.vms,
    )


SERVICES = (
    _database("ovs-database", "ovs/conf.db", vm_settings.switch),
    _database("ovn-northbound", "ovn/northbound.db", vm_settings.northbound),
    _database("ovn-southbound", "ovn/southbound.db", vm_settings.southbound),
    _inside("ovs-switch", _switch, _accepts(lambda place: place.data / "ovs/switch.ctl"), ("ovs-database",)),
    _inside(
        "ovn-northd",
        _northd,
        _accepts(lambda place: place.data / "ovn/northd.ctl"),
        ("ovn-northbound", "ovn-southbound"),
    ),
    _inside("ovn-controller", _controller, lambda _: True, ("ovs-switch", "ovn-southbound")),
    Service(
        name="gate",
        argv=_gate,
        env=lambda _: {"PYTHONPATH": str(ROOT)},
        up=_opens,
        runs_in=lambda place: place.vms,
    ),
    _inside("libvirt", _libvirtd, _accepts(vm_settings.libvirt), ("ovs-switch",)),
)
NEUTRON_WORKERS = (
    _neutron_worker("neutron-periodic", "neutron-periodic-workers"),
    _neutron_worker("neutron-ovn-maintenance", "neutron-ovn-maintenance-worker"),
)
NETWORK = tuple(service.name for service in SERVICES)
WORKERS = tuple(service.name for service in NEUTRON_WORKERS)
