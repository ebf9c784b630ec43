"""The driver's verbs as conversations with a cloud."""

from dataclasses import replace

import pytest

from nodepool_ng.drivers import ImageOrder, Marks, Misconfigured, NoCapacity, Refused, ServerOrder, Unavailable
from nodepool_ng.drivers.openstack.calls import Traits
from nodepool_ng.drivers.openstack.driver import OpenStack
from nodepool_ng.drivers.openstack.networks import Access
from nodepool_ng.drivers.openstack.pace import Tokens, take
from nodepool_ng.drivers.openstack.refusal import BadRequest
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import ServerStatus
from nodepool_ng.model.settings import CloudImage, Pool, PoolLabel, Provider

CREATE = ("POST", "/servers")
LIST = ("GET", "/servers/detail")
DISK = PoolLabel(name="disk", diskimage="debian", min_ram=1024, networks=("inner",))
CLOUD = PoolLabel(name="cloud", cloud_image="base", flavor_name="large")
HUGE = PoolLabel(name="huge", diskimage="debian", min_ram=1 << 20)
VOLUME = PoolLabel(name="volume", diskimage="debian", min_ram=1, boot_from_volume=True)


def provider(*labels, **more):
    pool = Pool(name="main", provider="acme", labels={label.name: label for label in labels})
    return Provider(
        name="acme", cloud="acme", pools={"main": pool}, cloud_images={"base": CloudImage(name="base")}, **more
    )


def order(label=DISK, image="img-0"):
    return ServerOrder(
        name="np0000000001",
        marks=Marks(provider="acme", installation="i1", node="0000000001"),
        pool=Pool(name="main", provider="acme", labels={}),
        label=label,
        image=image,
        config_drive=None,
        zone=None,
    )


def server(name="np1", **more):
    return {"id": f"id-{name}", "name": name, "status": "ACTIVE", **more}


def test_capacity_says_what_there_is_and_what_each_label_needs(talk):
    capacity = OpenStack(provider(DISK, CLOUD, HUGE), talk).capacity(now=5.0)
    assert capacity.limits == Resources({"instances": 10, "ram": 51200, "volumes": 4, "volume-gb": 1000})
    assert capacity.zones == ("az1",)
    assert capacity.asked == 5.0
    assert capacity.labels["disk"].needs == Resources({"instances": 1, "cores": 1, "ram": 2048})
    assert capacity.labels["cloud"].needs == Resources({"instances": 1, "cores": 8, "ram": 8192})
    assert "1048576 MiB" in capacity.labels["huge"].broken
    assert [label for label, facts in capacity.labels.items() if facts.broken] == ["huge"]


def test_without_a_volume_service_there_is_no_room_for_volumes(talk):
    talk.missing = ("block-storage",)
    limits = OpenStack(provider(VOLUME), talk).capacity(now=0.0).limits
    assert (limits.amounts["volumes"], limits.amounts["volume-gb"]) == (0, 0)


def test_a_sick_volume_service_only_hurts_who_needs_it(talk):
    talk.answers["GET", "/volumes/detail"] = {"volumes": []}
    nova, _ = talk.answers["GET", "/limits"]
    talk.answers["GET", "/limits"] = [nova, Unavailable("cinder is down"), nova, Unavailable("cinder is down")]
    assert OpenStack(provider(DISK), talk).capacity(now=0.0).limits.amounts["volumes"] == 0
    with pytest.raises(Unavailable):
        OpenStack(provider(VOLUME), talk).capacity(now=0.0)


def test_zones_that_nobody_tells_are_left_to_nova(talk):
    talk.answers["GET", "/os-availability-zone"] = 403
    assert OpenStack(provider(DISK), talk).capacity(now=0.0).zones == ()


def test_the_newest_of_several_images_of_a_name_is_meant(talk):
    talk.answers["GET", "/images"] = {
        "images": [
            {"id": "old", "created_at": "2024-01-01T00:00:00Z"},
            {"id": "new", "created_at": "2025-01-01T00:00:00Z"},
        ]
    }
    OpenStack(provider(CLOUD), talk).create_server(order(CLOUD, image=None))
    assert talk.asked[-1][2]["server"]["imageRef"] == "new"


def test_a_name_may_be_an_id(talk):
    talk.answers["GET", "/images"] = {"images": []}
    talk.answers["GET", "/images/base"] = {"id": "base", "status": "active"}
    OpenStack(provider(CLOUD), talk).create_server(order(CLOUD, image=None))
    assert talk.asked[-1][2]["server"]["imageRef"] == "base"


