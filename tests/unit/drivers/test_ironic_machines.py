"""What Ironic's lists say about machines, and what machines are to each kind of label."""

from __future__ import annotations

from typing import Any

import pytest

from nodepool_ng.drivers import Marks, Misconfigured, ServerOrder
from nodepool_ng.drivers.ironic.bodies import OURS, config_drive, image_told, instance_patch, server_id
from nodepool_ng.drivers.ironic.health import Health
from nodepool_ng.drivers.ironic.kinds import Kind, beyond, limits, needs, uses
from nodepool_ng.drivers.ironic.machines import Lists, Wanted, addresses_of, can_be_had, servers_of
from nodepool_ng.drivers.ironic.states import MEANINGS, says_no_machine
from nodepool_ng.drivers.ironic.tending import needs_operator, over
from nodepool_ng.model.server import Addresses, Server, ServerStatus
from nodepool_ng.model.settings import CloudImage, ImageSource, Machine, Pool, PoolLabel

MARKS = {
    "nodepool_node_id": "0000000001",
    "nodepool_provider_name": "hall",
    "nodepool_pool_name": "main",
    "nodepool_ng_attempt_id": "a1",
    "nodepool_ng_installation_id": "i1",
}
SMALL, GOLD = Kind(resource_class="small"), Kind(resource_class="small", traits=frozenset({"CUSTOM_GOLD"}))
OWNED, BIG = Kind(resource_class="small", owner="us"), Kind(resource_class="big")
KINDS = (SMALL, GOLD, OWNED, BIG)


def machine(uuid: str = "m-1", state: str = "available", **more: Any) -> Any:
    return {
        "uuid": uuid,
        "name": f"name-of-{uuid}",
        "provision_state": state,
        "power_state": "power off",
        "resource_class": "small",
        "instance_uuid": None,
        **more,
    }


def allocation(uuid: str = "s-1", state: str = "active", node: str | None = "m-1", **more: Any) -> Any:
    return {"uuid": uuid, "state": state, "node_uuid": node, "resource_class": "small", "extra": MARKS, **more}


def lists(*rows: Any) -> Lists:
    return Lists(
        allocations={row["uuid"]: row for row in rows if "provision_state" not in row},
        machines={row["uuid"]: row for row in rows if "provision_state" in row},
    )


def read(*rows: Any, **wanted: Any) -> list[Server]:
    return list(servers_of(lists(*rows), Wanted(kinds=KINDS, address_of={}, **wanted)))


@pytest.mark.parametrize(
    ("state", "status", "step", "busy", "deleting"),
    [
        ("available", "building", True, False, False),
        ("deploying", "building", False, True, False),
        ("wait call-back", "building", False, False, False),
        ("active", "active", False, False, False),
        ("deploy failed", "failed", False, False, False),
        ("deleting", "other", False, True, True),
        ("error", "failed", False, False, True),
        ("rescue", "other", False, False, False),
        ("servicing", "other", False, True, False),
        ("what comes next", "other", False, False, False),
    ],
)
def test_every_state_of_a_machine_says_something_of_its_server(
    state: str, status: str, step: bool, busy: bool, deleting: bool
) -> None:
    (server,) = read(allocation(), machine(state=state, instance_uuid="s-1"))
    assert (server.id, server.status, server.node, server.attempt) == ("s-1", status, "0000000001", "a1")
    assert (server.step, server.busy, server.deleting) == (step, busy, deleting)


def test_the_table_has_a_row_for_each_state_that_holds_a_deployment() -> None:
    assert {"active", "deploying", "deleting", "error", "deploy failed"} <= MEANINGS.keys()


def test_an_allocation_without_a_machine_is_on_its_way_or_has_failed() -> None:
    (waits,) = read(allocation(state="allocating", node=None))
    assert (waits.status, waits.step) == (ServerStatus.BUILDING, False)
    (failed,) = read(allocation(state="error", node=None, last_error="Failed: no available nodes match the class x"))
    assert (failed.status, failed.no_capacity) == (ServerStatus.FAILED, True)
    (broken,) = read(allocation(state="error", node=None, last_error="Unexpected exception"))
    assert (broken.fault, broken.no_capacity) == ("Unexpected exception", False)


