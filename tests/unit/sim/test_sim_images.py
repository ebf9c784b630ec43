"""What images of the cloud model do, as conversations with it."""

from __future__ import annotations

import pytest

from nodepool_ng.sim.images import Content, ImageStatus
from nodepool_ng.sim.refused import Refused
from nodepool_ng.sim.server import ServerAsk

BYTES = Content(size=3, md5="m", sha512="s")


def test_an_image_is_made_filled_used_and_deleted(make, me):
    region = make(image_activation=10, images=[])
    images = region.images
    image = images.create(me, {"name": "deb", "disk_format": "qcow2", "os_type": "linux"}, now=0.0)
    assert image.status(0.0) is ImageStatus.QUEUED
    assert (image.disk_format, image.properties) == ("qcow2", {"os_type": "linux"})

    fault = images.begin_upload(me, image.id, now=1.0)
    assert images.get(me, image.id, now=1.0).status(1.0) is ImageStatus.SAVING
    images.end_upload(image.id, BYTES, fault, now=2.0)
    assert images.get(me, image.id, now=2.0).status(11.9) is ImageStatus.SAVING

    with pytest.raises(Refused, match="not active"):
        region.servers.create(me, ServerAsk(name="n", flavor="small", image=image.id), now=11.9)
    region.servers.create(me, ServerAsk(name="n", flavor="small", image=image.id), now=12.0)

    images.delete(me, image.id, now=13.0)
    assert images.list(me, now=13.0) == ()
    assert [gone.deleted for gone in images.deleted] == [13.0]


def test_bytes_come_only_once(make, me):
    images = make().images
    image = images.create(me, {"name": "deb"}, now=0.0)
    fault = images.begin_upload(me, image.id, now=0.0)
    with pytest.raises(Refused) as refused:
        images.begin_upload(me, image.id, now=0.0)
    assert refused.value.status == 409
    images.abort_upload(image.id, now=1.0)
    assert images.get(me, image.id, now=1.0).status(1.0) is ImageStatus.QUEUED
    assert images.begin_upload(me, image.id, now=2.0) is fault is None


def test_an_image_deleted_during_its_upload_stays_deleted(make, me):
    images = make().images
    image = images.create(me, {"name": "deb"}, now=0.0)
    fault = images.begin_upload(me, image.id, now=0.0)
    images.delete(me, image.id, now=1.0)
    with pytest.raises(Refused):
        images.end_upload(image.id, BYTES, fault, now=2.0)
    assert image.id not in images.rows


@pytest.mark.parametrize(
    ("fate", "refused", "status"), [("stuck", False, ImageStatus.SAVING), ("answer-lost", True, ImageStatus.ACTIVE)]
)
def test_an_upload_meets_its_fate(make, me, fate, refused, status):
    images = make(faults=[{"call": "image.upload", "fate": fate}]).images
    image = images.create(me, {"name": "deb"}, now=0.0)
    fault = images.begin_upload(me, image.id, now=0.0)
    try:
        images.end_upload(image.id, BYTES, fault, now=1.0)
        assert not refused
    except Refused:
        assert refused
    assert images.get(me, image.id, now=900.0).status(900.0) is status


def test_changes_touch_fields_properties_and_tags(make, me):
    images = make().images
    image = images.create(me, {"name": "deb", "a": "1", "b": "2"}, now=0.0)
    changed = images.update(me, image.id, {"name": "bed", "a": None, "c": "3", "tags": ["t"]}, now=5.0)
    assert (changed.name, changed.properties, changed.tags, changed.updated) == ("bed", {"b": "2", "c": "3"}, ("t",), 5)


def test_public_images_are_seen_but_not_touched(make, me, other):
    images = make(images=[{"name": "base"}]).images
    private = images.create(other, {"name": "secret"}, now=0.0)
    (base,) = images.list(me, now=0.0)
    with pytest.raises(Refused) as refused:
        images.delete(me, base.id, now=0.0)
    assert refused.value.status == 403
    with pytest.raises(Refused) as refused:
        images.get(me, private.id, now=0.0)
    assert refused.value.status == 404


def test_protected_images_stay(make, me):
    images = make().images
    image = images.create(me, {"name": "deb", "protected": True}, now=0.0)
    with pytest.raises(Refused, match="protected"):
        images.delete(me, image.id, now=1.0)