def test_an_image_that_is_not_there_breaks_its_labels_only(talk):
    talk.answers["GET", "/images"] = {"images": []}
    talk.answers["GET", "/images/base"] = 404
    driver = OpenStack(provider(CLOUD, DISK), talk)
    labels = driver.capacity(now=0.0).labels
    assert "'base'" in labels["cloud"].broken
    assert labels["disk"].broken is None
    with pytest.raises(Misconfigured, match="'base'"):
        driver.create_server(order(CLOUD, image=None))


def test_a_create_asks_the_cloud_once_what_it_must_know(talk):
    driver = OpenStack(provider(DISK), talk)
    assert driver.create_server(order()) == "srv-1"
    assert driver.create_server(order()) == "srv-1"
    assert talk.verbs() == [("GET", "/flavors/detail"), ("GET", "/networks"), CREATE, CREATE]
    assert talk.asked[-1][2]["server"]["networks"] == [{"uuid": "net-in"}]
    assert talk.asked[-1][2]["server"]["imageRef"] == "img-0"


def test_a_network_that_is_not_there_is_named(talk):
    with pytest.raises(Misconfigured, match="label disk: the cloud has no network 'nowhere'"):
        OpenStack(provider(DISK), talk).create_server(order(replace(DISK, networks=("nowhere",))))


@pytest.mark.parametrize(
    ("error", "asks_again"),
    [(BadRequest("bad"), True), (Refused("no"), False), (NoCapacity("full"), False)],
)
def test_memory_is_dropped_when_the_cloud_finds_an_order_wrong(talk, error, asks_again):
    talk.answers[CREATE] = [error, {"server": {"id": "srv-2"}}]
    driver = OpenStack(provider(DISK), talk)
    with pytest.raises(type(error)):
        driver.create_server(order())
    talk.asked.clear()
    assert driver.create_server(order()) == "srv-2"
    assert (("GET", "/flavors/detail") in talk.verbs()) is asks_again


def test_a_lost_answer_is_called_that(talk):
    talk.answers[CREATE] = Unavailable("timeout")
    with pytest.raises(Unavailable, match="not known whether the server np0000000001 is being made"):
        OpenStack(provider(DISK), talk).create_server(order())


def test_an_answer_without_a_server_is_a_lost_answer(talk):
    talk.answers[CREATE] = {"surprise": 1}
    with pytest.raises(Unavailable, match="no 'server'"):
        OpenStack(provider(DISK), talk).create_server(order())


@pytest.mark.parametrize("answer", [204, 404])
def test_a_server_that_is_gone_is_deleted(talk, answer):
    talk.answers["DELETE", "/servers/srv-1"] = answer
    OpenStack(provider(DISK), talk).delete_server("srv-1")
    assert talk.verbs() == [("DELETE", "/servers/srv-1")]


def test_a_full_list_goes_through_all_pages(talk):
    talk.answers[LIST] = [
        {
            "servers": [server("np1")],
            "servers_links": [{"rel": "next", "href": "http://inside/v2.1/servers?marker=id-np1&limit=1"}],
        },
        {"servers": [server("np2")]},
    ]
    listing = OpenStack(provider(), talk).list_servers(None, now=9.0)
    assert [one.name for one in listing.servers] == ["np1", "np2"]
    assert (listing.full, listing.asked) == (True, 9.0)
    assert [query for method, path, query in talk.asked if (method, path) == LIST] == [
        {},
        {"marker": "id-np1", "limit": "1"},
    ]


def test_a_marker_that_vanished_starts_the_list_again(talk):
    link = [{"rel": "next", "href": "http://inside/v2.1/servers?marker=id-np1"}]
    talk.answers[LIST] = [{"servers": [server("np1")], "servers_links": link}, 400, {"servers": [server("np2")]}]
    assert [one.name for one in OpenStack(provider(), talk).list_servers(None, now=0.0).servers] == ["np2"]


def test_changes_are_asked_for_with_an_overlap(talk):
    talk.answers[LIST] = {"servers": [server(status="DELETED")]}
    listing = OpenStack(provider(), talk).list_servers(65.5, now=70.0)
    assert talk.asked[-1][2] == {"changes-since": "1970-01-01T00:01:00Z"}
    assert not listing.full
    assert listing.servers[0].status is ServerStatus.DELETED


