"""Whatever a cloud answers is understood, or is an error in one sentence: a driver raises nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepool_ng.drivers import DriverError
from nodepool_ng.drivers.openstack.calls import Answer, Traits
from nodepool_ng.drivers.openstack.driver import OpenStack
from nodepool_ng.model.settings import Pool, PoolLabel, Provider
from tests.fuzz.inputs import almost, as_bytes, values

FUZZ = settings.get_profile("fuzz")
ADDRESS = {"addr": "192.0.2.7", "version": 4, "OS-EXT-IPS:type": "fixed"}
SERVER = {
    "id": "s-1",
    "name": "np0000000001",
    "status": "ACTIVE",
    "metadata": {"nodepool_node_id": "0000000001"},
    "addresses": {"public": [ADDRESS]},
    "flavor": {"vcpus": 2, "ram": 4096},
    "created": "2026-01-01T00:00:00Z",
    "fault": {"message": "No valid host was found"},
    "os-extended-volumes:volumes_attached": [],
}
LISTS = {
    "/servers/detail": ("servers", SERVER),
    "/flavors/detail": ("flavors", {"id": "1", "name": "small", "ram": 2048, "vcpus": 1}),
    "/networks": ("networks", {"id": "n-1", "name": "public", "router:external": True}),
    "/images": ("images", {"id": "i-1", "name": "base", "status": "active", "nodepool_upload_id": "1"}),
    "/os-availability-zone": ("availabilityZoneInfo", {"zoneName": "a", "zoneState": {"available": True}}),
    "/limits": ("limits", {"absolute": {"maxTotalInstances": 10}}),
}
RIGHT = {path: json.dumps({key: [entry]}).encode() for path, (key, entry) in LISTS.items()}
LABEL = PoolLabel(name="small", cloud_image="base", flavor_name="small")  # type: ignore[arg-type]
PROVIDER = Provider(
    name="east",  # type: ignore[arg-type]
    cloud="east",
    pools={"main": Pool(name="main", provider="east", labels={"small": LABEL})},  # type: ignore[arg-type,dict-item]
)


class Babble:
    """A door behind which a cloud answers what it likes."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers

    def connect(self) -> None:
        pass

    def close(self) -> None:
        pass

    def traits(self) -> Traits:
        return Traits()

    def has(self, service: str) -> bool:
        return True

    def microversion(self) -> tuple[int, int]:
        return 2, 79

    def call(self, service: str, method: str, path: str, **rest: Any) -> Answer:
        return Answer(subject=f"{method} {path}", status=200, body=self.answers.get(path, b"{}"), date="yesterday")


def _bodies(key: str, right: dict[str, Any]) -> st.SearchStrategy[bytes]:
    entries = st.lists(almost(right), max_size=3) if key != "limits" else almost(right)
    wrapped = st.builds(lambda found, more: {**more, key: found}, entries | values, st.just({}))
    return as_bytes(wrapped)


babble = st.fixed_dictionaries({path: _bodies(*known) for path, known in LISTS.items()}).map(Babble)


@settings(FUZZ)
@given(babble)
def test_a_list_is_understood_or_refused_in_a_sentence(door: Babble) -> None:
    driver = OpenStack(PROVIDER, door)
    said = []
    for ask in (
        lambda: driver.list_servers(None, 1e9),
        lambda: driver.capacity(1e9),
        lambda: driver.list_images(),
        lambda: driver.console("s-1"),  # type: ignore[arg-type]
    ):
        try:
            ask()
        except DriverError as error:
            said.append(str(error))
    assert all(said)


def test_a_body_nested_too_deeply_is_refused() -> None:
    door = Babble({**RIGHT, "/servers/detail": b'{"servers":' + b"[" * 200_000})
    with pytest.raises(DriverError, match="not what this API answers"):
        OpenStack(PROVIDER, door).list_servers(None, 1e9)


def test_a_server_that_makes_no_sense_does_not_vanish_from_a_list() -> None:
    servers = [SERVER, {**SERVER, "id": "s-2", "metadata": ["odd"]}]
    door = Babble({**RIGHT, "/servers/detail": json.dumps({"servers": servers}).encode()})
    with pytest.raises(DriverError, match="AttributeError"):  # a list with a hole would not be evidence
        OpenStack(PROVIDER, door).list_servers(None, 1e9)
