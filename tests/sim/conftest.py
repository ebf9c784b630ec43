"""Simulated clouds on a free port, and the unmodified openstacksdk connected to them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import openstack
import pytest
from openstack.connection import Connection

from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import parse
from nodepool_ng.sim.http.serve import Running, running
from nodepool_ng.sim.http.site import build
from nodepool_ng.sim.http.ssh import prepared

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


SETTINGS = prepared(parse(CLOUDS), random.Random())


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(SETTINGS) as run:
        yield run


@pytest.fixture
def sim(served: Running) -> Running:
    """Return clouds in which nothing has happened yet; only the port is older than the test."""
    served.site.clouds = build(SETTINGS, served.url, time.time).clouds
    return served


Connect = Callable[[str], Connection]


@pytest.fixture
def connect(sim: Running, tmp_path) -> Iterator[Connect]:
    """Return a function that connects to an entry of the clouds.yaml the simulation writes."""
    path = tmp_path / "clouds.yaml"
    path.write_text(clouds_yaml(SETTINGS, sim.url))
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
