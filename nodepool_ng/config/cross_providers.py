"""Checks of one provider: what its parts refer to, and what excludes what. One function for each driver."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from nodepool_ng.config.complaint import Gravity
from nodepool_ng.config.cross_ironic import ironic
from nodepool_ng.config.cross_labels import disk_images, dynamic_properties, label_image, labels
from nodepool_ng.config.document import Loc
from nodepool_ng.config.finding import Finding, twice
from nodepool_ng.config.providers import (
    IRONIC,
    METASTATIC,
    OPENSTACK,
    STATIC,
    MetastaticLabel,
    MetastaticProvider,
    OpenStackProvider,
    PoolLabel,
    StaticProvider,
)
from nodepool_ng.config.reading import Reading, ReadProvider


def check(reading: Reading, provider: ReadProvider) -> Iterator[Finding]:
    """Yield what does not fit together in one provider."""
    yield from BY_DRIVER[provider.driver](reading, provider)


def openstack(reading: Reading, provider: ReadProvider) -> Iterator[Finding]:
    model, at = provider.model, provider.loc
    assert isinstance(model, OpenStackProvider)
    if not model.cloud:
        yield Finding(
            at,
            "has no cloud",
            "name its entry of clouds.yaml",
            meanwhile="openstacksdk decides which cloud it is",
        )
    if model.hostname_format is not None:
        what = "has had no effect for years"
        yield Finding((*at, "hostname-format"), what, "remove it", Gravity.NOTE, "it is ignored", key=True)
    yield from twice((*at, "diskimages"), enumerate(image.name for image in model.diskimages))
    yield from twice((*at, "cloud-images"), enumerate(image.name for image in model.cloud_images))
    yield from twice((*at, "pools"), enumerate(pool.name for pool in model.pools))
    yield from disk_images(reading, at, model)
    for index, cloud_image in enumerate(model.cloud_images):
        if cloud_image.image_id and cloud_image.image_name:
            loc = (*at, "cloud-images", index, "image-name")
            yield Finding(loc, "stands beside image-id", "keep one of them", key=True, meanwhile="the id counts")
    for number, pool in enumerate(model.pools):
        inner: Loc = (*at, "pools", number, "labels")
        yield from labels(reading, inner, [label.name for label in pool.labels])
        for index, label in enumerate(pool.labels):
            yield from _openstack_label(reading, provider, (*inner, index), label)


def _openstack_label(reading: Reading, provider: ReadProvider, at: Loc, label: PoolLabel) -> Iterator[Finding]:
    model = provider.model
    assert isinstance(model, OpenStackProvider)
    yield from label_image(reading, provider, model, at, label)
    if label.min_ram is None and not label.flavor_name:
        what = "has neither min-ram nor flavor-name"
        yield Finding(at, what, "add one of them", meanwhile="the smallest flavor is taken")
    yield from dynamic_properties(at, label)


def static(reading: Reading, provider: ReadProvider) -> Iterator[Finding]:
    model, at = provider.model, provider.loc
    assert isinstance(model, StaticProvider)
    yield from twice((*at, "pools"), enumerate(pool.name for pool in model.pools))
    seen: set[tuple[str, str, int]] = set()
    for number, pool in enumerate(model.pools):
        for index, node in enumerate(pool.nodes):
            inner: Loc = (*at, "pools", number, "nodes", index)
            yield from labels(reading, (*inner, "labels"), node.labels, key=None)
            if node.ssh_port is not None:
                remedy = "call it connection-port"
                yield Finding((*inner, "ssh-port"), "is an old name", remedy, Gravity.NOTE, "it is read", key=True)
            who = (node.name, node.username, node.connection_port or node.ssh_port or 22)
            if who in seen:
                what = "has the name, username and port of a node above"
                yield Finding(inner, what, "use max-parallel-jobs", Gravity.NOTE, "the two are mixed up")
            seen.add(who)


def metastatic(reading: Reading, provider: ReadProvider) -> Iterator[Finding]:
    model, at = provider.model, provider.loc
    assert isinstance(model, MetastaticProvider)
    if "pools" not in model.model_fields_set and reading.sound(*at, "pools"):
        yield Finding(at, "has no pools", "add pools", meanwhile="it offers nothing")
    yield from twice((*at, "pools"), enumerate(pool.name for pool in model.pools))
    backing: dict[str, tuple[MetastaticLabel, str]] = {}
    for number, pool in enumerate(model.pools):
        inner: Loc = (*at, "pools", number, "labels")
        if "labels" not in pool.model_fields_set and reading.sound(*inner):
            yield Finding(inner[:-1], "has no labels", "add labels", meanwhile="it offers nothing")
        yield from labels(reading, inner, [label.name for label in pool.labels])
        for index, label in enumerate(pool.labels):
            first, name = backing.setdefault(label.backing_label, (label, label.name))
            if _slots(first) != _slots(label):
                what = (
                    f"shares its nodes with {name}, but not max-parallel-jobs, grace-time, min-retention-time, max-age"
                )
                yield Finding((*inner, index, "backing-label"), what, "give both the same", Gravity.FATAL)
            if label.max_age is not None and label.max_age < label.min_retention_time:
                what = "is shorter than min-retention-time"
                yield Finding((*inner, index, "max-age"), what, "make it longer", Gravity.FATAL)


def _slots(label: MetastaticLabel) -> tuple[int | None, ...]:
    return label.max_parallel_jobs, label.grace_time, label.min_retention_time, label.max_age


BY_DRIVER: Mapping[str, Callable[[Reading, ReadProvider], Iterator[Finding]]] = MappingProxyType(
    {OPENSTACK: openstack, STATIC: static, METASTATIC: metastatic, IRONIC: ironic}
)
