"""Simulated clouds on a free port, and the unmodified openstacksdk connected to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import openstack
import pytest
import yaml
from openstack.connection import Connection

from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import parse
from nodepool_ng.sim.http.serve import Running, running

# Nothing takes time, since the SDK looks only every five seconds whether a server has booted.
CLOUDS = """\
clouds:
  acme:
    regions:
      north: {boot: 0, delete: 0}
      south:
        boot: 0
        delete: 0
        networks:
          - {name: inner, cidrs: [10.0.0.0/16]}
          - {name: outer, cidrs: [198.51.100.0/24], external: true, shared: false}
      keyed: {boot: 0, delete: 0, ssh: true}
"""


@pytest.fixture
def sim() -> Iterator[Running]:
    with running(parse(CLOUDS)) as run:
        yield run


Connect = Callable[[str], Connection]


@pytest.fixture
def connect(sim: Running, tmp_path) -> Iterator[Connect]:
    """Return a function that connects to an entry of the clouds.yaml the simulation writes."""
    path = tmp_path / "clouds.yaml"
    path.write_text(clouds_yaml(parse(CLOUDS), sim.url))
    assert yaml.safe_load(path.read_text())
    config = openstack.config.OpenStackConfig(config_files=[str(path)], secure_files=[], vendor_files=[])
    connections = []

    def connected(entry: str) -> Connection:
        connection = Connection(config=config.get_one(cloud=entry))
        connections.append(connection)
        return connection

    yield connected
    for connection in connections:
        connection.session.session.close()
        connection.close()


@pytest.fixture
def north(connect: Connect) -> Connection:
    return connect("acme.north")


@pytest.fixture
def south(connect: Connect) -> Connection:
    return connect("acme.south")
