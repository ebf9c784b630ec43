"""Real virtual machines for tests: devstack/'s services with a network of their own, and ways to reach into it."""

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncssh

from devstack import catalogue, namespace
from devstack.place import HOST, ROOT, default_folder
from nodepool_ng.model.node import Node
from tests.support import real_cloud
from tests.support.daemons import SCRIPTS, Daemon, Site, wait_for
from tests.support.real_cloud import RealCloud
from tests.support.real_site import IMAGE, PROVIDER

PROGRAMS = (
    *("ip", "nsenter", "ovs-vswitchd", "ovn-northd", "ovn-controller", "libvirtd", "qemu-system-x86_64"),
    *("genisoimage", "gcc", "pkg-config"),
)
ELEMENTS = ROOT / "elements"
KEY = "tests"
LABEL = "machine"
BOOT_TIMEOUT = 300  # seconds
USER = "zuul"
SSH_PORT = 22
LOGIN_TIMEOUT = 60.0  # seconds; without KVM, two machines beside a whole cloud on two cores


def missing() -> str | None:
    """Return why there can be no virtual machines; None when there can."""
    path = f"/usr/sbin:/sbin:{os.environ.get('PATH', os.defpath)}"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"there is no {', '.join(absent)}: .ci/setup packages vms"
    if os.geteuid() != 0:
        return "a network namespace and building images need root"
    return real_cloud.missing()


@contextlib.contextmanager
def running() -> Iterator[RealCloud]:
    """Have the services up, in a folder of their own, installed where those with fake hosts are."""
    above = default_folder()
    folder = above.with_name(f"{above.name}-vms")
    with real_cloud.running(folder, ("nova",), ("--vms", "--venv", str(above / "venv"))) as cloud:
        yield cloud


def key_pair(cloud: RealCloud) -> asyncssh.SSHKey:
    """Give the cloud a new key, which Nova hands to servers; return it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    cloud.ci.compute.create_keypair(name=KEY, public_key=key.export_public_key().decode())
    return key


def configure(site: Site) -> None:
    """Write nodepool.yaml: the tiny image, really built, and servers of it on request, two at most."""
    label = {"name": LABEL, "diskimage": IMAGE, "flavor-name": "small", "key-name": KEY}
    site.configure(
        **{
            "elements-dir": str(ELEMENTS),
            "images-dir": str(site.folder / "images"),
            "build-log-dir": str(site.folder / "logs"),
            "labels": [{"name": LABEL, "min-ready": 0}],
            "diskimages": [{"name": IMAGE, "elements": ["ng-tiny"], "username": USER, "env-vars": _environment(site)}],
            "providers": [
                {
                    "name": PROVIDER,
                    "cloud": catalogue.FLOATING,
                    "boot-timeout": BOOT_TIMEOUT,
                    "launch-timeout": BOOT_TIMEOUT,
                    "diskimages": [{"name": IMAGE}],
                    "pools": [
                        {"name": "main", "max-servers": 2, "security-groups": [catalogue.SSH], "labels": [label]}
                    ],
                }
            ],
        }
    )


def _environment(site: Site) -> dict[str, str]:
    """Return what disk-image-create works with: packages are kept for all, everything else goes with the test."""
    scratch = site.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return {"DIB_IMAGE_CACHE": str(Path.home() / ".cache/image-create"), "TMPDIR": str(scratch)}


def launcher(site: Site, cloud: RealCloud) -> Daemon:
    """Start a launcher where servers can be reached, and the way from there to ZooKeeper."""
    name = cloud.place.namespace
    port = int(site.zookeeper.hosts[0].rpartition(":")[2])
    site.run([sys.executable, "-m", "devstack.gate", name, str(port)], "gate", {"PYTHONPATH": str(ROOT)})

    def opened() -> bool:
        with namespace.inside(name, socket.socket) as probe:
            return probe.connect_ex((HOST, port)) == 0

    wait_for(opened, "ZooKeeper can be reached in the namespace")
    argv = (str(SCRIPTS / "nodepool-launcher"), "-c", str(site.config), "-d")
    return site.run([*namespace.within(name, *argv)], "nodepool-launcher")


def logged_in(cloud: RealCloud, node: Node, key: asyncssh.SSHKey, command: str) -> str:
    """Run a command on a node and return what it prints; only a host key of the node's record is believed."""
    known = asyncssh.import_known_hosts("".join(f"{node.interface_ip} {each}\n" for each in node.host_keys))
    address = (str(node.interface_ip), SSH_PORT)

    def reach() -> socket.socket:
        return socket.create_connection(address, LOGIN_TIMEOUT)

    async def ask(wire: socket.socket) -> str:
        async with asyncssh.connect(
            sock=wire,
            host=address[0],
            username=USER,
            client_keys=[key],
            known_hosts=known,
            login_timeout=LOGIN_TIMEOUT,
        ) as connection:
            return str((await connection.run(command, check=True)).stdout)

    wire = namespace.inside(cloud.place.namespace, reach)
    wire.setblocking(False)
    return asyncio.run(ask(wire))