def test_a_machine_in_maintenance_is_not_waited_for_but_one_in_use_is_left_alone() -> None:
    aside = {"instance_uuid": "s-1", "maintenance": True, "maintenance_reason": "a disk"}
    (failed,) = read(allocation(), machine(**aside))
    assert (failed.status, failed.fault) == (
        ServerStatus.FAILED,
        "name-of-m-1 is available, in maintenance (a disk)",
    )
    (used,) = read(allocation(), machine(state="active", **aside))
    assert used.status is ServerStatus.ACTIVE


def test_an_allocation_whose_machine_was_undeployed_meanwhile_is_gone() -> None:
    (cleaned,) = read(allocation(), machine(state="cleaning"))
    assert (cleaned.id, cleaned.node, cleaned.returning) == ("m-1", None, True)


def test_a_deployment_without_its_allocation_is_known_by_its_marks() -> None:
    told = {"instance_info": {OURS: {"allocation": "s-1", **MARKS}}}
    server, room = read(machine(state="active", **told))
    assert (server.id, server.node, server.installation) == ("s-1", "0000000001", "i1")
    assert (room.id, room.returning, room.resources.amounts) == ("m-1/more", True, {"machines small": 1})
    (theirs,) = read(machine(state="active", instance_uuid="theirs", **told))
    assert (theirs.id, theirs.node) == ("m-1", None)
    assert read(machine(state="available", **told)) == []


@pytest.mark.parametrize("extra", [None, {}, {"nodepool_node_id": "1"}, {OURS: MARKS}])
def test_what_lacks_our_marks_is_somebody_elses(extra: Any) -> None:
    (server,) = read(allocation(extra=extra), machine(state="active", instance_uuid="s-1"))
    assert (server.id, server.provider, server.returning) == ("m-1", None, False)


def test_only_machines_that_were_counted_are_missing() -> None:
    rows = (machine(state="manageable"), machine("m-2", state="manageable"))
    assert {server.id for server in read(*rows)} == {"m-1", "m-2"}
    assert {server.id for server in read(*rows, counted={"m-2"})} == {"m-2"}
    assert [server.id for server in read(machine(), held={"m-1"})] == ["m-1"]
    assert read(machine(resource_class="unknown", state="active")) == []


@pytest.mark.parametrize(
    "more",
    [
        {"state": "manageable"},
        {"maintenance": True},
        {"power_state": None},
        {"retired": True},
        {"instance_uuid": "x"},
    ],
    ids=str,
)
def test_what_ironic_would_not_allocate_cannot_be_had(more: Any) -> None:
    assert can_be_had(machine())
    assert not can_be_had(machine(**more))


def test_a_label_takes_one_of_each_kind_that_has_all_its_machines() -> None:
    assert needs(SMALL, KINDS).amounts == {"instances": 1, "machines small": 1}
    gold = {"instances": 1, "machines small": 1, "machines small+CUSTOM_GOLD": 1}
    assert needs(GOLD, KINDS).amounts == gold
    assert uses(machine(traits=["CUSTOM_GOLD", "HW_X"]), KINDS).amounts == gold
    assert limits([machine(), machine("m-2", owner="us")], KINDS).amounts == {
        "instances": 2,
        "machines small": 2,
        "machines small+CUSTOM_GOLD": 0,
        "machines small of us": 1,
        "machines big": 0,
    }
    more = beyond(uses(machine(owner="us"), KINDS), needs(SMALL, KINDS))
    assert more.amounts == {"machines small of us": 1}


def test_a_machine_that_is_of_more_kinds_than_its_label_is_missing_from_those() -> None:
    server, more = read(allocation(), machine(state="active", instance_uuid="s-1", traits=["CUSTOM_GOLD"]))
    assert (server.id, more.id, more.returning) == ("s-1", "m-1/more", True)
    assert more.resources.amounts == {"machines small+CUSTOM_GOLD": 1}