def test_a_server_of_a_cell_that_is_down_is_what_it_was(talk):
    marks = {"nodepool_node_id": "0000000001"}
    stubs = [{"id": "id-np1", "status": "UNKNOWN"}, {"id": "stranger", "status": "UNKNOWN"}]
    talk.answers[LIST] = [{"servers": [server(metadata=marks)]}, {"servers": stubs}, {"servers": stubs}]
    driver = OpenStack(provider(), talk)
    driver.list_servers(None, now=0.0)
    for _ in range(2):
        known, stranger = driver.list_servers(None, now=1.0).servers
        assert (known.node, known.status) == ("0000000001", ServerStatus.OTHER)
        assert (stranger.id, stranger.node, stranger.status) == ("stranger", None, ServerStatus.OTHER)


def test_an_entry_that_is_still_the_same_is_the_same_server(talk):
    booting, up = server("np1", status="BUILD"), server("np2")
    lists = [[booting, up], [booting, up], [server("np1"), dict(up)], [server("np1"), server("np2", hostId="h2")]]
    talk.answers[LIST] = [{"servers": entries} for entries in lists]
    driver = OpenStack(provider(), talk)
    _, first, second, third = [driver.list_servers(since, now=9.0).servers for since in (None, 7.0, 8.0, 9.0)]
    assert [one.status for one in first] == [ServerStatus.BUILDING, ServerStatus.ACTIVE]
    assert [one.status for one in second] == [ServerStatus.ACTIVE, ServerStatus.ACTIVE]
    assert second[1] is first[1]
    assert third[0] is second[0]
    assert third[1].host_id == "h2"


def test_once_the_cloud_was_read_anew_entries_are_judged_anew(talk):
    entry = server(flavor={"id": "f-1"})
    talk.answers[LIST] = {"servers": [entry]}
    driver = OpenStack(provider(DISK), talk)
    (before,) = driver.list_servers(8.0, now=9.0).servers
    driver.capacity(now=9.0)
    (after,) = driver.list_servers(9.0, now=10.0).servers
    assert after is not before


def test_a_neutron_that_is_not_for_customers_is_done_without(talk):
    talk.answers["GET", "/networks"] = 403
    talk.answers[LIST] = {"servers": []}
    assert OpenStack(provider(), talk).list_servers(None, now=0.0).servers == ()


def test_a_neutron_that_is_down_is_waited_for(talk):
    talk.answers["GET", "/networks"] = 500
    with pytest.raises(Unavailable):
        OpenStack(provider(), talk).list_servers(None, now=0.0)


FLOATING = ("GET", "/floatingips")
OURS = {"id": "fip-1", "floating_ip_address": "192.0.2.9", "description": "nodepool_ng i1 server srv-1"}
THEIRS = {"id": "fip-2", "floating_ip_address": "192.0.2.8", "description": ""}


def test_a_floating_ip_is_made_for_the_newest_port_and_goes_with_the_server(talk):
    talk.answers[FLOATING] = [{"floatingips": [THEIRS]}, {"floatingips": [OURS, THEIRS]}]
    talk.answers["GET", "/ports"] = {
        "ports": [
            {"id": "p1", "network_id": "net-in", "created_at": "2025", "fixed_ips": [{"ip_address": "10.0.0.4"}]},
            {"id": "p2", "network_id": "net-in", "created_at": "2026", "fixed_ips": [{"ip_address": "10.0.0.5"}]},
            {"id": "p3", "network_id": "net-in", "created_at": "2027", "fixed_ips": [{"ip_address": "2001:db8::1"}]},
        ]
    }
    talk.answers["POST", "/floatingips"] = {"floatingip": OURS}
    talk.answers["DELETE", "/floatingips/fip-1"] = 204
    driver = OpenStack(provider(), talk)
    assert driver.attach_address("srv-1", "i1") == "192.0.2.9"
    assert talk.asked[-1][2] == {
        "floatingip": {
            "floating_network_id": "net-out",
            "port_id": "p2",
            "description": "nodepool_ng i1 server srv-1",
        }
    }
    talk.asked.clear()
    driver.delete_server("srv-1")
    assert talk.verbs() == [FLOATING, ("DELETE", "/floatingips/fip-1"), ("DELETE", "/servers/srv-1")]


