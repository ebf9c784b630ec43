"""Fifty kills of a builder at random instants, and what is left on the disk after them: nothing."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nodepool_ng.builder import leftovers
from tests.support.builders import IMAGE, Yard
from tests.support.builders import yard as in_yard
from tests.support.daemons import Site, wait_for

KILLS = 50
LONGEST = 0.8  # seconds that a builder lives after what was waited for; a build takes half a second
SIGHTS = ("is running", f"Building {IMAGE}", f"Building {IMAGE}", f"Build {IMAGE}", f"Uploading {IMAGE}")
"""What a builder has come to, as its log tells, when its time begins to run."""
PATIENCE = 180.0  # seconds

pytestmark = [
    pytest.mark.zookeeper,
    pytest.mark.daemons,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and loop devices need root"),
    pytest.mark.timeout(900),
]

MESSY = """
# what diskimage-builder does that a kill may leave: a tree, a mount, a loop device on a file, processes
tree=$(mktemp -d)
mount -t tmpfs none "$tree"
truncate -s 8M "$TMP_DIR/image0.raw"
loop=$(losetup --show -f "$TMP_DIR/image0.raw")
trap 'losetup -d "$loop"; umount "$tree"; rm -rf "$tree"' EXIT
mkdir "$tree/more"
read -r -t 0.5 _ <> <(:) || true
"""


@pytest.fixture
def yard(place: Site) -> Iterator[Yard]:
    with in_yard(place) as made:
        yield made


def loops() -> set[str]:
    """Return the loop devices that are on a file of one of our builds."""
    return {loop.device for loop in leftovers.loops() if "nodepool-build-" in loop.path or loop.path == "/image0.raw"}


def came_to(log: Path, position: int, sight: str) -> bool:
    """Tell whether a log says something that it did not say when it was so long."""
    return log.exists() and sight.encode() in log.read_bytes()[position:]


def test_nothing_is_left_after_fifty_kills(yard: Yard) -> None:
    rng = random.Random(7)
    scratch = yard.place.folder / "scratch"
    scratch.mkdir()
    script = yard.place.folder / "dib stand-in"
    yard.configure(**{"env-vars": {"TMPDIR": str(scratch)}})
    head, body = script.read_text().split("\n", 1)
    script.write_text(f"{head}\n{MESSY}\n{body}")
    before = loops()
    for _ in range(KILLS):
        yard.request_build()
        log = yard.place.folder / "nodepool-builder.log"
        known = log.stat().st_size if log.exists() else 0
        builder = yard.builder()
        sight = rng.choice(SIGHTS)
        wait_for(partial(came_to, log, known, sight), sight, PATIENCE)
        # not an event that is waited for, but the instant that is drawn
        time.sleep(rng.uniform(0.0, LONGEST))
        assert builder.running
        builder.kill()
    builder = yard.builder()
    wait_for(lambda: not yard.requested(), "the last order is carried out", PATIENCE)
    wait_for(lambda: yard.in_service(min(len(yard.builds()), 2)), "nothing is half done", PATIENCE)
    wait_for(yard.settled, "clouds and disk hold what the records say", PATIENCE)
    assert builder.stop() == 0
    assert os.listdir(scratch) == []
    assert list((yard.images() / leftovers.RECORDS).iterdir()) == []
    assert loops() <= before
    assert str(yard.place.folder) not in Path("/proc/self/mountinfo").read_text()
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(script) not in processes
