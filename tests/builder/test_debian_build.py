"""A real Debian, built once from where this machine's own apt gets its packages, and booted without KVM."""

import asyncio
import os
import shutil
from pathlib import Path

import asyncssh
import pytest

from nodepool_ng.builder import dib, preflight
from nodepool_ng.builder.sheet import packages_of
from nodepool_ng.model.ids import BuildId, ImageName
from tests.support.machines import ask, booted

ELEMENTS = Path(__file__).parents[2] / "elements"
MEMORY = 768  # MiB
BOOT_TIMEOUT = 240.0  # seconds, without KVM and beside other tests

pytestmark = [
    pytest.mark.dib,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="ng-debian needs mmdebstrap"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> dib.BuildOrder:
    folder = tmp_path_factory.mktemp("debian")
    made = dib.BuildOrder(
        image=ImageName("debian"),
        id=BuildId("d" * 32),
        elements=("ng-debian", "ng-boot-report"),
        formats=frozenset({"qcow2"}),
        images_dir=folder / "images",
        log=folder / "build.log",
        elements_dir=str(ELEMENTS),
        dib_cmd="disk-image-create -n",
        timeout=600.0,
    )
    assert preflight.complaints(made, preflight.look(made, os.environ)) == ()
    result = dib.start(made, os.environ).wait()
    assert result.succeeded, made.log.read_text()[-5000:]
    return made


def test_its_packages_are_recorded(order: dib.BuildOrder) -> None:
    packages = packages_of(Path(f"{order.output}.d"))
    assert packages is not None
    assert {"openssh-server", "sudo", "python3-minimal", "systemd"} <= packages.keys()
    assert 50e6 < Path(f"{order.output}.qcow2").stat().st_size < 400e6


def test_it_boots_and_is_what_a_job_expects(order: dib.BuildOrder, tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with booted(Path(f"{order.output}.qcow2"), key, tmp_path, memory=MEMORY) as port:
        told = asyncio.run(
            ask(port, key, BOOT_TIMEOUT, "hostname; sudo id -un; python3 -c 'print(7)'; cat /var/log/ng-boot-phases")
        ).split("\n")
    assert told[:3] == ["booted", "root", "7"]
    phases = {line.split()[1]: float(line.split()[2]) for line in told[3:] if line}
    assert phases.keys() >= {"local", "network"}
