"""Choosing flavors, and what labels cost."""

import pytest

from nodepool_ng.drivers.openstack.labels import choose_flavor, dearest, facts_of, flavors_of
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.server import LabelFacts
from nodepool_ng.model.settings import PoolLabel

FLAVORS = flavors_of(
    [
        {"id": "4", "name": "gpu.large", "ram": 8192, "vcpus": 16},
        {"id": "3", "name": "b.large", "ram": 8192, "vcpus": 8},
        {"id": "2", "name": "a.medium", "ram": 4096, "vcpus": 4},
        {"id": "1", "name": "b.small", "ram": 2048, "vcpus": 2},
    ]
)


def label(**more):
    return PoolLabel(name="wanted", diskimage="image", **more)


@pytest.mark.parametrize(
    ("more", "chosen"),
    [
        ({"min_ram": 1}, "b.small"),
        ({"min_ram": 2048}, "b.small"),
        ({"min_ram": 2049}, "a.medium"),
        ({"min_ram": 8192}, "b.large"),
        ({"min_ram": 8193}, None),
        ({"min_ram": 2048, "flavor_name": "large"}, "b.large"),
        ({"min_ram": 2048, "flavor_name": "gpu"}, "gpu.large"),
        ({"min_ram": 2048, "flavor_name": "tiny"}, None),
        ({"flavor_name": "a.medium"}, "a.medium"),
        ({"flavor_name": "3"}, "b.large"),
        ({"flavor_name": "large"}, None),
        ({}, None),
    ],
)
def test_a_flavor_is_chosen(more, chosen):
    flavor = choose_flavor(FLAVORS, label(**more))
    assert (flavor.name if flavor else None) == chosen


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"min_ram": 9999}, "the cloud has no flavor with at least 9999 MiB of memory"),
        ({"flavor_name": "x"}, "the cloud has no flavor 'x'"),
        (
            {"min_ram": 1, "flavor_name": "x"},
            "the cloud has no flavor with 'x' in its name and at least 1 MiB of memory",
        ),
    ],
)
def test_a_label_without_a_flavor_says_so(more, sentence):
    assert facts_of(label(**more), FLAVORS, {}).broken == sentence


def test_a_label_needs_its_flavor_and_its_volume():
    assert facts_of(label(min_ram=1), FLAVORS, {}) == LabelFacts(
        needs=Resources({"instances": 1, "cores": 2, "ram": 2048})
    )
    assert facts_of(label(min_ram=1, boot_from_volume=True, volume_size=80), FLAVORS, {}).needs == Resources(
        {"instances": 1, "cores": 2, "ram": 2048, "volumes": 1, "volume-gb": 80}
    )


@pytest.mark.parametrize(("images", "broken"), [({"c": "id"}, False), ({"c": None}, True), ({}, True)])
def test_a_cloud_image_must_be_there(images, broken):
    facts = facts_of(PoolLabel(name="wanted", cloud_image="c", min_ram=1), FLAVORS, images)
    assert (facts.broken is not None) is broken


def test_of_two_pools_the_dearer_answer_counts():
    small, wide = (
        LabelFacts(needs=Resources({"cores": 1, "ram": 9})),
        LabelFacts(needs=Resources({"cores": 4, "ram": 2})),
    )
    assert dearest(small, wide).needs == Resources({"cores": 4, "ram": 9})
    broken = LabelFacts(needs=Resources({"cores": 99}), broken="gone")
    assert dearest(small, broken) is small
    assert dearest(broken, small) is small
    assert dearest(broken, broken).broken == "gone"
