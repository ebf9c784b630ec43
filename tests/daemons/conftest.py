"""Whole daemons on a real ZooKeeper and the simulated clouds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodepool_ng.model.settings import ZooKeeperSettings
from tests.support.daemons import Site, site


@pytest.fixture
def place(tmp_path: Path, zookeeper: ZooKeeperSettings, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site; when its test fails, the daemons' logs are shown."""
    with site(tmp_path, zookeeper) as made:
        yield made
        report = getattr(request.node, "outcome_of_call", None)
        if report is not None and report.failed:
            print(made.logs("nodepool")[-8000:])
