"""The demo on the real services, as `make demo CLOUD=openstack` runs it."""

import os
import subprocess
import sys

from devstack import process
from tests.support.daemons import wait_for
from tests.support.readme import CHECKOUT
from tests.support.real_cloud import MARKS, RealCloud

DEMO = (sys.executable, "-m", "nodepool_ng.demo", "--cloud", "openstack", "--once", "--ready-made")
PATIENCE = 600.0  # seconds

pytestmark = list(MARKS)


def test_the_demo_checks_itself_and_leaves_nothing_behind(cloud: RealCloud) -> None:
    theirs = cloud.image("somebodys")
    env = {**os.environ, "DEVSTACK_STATE": str(cloud.place.folder)}
    done = subprocess.run(
        DEMO,
        cwd=CHECKOUT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "All is well." in done.stdout
    assert "NOT OK" not in done.stdout
    assert not cloud.servers()
    wait_for(
        lambda: [image.id for image in cloud.ci.image.images(owner=cloud.project)] == [theirs], "its image is gone"
    )
    assert process.running(cloud.place, "nova") is not None, "what ran before goes on"
