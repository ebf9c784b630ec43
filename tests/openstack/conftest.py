"""The product on the real services: Keystone, Placement, Glance, Nova, Neutron."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.place import default_folder
from nodepool_ng.model.settings import ZooKeeperSettings
from tests.support.daemons import Site, site
from tests.support.real_cloud import RealCloud, missing, running


@pytest.fixture(scope="session")
def services() -> Iterator[RealCloud]:
    """The services, for the whole run. Where they cannot be had tests are skipped, but in continuous integration they
    fail."""
    if why := missing():
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with running(default_folder()) as cloud:
        yield cloud


@pytest.fixture
def cloud(services: RealCloud) -> Iterator[RealCloud]:
    """The services, with nothing in the pool's project before and after."""
    services.clean()
    yield services
    services.clean()


@pytest.fixture
def real_site(
    tmp_path: Path, zookeeper: ZooKeeperSettings, cloud: RealCloud, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """A site whose daemons talk to the real services; when its test fails, their logs are shown."""
    with site(tmp_path, zookeeper) as made:
        made.environment["OS_CLIENT_CONFIG_FILE"] = str(cloud.place.clouds_yaml)
        yield made
        report = getattr(request.node, "outcome_of_call", None)
        if report is not None and report.failed:
            print(made.logs("nodepool")[-8000:])
