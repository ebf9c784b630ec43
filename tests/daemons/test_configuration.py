"""What a launcher does with a configuration that it cannot use, all of it or in part."""

import subprocess

import pytest

from tests.daemons.test_launcher import clouds, provider
from tests.support.daemons import SCRIPTS, Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]


def validate(place: Site) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / "nodepool"), "-c", str(place.config), "config-validate"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=place.surroundings(), check=False)


def test_a_provider_without_driver_is_told_once_and_the_rest_runs(place: Site) -> None:
    place.start_clouds(clouds=clouds())
    place.configure(
        labels=[{"name": "small", "min-ready": 1}],
        providers=[provider("north"), {"name": "sky", "driver": "aws", "pools": []}],
    )
    line = next(number for number, text in enumerate(place.config.read_text().splitlines(), 1) if "aws" in text)
    judged = validate(place)
    assert judged.returncode == 1
    said = judged.stdout + judged.stderr
    assert f"nodepool.yaml:{line}:" in said
    assert "openstack, static, metastatic" in said
    assert "Traceback" not in said
    place.launcher()
    wait_for(lambda: place.ready(1), "the other provider has its node")
    assert place.logs().count("a driver that does not exist here: aws") == 1
