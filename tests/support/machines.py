"""Virtual machines without KVM: an image is booted with a configuration drive, and logged in to."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest


@contextmanager
def booted(qcow2: Path, login: asyncssh.SSHKey, folder: Path, *, memory: int, name: str = "booted") -> Iterator[int]:
    """Boot an image, `memory` in MiB; yield the port on which its SSH answers. Its console goes to `folder`."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        pytest.skip("booting needs qemu-system-x86")
    meta = folder / "drive/openstack/latest/meta_data.json"
    meta.parent.mkdir(parents=True)
    key = login.export_public_key().decode()
    meta.write_text(json.dumps({"hostname": name, "public_keys": {"test": key}}))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    drive = f"driver=vvfat,dir={folder / 'drive'},label=config-2,if=virtio,read-only=on"
    machine = subprocess.Popen(
        [
            *(qemu, "-accel", "tcg", "-cpu", "max", "-m", str(memory), "-display", "none", "-nodefaults"),
            *("-serial", f"file:{folder / 'console'}"),
            *("-drive", f"file={qcow2},if=virtio,snapshot=on", "-drive", drive),
            *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{free}-:22"),
            *("-device", "virtio-net-pci,netdev=net"),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield int(free)
    finally:
        machine.kill()
        machine.wait()


async def ask(port: int, key: asyncssh.SSHKey, patience: float, question: str) -> str:
    """Log in within so many seconds, as soon as that is possible: QEMU takes connections before the machine does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            async with asyncssh.connect(
                "127.0.0.1", port, username="zuul", client_keys=[key], known_hosts=None, login_timeout=20
            ) as connection:
                return str((await connection.run(question, check=True)).stdout)
        except (OSError, asyncssh.Error):
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.5)
