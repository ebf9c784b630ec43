"""What is configured otherwise where servers are virtual machines: QEMU by libvirt, and a network by OVN."""

from collections.abc import Mapping
from pathlib import Path

from devstack.place import Place

Ini = Mapping[str, Mapping[str, object]]

ROUTERS = "ovn-router"
EXTERNAL_PHYSNET = "public"
EXTERNAL_BRIDGE = "br-ex"
LIBVIRTD: Mapping[str, str] = {
    "unix_sock_rw_perms": '"0700"',
    "auth_unix_rw": '"none"',
    "auth_unix_ro": '"none"',
}
QEMU: Mapping[str, str] = {
    "user": '"root"',
    "group": '"root"',
    "dynamic_ownership": "0",
    "remember_owner": "0",
    "security_driver": '"none"',
    "cgroup_controllers": "[]",
    "namespaces": "[]",
    # nobody runs virtlogd
    "stdio_handler": '"file"',
}
PRIVATE_FOLDERS: Mapping[str, str] = {
    "ovs": "/run/openvswitch",
    "libvirt/run": "/run/libvirt",
    "libvirt/etc": "/etc/libvirt",
    "libvirt/lib": "/var/lib/libvirt",
    "libvirt/log": "/var/log/libvirt",
    "libvirt/cache": "/var/cache/libvirt",
}
"""What libvirtd has in place of the machine's own folders: most of its paths cannot be configured, and it runs
ovs-vsctl, which looks for its socket where it always is."""
LIBVIRTS_USER = "libvirt-qemu"
USERS = ("passwd", "group")
"""Files of /etc that libvirtd sees with its own user added: it starts with no less, though QEMU runs as root."""
NOBODY = 65534


def switch(place: Place) -> Path:
    """Return the socket of Open vSwitch's database."""
    return place.data / "ovs/db.sock"


def northbound(place: Place) -> Path:
    """Return the socket of what Neutron orders."""
    return place.data / "ovn/northbound.sock"


def southbound(place: Place) -> Path:
    """Return the socket of what OVN makes of it."""
    return place.data / "ovn/southbound.sock"


def libvirt(place: Place) -> Path:
    """Return the socket of libvirtd."""
    return place.data / "libvirt/run/libvirt-sock"


def write_libvirts(place: Place) -> None:
    """Write libvirt's own files, and make the folders that it has in place of the machine's."""
    for folder in ("ovn", *PRIVATE_FOLDERS):
        (place.data / folder).mkdir(parents=True, exist_ok=True)
    for name, options in (("libvirtd", LIBVIRTD), ("qemu", QEMU)):
        lines = (f"{key} = {value}\n" for key, value in options.items())
        (place.data / f"libvirt/etc/{name}.conf").write_text("".join(lines))
    lines_of = (f"{LIBVIRTS_USER}:x:{NOBODY}:{NOBODY}::/nonexistent:/usr/sbin/nologin", f"{LIBVIRTS_USER}:x:{NOBODY}:")
    for name, line in zip(USERS, lines_of, strict=True):
        known = Path("/etc", name).read_text().splitlines()
        ours = [each for each in known if not each.startswith(f"{LIBVIRTS_USER}:")]
        (place.data / "libvirt" / name).write_text("\n".join([*ours, line, ""]))


def ml2(place: Place) -> Ini:
    return {
        "ml2": {
            "type_drivers": "flat,geneve",
            "tenant_network_types": "geneve",
            "mechanism_drivers": "ovn",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": EXTERNAL_PHYSNET},
        "ml2_type_geneve": {"vni_ranges": "1:10000", "max_header_size": 38},
        "securitygroup": {"enable_security_group": "true"},
        "ovn": {
            "ovn_nb_connection": f"unix:{northbound(place)}",
            "ovn_sb_connection": f"unix:{southbound(place)}",
            "ovn_metadata_enabled": "false",
            "enable_distributed_floating_ip": "true",
            # libvirt makes the taps, since it is in the namespace; Nova is not
            "ovs_create_tap": "false",
        },
        "ovs": {"ovsdb_connection": f"unix:{switch(place)}"},
    }


def compute(place: Place, host: Mapping[str, object]) -> Ini:
    """Return the settings of the host whose name and folder these are."""
    root = f"{place.program('privsep-helper')} --config-file {place.etc / 'nova/nova.conf'}"
    privileged = ("nova_sys_admin", "vif_plug_ovs_privileged", "vif_plug_linux_bridge_privileged", "privsep_osbrick")
    return {
        "DEFAULT": {
            **host,
            "compute_driver": "libvirt.LibvirtDriver",
            "instances_path": f"{host['state_path']}/instances",
            # a server that is ACTIVE has its port plugged in
            "vif_plugging_is_fatal": "true",
            "vif_plugging_timeout": 120,
            # there is no metadata service
            "force_config_drive": "true",
        },
        "libvirt": {
            "connection_uri": f"qemu+unix:///system?socket={libvirt(place)}",
            # no KVM: that /dev/kvm can be opened does not mean that a kernel boots with it
            "virt_type": "qemu",
            "cpu_mode": "none",
            # its IDE is what small kernels find the configuration drive on
            "hw_machine_type": "x86_64=pc",
            "images_type": "qcow2",
            "inject_partition": -2,
        },
        "os_vif_ovs": {"ovsdb_connection": f"unix:{switch(place)}"},
        **{
            name: {"helper_command": f"{root} --config-file {place.etc / 'nova' / str(host['host'])}.conf"}
            for name in privileged
        },
    }
