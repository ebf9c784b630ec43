"""The product on the real services: Keystone, Placement, Glance, Nova, Neutron."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.place import default_folder
from nodepool_ng.model.settings import ZooKeeperSettings
from tests.support.daemons import Site
from tests.support.real_cloud import RealCloud, demand, missing, running
from tests.support.real_site import site_on


@pytest.fixture(scope="session")
def services() -> Iterator[RealCloud]:
    """The services, for the whole run. Where they cannot be had tests are skipped, but in continuous integration they
    fail."""
    demand(missing())
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
    with site_on(cloud, tmp_path, zookeeper, request) as made:
        yield made