@pytest.mark.parametrize(
    ("path", "ports", "addresses"),
    [
        ("name", (), Addresses(interface_ip="name-of-m-1")),
        ("extra.address", (), Addresses(interface_ip="192.0.2.7", public_ipv4="192.0.2.7", private_ipv4="192.0.2.7")),
        ("properties.net.v6", (), Addresses(interface_ip="2001:db8::1", public_ipv6="2001:db8::1")),
        (
            "network_data",
            (),
            Addresses(interface_ip="192.0.2.9", public_ipv4="192.0.2.9", private_ipv4="192.0.2.9"),
        ),
        (
            "name",
            ("2001:db8::2", "192.0.2.8"),
            Addresses(
                interface_ip="192.0.2.8", public_ipv4="192.0.2.8", private_ipv4="192.0.2.8", public_ipv6="2001:db8::2"
            ),
        ),
        ("extra.nothing", (), Addresses()),
        ("extra.address.deeper", (), Addresses()),
    ],
)
def test_an_address_is_found_where_the_configuration_says(path: str, ports: Any, addresses: Addresses) -> None:
    one = machine(
        extra={"address": "192.0.2.7"},
        properties={"net": {"v6": "2001:db8::1"}},
        network_data={"networks": [{"ip_address": "192.0.2.9/24"}]},
    )
    assert addresses_of(one, path, ports) == addresses


def failed(server: str, host: str = "m-1", status: ServerStatus = ServerStatus.FAILED) -> Server:
    return Server(id=server, name="", status=status, node="1", host_id=host)  # type: ignore[arg-type]


def test_a_machine_that_fails_in_a_row_is_held_until_an_operator_has_had_it() -> None:
    health, there = Health(2), {"m-1": machine()}
    health.saw([failed("s-1")], there)
    health.saw([failed("s-1")], there)
    assert not health.held
    health.saw([failed("s-2", status=ServerStatus.ACTIVE)], there)
    health.saw([failed("s-3")], there)
    assert not health.held
    health.saw([failed("s-4")], there)
    assert health.held == {"m-1"}
    health.saw([], {"m-1": machine(state="cleaning")})
    assert health.held == {"m-1"}
    health.saw([], {"m-1": machine(maintenance=True)})
    assert not health.held


def test_without_a_limit_no_machine_is_held() -> None:
    health = Health(0)
    for number in range(9):
        health.saw([failed(f"s-{number}")], {"m-1": machine()})
    assert not health.held


@pytest.mark.parametrize(
    ("mark", "seen", "answer"),
    [
        ({}, machine(state="clean failed"), False),
        ({"rescues": 0}, machine(state="clean failed", maintenance=True, fault="clean failure"), False),
        ({"rescues": 3}, machine(state="clean failed", maintenance=True, fault="clean failure"), True),
        ({"rescues": 0}, machine(state="clean failed", maintenance=True), True),
        ({"rescues": 1, "rescuing": True}, machine(state="manageable"), False),
        ({"rescues": 1}, machine(state="manageable"), True),
        ({"rescues": 3}, machine(state="cleaning"), False),
        ({"rescues": 3}, machine(state="clean failed", instance_uuid="x"), False),
    ],
)
def test_when_a_machine_is_left_to_an_operator(mark: Any, seen: Any, answer: bool) -> None:
    assert needs_operator(seen, mark, 3) is answer


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        (machine(), True),
        (machine(maintenance=True), False),
        (machine(state="cleaning"), False),
        (machine(state="active", instance_uuid="s-1"), False),
        (machine(state="active", instance_uuid="theirs"), True),
    ],
)
def test_a_mark_is_over_when_the_machine_can_be_had_or_is_anothers(seen: Any, answer: bool) -> None:
    assert over(seen, {"allocation": "s-1"}) is answer


