#!/usr/bin/env python3
"""Take name, SSH keys and network from OpenStack's configuration drive, at every boot and before the network is up.

Only what the standard library has is used. A drive that is not there, or that cannot be understood, leaves the image
as it is: addresses by DHCP and by router advertisement, and the keys that are in it.
"""

import ipaddress
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

LABELS = ("config-2", "CONFIG-2")
MOUNT = Path("/run/ng-config-drive")
NETWORKS = Path("/run/systemd/network")


def networks(told):
    """Return files for systemd-networkd by name, of what `network_data.json` tells."""
    servers = [one["address"] for one in told.get("services") or () if one.get("type") == "dns"]
    files = {}
    for number, link in enumerate(told.get("links") or ()):
        mac = link.get("ethernet_mac_address")
        if not mac:
            continue
        mine = [one for one in told.get("networks") or () if one.get("link") == link.get("id")]
        lines = ["[Match]", f"MACAddress={mac}", "", "[Link]"]
        if link.get("mtu"):
            lines.append(f"MTUBytes={int(link['mtu'])}")
        lines += ["", "[Network]", *_addresses(mine), *(f"DNS={one}" for one in servers), ""]
        for route in (one for net in mine for one in _routes(net)):
            lines += ["[Route]", *route, ""]
        files[f"10-ng-{number}.network"] = "\n".join(lines) + "\n"
    return files


def _addresses(mine):
    kinds = {str(one.get("type")) for one in mine}
    four = any(kind.startswith("ipv4_dhcp") for kind in kinds)
    six = any("dhcpv6" in kind or kind.startswith("ipv6_dhcp") for kind in kinds)
    static_six = "ipv6" in kinds
    yield f"DHCP={'yes' if four and six else 'ipv4' if four else 'ipv6' if six else 'no'}"
    yield f"IPv6AcceptRA={'no' if static_six else 'yes'}"
    yield "IPv6PrivacyExtensions=no"
    for one in mine:
        if one.get("type") in ("ipv4", "ipv6") and one.get("ip_address"):
            yield f"Address={_with_prefix(one['ip_address'], one.get('netmask'))}"


def _with_prefix(address, netmask):
    if "/" in address or not netmask:
        return address
    if ":" not in netmask:
        return f"{address}/{ipaddress.ip_network(f'0.0.0.0/{netmask}').prefixlen}"
    return f"{address}/{bin(int(ipaddress.ip_address(netmask))).count('1')}"


def _routes(net):
    for route in net.get("routes") or ():
        if route.get("gateway"):
            yield [
                f"Gateway={route['gateway']}",
                f"Destination={_with_prefix(route.get('network', '::'), route.get('netmask'))}",
                "GatewayOnLink=yes",
            ]


def keys(told):
    """Return the public keys that `meta_data.json` tells, once each."""
    found = list((told.get("public_keys") or {}).values())
    found += [one.get("data", "") for one in told.get("keys") or () if one.get("type") == "ssh"]
    return list(dict.fromkeys(key.strip() for key in found if key and key.strip()))


def authorize(home, wanted, owner):
    """Add keys to those that let somebody log in."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "authorized_keys"
    there = file.read_text().splitlines() if file.exists() else []
    missing = [key for key in wanted if key not in there]
    file.write_text("".join(f"{line}\n" for line in [*there, *missing]))
    file.chmod(0o600)
    for path in (folder, file):
        os.chown(path, *owner)


def drive():
    """Return the device of the configuration drive, if there is one."""
    for label in LABELS:
        path = Path("/dev/disk/by-label") / label
        if path.exists():
            return path
    return None


def main():
    device = drive()
    if device is None:
        print("ng-config-drive: there is none")
        return
    MOUNT.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "ro", str(device), str(MOUNT)], check=True)
    try:
        latest = MOUNT / "openstack/latest"
        told = json.loads((latest / "meta_data.json").read_text())
        network = latest / "network_data.json"
        files = networks(json.loads(network.read_text())) if network.exists() else {}
    finally:
        subprocess.run(["umount", str(MOUNT)], check=True)
    NETWORKS.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (NETWORKS / name).write_text(text)
    if name := (told.get("hostname") or told.get("name")):
        Path("/etc/hostname").write_text(f"{name}\n")
        subprocess.run(["hostname", name], check=True)
    user = Path("/etc/sudoers.d/50-ng-node").read_text().split()[0]
    for one in ("root", user):
        known = pwd.getpwnam(one)
        authorize(Path(known.pw_dir), keys(told), (known.pw_uid, known.pw_gid))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError, AttributeError, TypeError, subprocess.SubprocessError) as error:
        sys.exit(f"ng-config-drive: {error}")
