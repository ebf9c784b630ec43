"""The simulated OpenStack answers as the real one does: the same calls to both, and the answers compared."""

from collections.abc import Iterator
from pathlib import Path

import openstack.config
import openstack.connection
import pytest

from nodepool_ng.drivers.openstack.refusal import refusal
from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import parse
from nodepool_ng.sim.http.serve import running
from tests.support.real_cloud import MARKS, RealCloud
from tests.support.transcript import Talk, differences, lacks, play

CLOUD = """\
clouds:
  acme:
    regions:
      north:
        boot: 0.1
        delete: 0.3
        zones: [az1, az2, az3]
        flavors: [{name: small, vcpus: 1, ram: 512, disk: 1}]
        images: [{name: base}]
        networks:
          - {name: private, cidrs: [10.99.0.0/16]}
          - {name: public, cidrs: [10.98.0.0/16], external: true, shared: false}
"""
FAKE_HOSTS = ".status is 'ACTIVE' instead of 'DOWN'"
"""Ports of fake hosts stay down, since no agent plugs them, and so do floating IPs on them; servers are up for all
that."""
SCHEMA = ("Invalid input", "does not match schema", "is a required property", "The request lacks", "Invalid time")
"""Complaints about the form of a request, whose words come from a library for JSON schemas: only that they are made is
compared."""

pytestmark = list(MARKS)


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Talk]:
    settings = parse(CLOUD)
    with running(settings) as run:
        (tmp_path / "sim-clouds.yaml").write_text(clouds_yaml(settings, run.url))
        files = [str(tmp_path / "sim-clouds.yaml")]
        config = openstack.config.OpenStackConfig(config_files=files, secure_files=[], vendor_files=[])
        region = run.client.region("acme", "north")
        limits: dict[str, int] = {}

        def limit(**more: int) -> None:
            limits.update(more)
            region.change(quota=limits)

        connection = openstack.connection.Connection(config=config.get_one(cloud="acme"))
        yield Talk(connection, limit)
        connection.session.session.close()
        connection.close()


def test_both_say_the_same(cloud: RealCloud, simulated: Talk, tmp_path: Path) -> None:
    cloud.image("base")
    real = Talk(cloud.ci, cloud.quota)
    play(real, tmp_path)
    play(simulated, tmp_path)
    wrong = []
    for step, theirs in real.said.items():
        ours = simulated.said[step]
        if theirs.status != ours.status:
            wrong.append(f"{step}: {theirs.status} ({theirs.text}), but simulated {ours.status} ({ours.text})")
            continue
        wrong += [f"{step}: {each}" for each in differences(theirs.shape, ours.shape) if not each.endswith(FAKE_HOSTS)]
        wrong += [f"{step}: simulated without {each}" for each in lacks(theirs.shape, ours.shape)]
        if theirs.status >= 400:
            one, other = (type(refusal("", said.status, said.text)) for said in (theirs, ours))
            assert one is other, step
        if theirs.text != ours.text and not any(words in theirs.text for words in SCHEMA):
            wrong.append(f"{step}: {theirs.text!r}, but simulated {ours.text!r}")
    assert not wrong, "\n".join(wrong)