def order(**label: Any) -> ServerOrder:
    return ServerOrder(
        name="np1",
        marks=Marks(provider="hall", installation="i1", node="1", attempt="a1"),  # type: ignore[arg-type]
        pool=Pool(name="main", provider="hall", labels={}),  # type: ignore[arg-type]
        label=PoolLabel(name="small", **label),  # type: ignore[arg-type]
        image=None,
        config_drive=None,
        zone=None,
    )


def test_an_attempt_has_one_id_for_ever() -> None:
    first = server_id("i1", "a1")  # type: ignore[arg-type]
    assert first == server_id("i1", "a1")  # type: ignore[arg-type]
    assert first != server_id("i1", "a2")  # type: ignore[arg-type]
    assert first != server_id("i2", "a1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "source", "found", "told"),
    [
        ("upload-1", None, None, {"image_source": "upload-1"}),
        (None, None, "glance-1", {"image_source": "glance-1"}),
        (
            None,
            ImageSource(url="http://i/a", checksum="00", disk_format="raw"),
            None,
            {
                "image_source": "http://i/a",
                "image_os_hash_algo": "sha256",
                "image_os_hash_value": "00",
                "image_disk_format": "raw",
            },
        ),
        (
            None,
            ImageSource(url="http://i/a", checksum="00", algorithm="md5"),
            None,
            {"image_source": "http://i/a", "image_checksum": "00"},
        ),
        (
            None,
            ImageSource(url="http://i/a", checksum="http://i/SHA256SUMS"),
            None,
            {"image_source": "http://i/a", "image_checksum": "http://i/SHA256SUMS"},
        ),
    ],
)
def test_an_image_is_named_as_ironic_wants_it(image: Any, source: Any, found: Any, told: Any) -> None:
    assert image_told(image, CloudImage(name="c", source=source), found) == told


def test_without_an_image_there_is_nothing_to_deploy() -> None:
    with pytest.raises(Misconfigured, match="no active image 'c'"):
        image_told(None, CloudImage(name="c"), None)


def test_what_a_partition_image_needs_goes_with_it() -> None:
    image = CloudImage(name="c", kernel="k-1", ramdisk="r-1")
    assert image_told(None, image, "g-1") == {"image_source": "g-1", "kernel": "k-1", "ramdisk": "r-1"}


def test_only_single_keys_of_a_machine_are_set_and_all_are_marked() -> None:
    wanted = Machine(resource_class="small", capabilities={"boot_mode": "uefi"}, root_device={"wwn": "1"}, root_gb=9)
    patch = instance_patch(order(), server_id("i1", "a1"), wanted, {"image_source": "x"})  # type: ignore[arg-type]
    told = {step["path"]: step["value"] for step in patch}  # type: ignore[index,call-overload]
    assert told.keys() == {
        "/instance_info/image_source",
        f"/instance_info/{OURS}",
        "/instance_info/display_name",
        "/instance_info/capabilities",
        "/instance_info/root_device",
        "/instance_info/root_gb",
        f"/extra/{OURS}",
    }
    assert told[f"/extra/{OURS}"]["nodepool_ng_installation_id"] == "i1"


def test_a_config_drive_has_what_is_configured_and_nothing_else() -> None:
    plain = config_drive(order(), server_id("i1", "a1"), Machine(resource_class="small"))  # type: ignore[arg-type]
    assert plain.keys() == {"meta_data"}
    wanted = Machine(resource_class="small", public_keys=("ssh-rsa A",), network_data={"links": []})
    full = config_drive(order(userdata="#!/bin/sh"), server_id("i1", "a1"), wanted)  # type: ignore[arg-type]
    assert (full["user_data"], full["network_data"]) == ("#!/bin/sh", {"links": []})


def test_the_words_of_ironic_for_no_machine_are_known() -> None:
    assert says_no_machine("Failed to process allocation 1: no available nodes match the resource class x.")
    assert not says_no_machine("Failed to process allocation 1: Unexpected exception")
