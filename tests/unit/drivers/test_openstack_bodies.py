"""What the cloud is sent."""

from base64 import b64decode
from dataclasses import replace

from nodepool_ng.drivers import ImageOrder, Marks, ServerOrder
from nodepool_ng.drivers.openstack.bodies import image_body, server_body
from nodepool_ng.model.settings import Pool, PoolLabel

MARKS = Marks(provider="acme", installation="i1", node="0000000001", pool="main", attempt="a1")
LABEL = PoolLabel(name="debian", diskimage="debian-12")
POOL = Pool(name="main", provider="acme", labels={"debian": LABEL})
ORDER = ServerOrder(
    name="np0000000001", marks=MARKS, pool=POOL, label=LABEL, image="img-1", config_drive=None, zone=None
)


def body(order=ORDER, networks=None, auto=True):
    return server_body(order, flavor="2", image="img-1", networks=networks, auto=auto)["server"]


def test_a_plain_server_is_sent_only_what_it_needs():
    assert body() == {
        "name": "np0000000001",
        "flavorRef": "2",
        "imageRef": "img-1",
        "networks": "auto",
        "min_count": 1,
        "max_count": 1,
        "metadata": {
            "groups": "acme,debian-12,debian",
            "nodepool_node_id": "0000000001",
            "nodepool_pool_name": "main",
            "nodepool_provider_name": "acme",
            "nodepool_ng_attempt_id": "a1",
            "nodepool_ng_installation_id": "i1",
        },
    }


def test_an_old_nova_is_not_told_to_choose_networks():
    assert "networks" not in body(auto=False)


def test_everything_that_is_configured_is_sent():
    label = replace(LABEL, key_name="root", userdata="#!/bin/sh\nécho")
    pool = replace(POOL, security_groups=("default", "ci"))
    sent = body(replace(ORDER, label=label, pool=pool, config_drive=True, zone="az1"), networks=["net-2", "net-1"])
    assert sent["key_name"] == "root"
    assert b64decode(sent["user_data"]).decode() == "#!/bin/sh\nécho"
    assert sent["security_groups"] == [{"name": "default"}, {"name": "ci"}]
    assert sent["config_drive"] is True
    assert sent["availability_zone"] == "az1"
    assert sent["networks"] == [{"uuid": "net-2"}, {"uuid": "net-1"}]


def test_no_config_drive_is_the_clouds_default():
    assert "config_drive" not in body(replace(ORDER, config_drive=False))


def test_marks_win_over_properties_and_these_over_groups():
    properties = {"nodepool_node_id": "stolen", "groups": "mine", "team": "qa"}
    metadata = body(replace(ORDER, properties=properties))["metadata"]
    assert (metadata["nodepool_node_id"], metadata["groups"], metadata["team"]) == ("0000000001", "mine", "qa")


def test_a_volume_is_made_from_the_image_and_goes_with_the_server():
    sent = body(replace(ORDER, label=replace(LABEL, boot_from_volume=True, volume_size=80)))
    assert "imageRef" not in sent
    assert sent["block_device_mapping_v2"] == [
        {
            "boot_index": 0,
            "uuid": "img-1",
            "source_type": "image",
            "destination_type": "volume",
            "volume_size": 80,
            "delete_on_termination": True,
        }
    ]


def test_an_image_is_private_and_says_whose_it_is():
    order = ImageOrder(
        name="debian-1",
        marks=Marks(provider="acme", installation="i1", build="b1", upload="0000000001"),
        path="/nowhere",
        format="qcow2",
        md5="aa",
        sha256=None,
        properties={"hw_disk_bus": "scsi", "min_ram": "512", "protected": "false", "n": 3, "none": None, "l": [1]},
    )
    assert image_body(order, {"agent": "no"}) == {
        "name": "debian-1",
        "disk_format": "qcow2",
        "container_format": "bare",
        "visibility": "private",
        "agent": "no",
        "hw_disk_bus": "scsi",
        "min_ram": 512,
        "protected": False,
        "n": "3",
        "l": "[1]",
        "owner_specified.openstack.md5": "aa",
        "owner_specified.openstack.sha256": "",
        "owner_specified.openstack.object": "images/debian-1",
        "nodepool_provider_name": "acme",
        "nodepool_ng_installation_id": "i1",
        "nodepool_build_id": "b1",
        "nodepool_upload_id": "0000000001",
    }