def test_a_floating_ip_is_not_made_twice(talk):
    talk.answers[FLOATING] = {"floatingips": [OURS]}
    assert OpenStack(provider(), talk).attach_address("srv-1", "i1") == "192.0.2.9"


def test_clouds_without_floating_ips_say_so(talk):
    talk.traits_ = Traits(access=Access(floating=False))
    with pytest.raises(Misconfigured, match="floating"):
        OpenStack(provider(), talk).attach_address("srv-1", "i1")


def image(path, **more):
    marks = Marks(provider="acme", installation="i1", build="b1", upload="1")
    return ImageOrder(
        **{"name": "i", "marks": marks, "path": str(path), "format": "raw", "md5": "aa", "sha256": None, **more}
    )


def uploaded(talk, *looks, put=204):
    talk.answers["POST", "/images"] = {"id": "img-9", "status": "queued"}
    talk.answers["PUT", "/images/img-9/file"] = put
    talk.answers["GET", "/images/img-9"] = list(looks)
    talk.answers["DELETE", "/images/img-9"] = 204


def test_an_upload_is_streamed_and_looked_at_until_it_is_active(talk, tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    uploaded(talk, {"status": "saving"}, {"status": "active", "size": 5, "checksum": "aa"})
    sent = []
    assert OpenStack(provider(), talk).upload_image(image(tmp_path / "file"), sent.append) == "img-9"
    assert talk.asked[1] == ("PUT", "/images/img-9/file", b"12345")
    assert sent == [5]
    assert ("DELETE", "/images/img-9") not in talk.verbs()


@pytest.mark.parametrize(
    ("look", "put", "error"),
    [
        ({"status": "active", "size": 4, "checksum": "aa"}, 204, Refused),
        ({"status": "active", "size": 5, "checksum": "bb"}, 204, Refused),
        ({"status": "killed"}, 204, Refused),
        ({"status": "queued"}, 500, Unavailable),
        (Unavailable("timeout"), 204, Unavailable),
    ],
)
def test_a_failed_upload_leaves_nothing(talk, tmp_path, look, put, error):
    (tmp_path / "file").write_bytes(b"12345")
    uploaded(talk, look, put=put)
    with pytest.raises(error):
        OpenStack(provider(), talk).upload_image(image(tmp_path / "file"), lambda sent: None)
    assert talk.verbs()[-1] == ("DELETE", "/images/img-9")


def test_an_upload_ends_in_time(talk, tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    uploaded(talk, *[{"status": "saving"}] * 3)
    with pytest.raises(Unavailable, match="image-upload-timeout"):
        OpenStack(provider(image_upload_timeout=0.05), talk).upload_image(image(tmp_path / "file"), lambda sent: None)
    assert talk.verbs()[-1] == ("DELETE", "/images/img-9")


def test_there_must_be_something_to_upload(talk, tmp_path):
    (tmp_path / "empty").touch()
    for path in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(Refused, match=path.name):
            OpenStack(provider(), talk).upload_image(image(path), lambda sent: None)
    assert talk.asked == []


def test_image_tasks_are_refused_in_words(talk, tmp_path):
    talk.traits_ = Traits(image_tasks=True)
    with pytest.raises(Misconfigured, match="image_api_use_tasks"):
        OpenStack(provider(), talk).upload_image(image(tmp_path), lambda sent: None)


def test_images_are_listed_with_their_marks(talk):
    talk.traits_ = Traits(project="prj")
    talk.answers["GET", "/images"] = [
        {
            "images": [{"id": "1", "name": "a", "status": "active", "nodepool_build_id": "b1"}],
            "next": "/v2/images?marker=1",
        },
        {"images": [{"id": "2", "name": "b", "status": "queued"}]},
    ]
    ours, foreign = OpenStack(provider(), talk).list_images()
    assert (ours.id, ours.build, foreign.id, foreign.build) == ("1", "b1", "2", None)
    assert [query for _, _, query in talk.asked] == [{"owner": "prj"}, {"marker": "1"}]


def test_a_bucket_lets_one_second_of_calls_through_at_once():
    tokens = Tokens(2.0, 0.0)
    waits = []
    for _ in range(4):
        tokens, wait = take(tokens, 2.0, now=0.0)
        waits.append(wait)
    assert waits == [0.0, 0.0, 0.5, 1.0]
    assert take(tokens, 2.0, now=1000.0) == (Tokens(1.0, 1000.0), 0.0)
