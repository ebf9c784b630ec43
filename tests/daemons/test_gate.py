"""The gate before service with whole daemons: real ZooKeeper, simulated clouds whose servers answer SSH, a stand-in for
disk-image-create."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import IMAGE, Yard
from tests.support.builders import yard as in_yard
from tests.support.daemons import SCRIPTS, Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(240)]


@pytest.fixture
def yard(place: Site) -> Iterator[Yard]:
    # keys of other types are the same for all servers: making them takes too long
    ssh = {"boot": 0.5, "ssh": {"key_per_server": True, "keys": ["ssh-ed25519"]}}
    with in_yard(place, {"acme": {"defaults": ssh, "regions": {"north": {}, "south": {}}}}) as made:
        yield made


def configure(yard: Yard, **image: object) -> None:
    """One image with a gate, and a label that boots from it in each region."""
    ports = dict(re.findall(r"ssh of acme/(\S+) on port (\d+)", yard.place.logs("nodepool-sim")))
    label = {"name": "small", "diskimage": IMAGE, "flavor-name": "small"}
    providers = [
        {
            "name": name,
            "cloud": "acme",
            "region-name": name,
            "diskimages": [{"name": IMAGE, "connection-port": int(ports[name])}],
            "launch-retries": 1,
            "pools": [{"name": "main", "max-servers": 5, "labels": [label]}],
        }
        for name in ("north", "south")
    ]
    yard.configure(more={"labels": [{"name": "small"}], "providers": providers}, gate=True, **image)


def nodepool(yard: Yard, *arguments: str) -> str:
    command = [str(SCRIPTS / "nodepool"), "-c", str(yard.place.config), *arguments]
    done = subprocess.run(
        command, env=yard.place.surroundings(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def gates(yard: Yard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(nodepool(yard, "image-gates", IMAGE, "--format", "json"))
    return found


def states(yard: Yard) -> list[tuple[str, str, bool]]:
    """Return the standing of every upload, by provider, the newest first."""
    return [(row["provider"], str(row["gate"]), row["in_service"]) for row in gates(yard)]


def test_a_new_upload_comes_into_service_when_a_canary_has_come_up_from_it(yard: Yard) -> None:
    configure(yard)
    yard.builder()
    wait_for(lambda: len(gates(yard)) == 2, "the image is uploaded")
    assert [row[1:] for row in states(yard)] == [("waiting", False)] * 2
    launcher = yard.place.launcher()
    wait_for(lambda: [row[1:] for row in states(yard)] == [("passed", True)] * 2, "its canaries came up")
    wait_for(lambda: not yard.place.nodes(), "they are gone")
    assert all(0 < row["seconds"] < 30 for row in gates(yard))
    assert "Recording" not in launcher.log.read_text()


def test_one_whose_canary_fails_stays_out_with_reason_and_console_and_can_be_rolled_back(yard: Yard) -> None:
    configure(yard)
    yard.builder()
    yard.place.launcher()
    wait_for(lambda: [row[1:] for row in states(yard)] == [("passed", True)] * 2, "the first build is in service")
    ((first, _),) = yard.builds().items()

    configure(yard, check="sh -c 'echo no python on $NODEPOOL_HOST; exit 3'")
    wait_for(lambda: "The configuration changed" in yard.place.logs("nodepool-launcher"), "the check is in force")
    yard.another_build(2)
    wait_for(lambda: [row[1] for row in states(yard)].count("failed") == 2, "its canaries fail")
    assert sorted(states(yard)) == [
        ("north", "failed", False),
        ("north", "passed", True),
        ("south", "failed", False),
        ("south", "passed", True),
    ]
    (why,) = {re.sub(r"127\S+", "HOST", row["why"]) for row in gates(yard) if row["gate"] == "failed"}
    assert why == "its check ended with exit code 3: no python on HOST"
    assert {row["build"] for row in gates(yard) if row["in_service"]} == {first}

    nodepool(yard, "image-rollback", IMAGE, "--provider", "north", "--undo")
    assert states(yard)[0] == ("north", "passed", True)
    nodepool(yard, "image-rollback", IMAGE, "--provider", "north")
    assert states(yard)[0] == ("north", "withdrawn", False)
    assert states(yard)[1] == ("north", "passed", True)
    assert {row["build"] for row in gates(yard) if row["in_service"]} == {first}
    assert len(yard.uploads()) == 4, "nothing was uploaded once more"


def test_an_image_with_host_keys_in_it_stays_out(place: Site) -> None:
    clouds = {"acme": {"defaults": {"boot": 0.5, "ssh": True}, "regions": {"north": {}, "south": {}}}}
    with in_yard(place, clouds) as yard:
        configure(yard)
        yard.builder()
        yard.place.launcher()
        wait_for(lambda: [row[1:] for row in states(yard)] == [("passed", True)] * 2, "the first build is in service")
        yard.another_build(2)
        wait_for(lambda: [row[1] for row in states(yard)].count("failed") == 2, "the second one shows the same keys")
        assert all("part of the image" in row["why"] for row in gates(yard) if row["gate"] == "failed")
