"""The real disk-image-create on our own elements: a build that goes well, boots, and two that are killed half-way.

The image comes from packages of the machine's own distribution; see `etc/debian-packages.txt`. The first run
downloads them, later ones find them in `$DIB_IMAGE_CACHE`.
"""

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh
import pytest

from nodepool_ng.builder import dib, leftovers, preflight
from nodepool_ng.model.ids import BuildId, ImageName
from tests.support.machines import ask, booted

ELEMENTS = Path(__file__).parents[2] / "elements"
DAWDLE = Path(__file__).parent / "elements"
MEMORY = 128  # MiB, of the virtual machine
BOOT_TIMEOUT = 100.0  # seconds, without KVM and beside other tests

pytestmark = [
    pytest.mark.dib,
    pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root"),
    pytest.mark.timeout(300),
]


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build."""

    order: dib.BuildOrder
    result: dib.BuildResult

    @property
    def qcow2(self) -> Path:
        return Path(f"{self.order.output}.qcow2")


def order_in(folder: Path) -> dib.BuildOrder:
    """Order what the demo orders: nothing about mirrors, journals or file systems is said."""
    order = dib.BuildOrder(
        image=ImageName("ng-tiny"),
        id=BuildId("b" * 32),
        elements=("ng-tiny",),
        formats=frozenset({"qcow2", "raw"}),
        images_dir=folder / "images",
        log=folder / "build.log",
        elements_dir=str(ELEMENTS),
        timeout=240.0,
    )
    assert preflight.complaints(order, preflight.look(order, os.environ)) == ()
    return order


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    order = order_in(tmp_path_factory.mktemp("real build"))
    return Built(order, dib.start(order, os.environ).wait())


def test_every_format_is_there_with_its_checksums(built):
    assert built.result.why == "", built.order.log.read_text()[-5000:]
    assert built.result.litter == ()
    assert {file.format for file in built.result.files} == {"qcow2", "raw"}
    for file in built.result.files:
        content = file.path.read_bytes()
        assert file.md5 == hashlib.md5(content).hexdigest()
        assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_the_image_is_small_and_old_clouds_can_read_it(built):
    (qcow2,) = (file for file in built.result.files if file.format == "qcow2")
    assert 10e6 < qcow2.size < 30e6
    told = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", qcow2.path]))
    assert (told["format"], told["format-specific"]["data"]["compat"]) == ("qcow2", "0.10")


def test_nova_does_not_take_the_boot_sector_for_a_partition_table(built):
    """It refuses broken tables; that of a file system is told from one by its number of FATs and its media."""
    (raw,) = (file.path for file in built.result.files if file.format == "raw")
    with raw.open("rb") as disk:
        sector = disk.read(512)
    assert sector[510:] == b"\x55\xaa"
    assert (sector[0x10], sector[0x15]) == (2, 0xF8)


def test_the_log_tells_the_whole_story(built):
    lines = built.order.log.read_text().splitlines()
    assert any(line.endswith("Build completed successfully") for line in lines)
    assert lines[-1] == "Exit code: 0"


@pytest.mark.parametrize("grace", [0.2, 60.0])
def test_a_build_cancelled_half_way_gives_all_back(tmp_path, confined, pulse, grace):
    plain = order_in(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    order = replace(
        plain,
        elements=("ng-tiny", "ng-dawdle"),
        elements_dir=f"{ELEMENTS}:{DAWDLE}",
        env_vars={"TMPDIR": str(scratch), "PULSE": str(pulse.path)},
    )
    running = dib.start(order, os.environ, grace=grace)
    pulse.started()
    (loop,) = leftovers.loops_of(scratch, leftovers.loops(), leftovers.files_below(scratch))
    running.cancel()
    result = running.wait()
    assert (result.cancelled, result.litter, result.files) == (True, (), ())
    assert os.listdir(scratch) == []
    assert loop.file not in {other.file for other in leftovers.loops()}
    assert str(scratch) not in Path("/proc/self/mountinfo").read_text()
    assert pulse.stopped()


@pytest.fixture
def login() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def port(built: Built, login: asyncssh.SSHKey, tmp_path: Path) -> Iterator[int]:
    """Boot the image with a config drive; yield the port on which its SSH answers."""
    with booted(built.qcow2, login, tmp_path, memory=MEMORY) as free:
        yield free


def test_the_image_boots_and_takes_name_and_key_from_the_config_drive(port, login):
    answer = asyncio.run(ask(port, login, BOOT_TIMEOUT, "hostname; id -un; touch /home/zuul/x && echo writable"))
    assert answer.split() == ["booted", "zuul", "writable"]
