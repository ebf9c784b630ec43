"""The builder with the real disk-image-create and the smallest of our elements: from nothing to two clouds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import IMAGE, Yard
from tests.support.builders import yard as in_yard
from tests.support.daemons import Site, wait_for

ELEMENTS = Path(__file__).parents[2] / "elements"
BUILD_PATIENCE = 240.0  # seconds; the first build downloads

pytestmark = [
    pytest.mark.zookeeper,
    pytest.mark.daemons,
    pytest.mark.dib,
    pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root"),
    pytest.mark.timeout(360),
]


@pytest.fixture
def yard(place: Site) -> Iterator[Yard]:
    with in_yard(place) as made:
        yield made


def test_a_real_image_goes_into_two_clouds_and_leaves_nothing_else(yard: Yard, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    cache = os.environ.get("DIB_IMAGE_CACHE") or str(Path.home() / ".cache/image-create")
    yard.configure(
        elements_dir=str(ELEMENTS),
        elements=["ng-tiny"],
        **{"dib-cmd": "disk-image-create", "env-vars": {"DIB_IMAGE_CACHE": cache, "TMPDIR": str(scratch)}},
    )
    builder = yard.builder()
    wait_for(yard.in_service, "the image is in service", BUILD_PATIENCE)
    assert builder.stop() == 0
    (id,) = yard.builds()
    image = yard.images() / f"{IMAGE}-{id}.qcow2"
    assert 10e6 < image.stat().st_size < 30e6
    for name in ("north", "south"):
        (there,) = [one for one in yard.place.sim.region("acme", name).state().images if one["name"] != "base"]
        assert there["size"] == image.stat().st_size
        assert there["checksum"] == Path(f"{image}.md5").read_text().split()[0]
        assert there["disk_format"] == "qcow2"
    assert os.listdir(scratch) == []
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(tmp_path) in line]
