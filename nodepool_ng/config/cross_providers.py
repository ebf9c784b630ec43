"""Checks of one provider: what its parts refer to, and what excludes what. One function for each driver."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from types import MappingProxyType

from nodepool_ng.config.complaint import Gravity
from nodepool_ng.config.document import Loc
from nodepool_ng.config.finding import Finding, twice
from nodepool_ng.config.providers import (
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

REQUEST_FIELDS = frozenset(
    ("id", "labels", "requestor", "requestor_data", "relative_priority", "event_id", "created_time", "tenant_name")
)
"""What `dynamic-instance-properties` may name, each as `{request.<field>}`."""


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
    built = _built(reading)
    for index, image in enumerate(model.diskimages):
        if image.name not in built and reading.sound("diskimages"):
            yield _no_image((*at, "diskimages", index, "name"), image.name, reading)
    for index, cloud_image in enumerate(model.cloud_images):
        if cloud_image.image_id and cloud_image.image_name:
            loc = (*at, "cloud-images", index, "image-name")
            yield Finding(loc, "stands beside image-id", "keep one of them", key=True, meanwhile="the id counts")
    for number, pool in enumerate(model.pools):
        inner: Loc = (*at, "pools", number, "labels")
        yield from _labels(reading, inner, [label.name for label in pool.labels])
        for index, label in enumerate(pool.labels):
            yield from _openstack_label(reading, provider, (*inner, index), label)


def _openstack_label(reading: Reading, provider: ReadProvider, at: Loc, label: PoolLabel) -> Iterator[Finding]:
    model = provider.model
    assert isinstance(model, OpenStackProvider)
    match label.diskimage, label.cloud_image:
        case None, None:
            remedy = "add one of them"
            yield Finding(
                at, "has neither diskimage nor cloud-image", remedy, meanwhile="the pool does not offer the label"
            )
        case str(name), other:
            if other is not None:
                loc = (*at, "cloud-image")
                what = "stands beside diskimage"
                yield Finding(loc, what, "keep one of them", key=True, meanwhile="the disk image counts")
            if name not in _built(reading):
                if reading.sound("diskimages"):
                    yield _no_image((*at, "diskimage"), name, reading)
            elif name not in {image.name for image in model.diskimages} and reading.sound(*provider.loc, "diskimages"):
                what = f"names a disk image that is not uploaded to this provider: {name}"
                remedy = "add it to the provider's diskimages"
                meanwhile = "every request for the label is declined here"
                yield Finding((*at, "diskimage"), what, remedy, Gravity.NOTE, meanwhile)
        case _, str(name):
            known = {image.name for image in model.cloud_images}
            if name not in known and reading.sound(*provider.loc, "cloud-images"):
                what = f"names no cloud image of this provider: {name}"
                yield Finding((*at, "cloud-image"), what, "add it to the provider's cloud-images", Gravity.FATAL)
    if label.min_ram is None and not label.flavor_name:
        what = "has neither min-ram nor flavor-name"
        yield Finding(at, what, "add one of them", meanwhile="the smallest flavor is taken")
    for key, template in label.dynamic_instance_properties.items():
        if not _renders(template):
            loc = (*at, "dynamic-instance-properties", key)
            fields = ", ".join(sorted(REQUEST_FIELDS))
            what = "names what a request does not have"
            yield Finding(
                loc, what, f"use {{request.FIELD}} with one of {fields}", Gravity.NOTE, "the property is left out"
            )


def _renders(template: object) -> bool:
    try:
        named = [name for _, name, _, _ in Formatter().parse(str(template)) if name is not None]
    except ValueError:
        return False
    return all(_plain(name) in {f"request.{field}" for field in REQUEST_FIELDS} for name in named)


def _plain(name: str) -> str:
    """Return a placeholder's name without what follows its first attribute: `request.labels[0]` is of `labels`."""
    first, _, rest = name.partition(".")
    return f"{first}.{rest.replace('[', '.').split('.')[0]}"


def static(reading: Reading, provider: ReadProvider) -> Iterator[Finding]:
    model, at = provider.model, provider.loc
    assert isinstance(model, StaticProvider)
    yield from twice((*at, "pools"), enumerate(pool.name for pool in model.pools))
    seen: set[tuple[str, str, int]] = set()
    for number, pool in enumerate(model.pools):
        for index, node in enumerate(pool.nodes):
            inner: Loc = (*at, "pools", number, "nodes", index)
            yield from _labels(reading, (*inner, "labels"), node.labels, key=None)
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
        yield from _labels(reading, inner, [label.name for label in pool.labels])
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


def _labels(reading: Reading, at: Loc, names: Sequence[str], key: str | None = "name") -> Iterator[Finding]:
    known = {label.name for label in reading.main.labels}
    if key is not None:
        yield from twice(at, enumerate(names), key)
    for index, name in enumerate(names):
        if name not in known and reading.sound("labels"):
            loc = (*at, index) if key is None else (*at, index, key)
            yield Finding(loc, f"is no label of this file: {name}", "add it to the top-level labels", Gravity.FATAL)


def _built(reading: Reading) -> frozenset[str]:
    return frozenset(image.name for image in reading.main.diskimages if not image.abstract)


def _no_image(at: Loc, name: str, reading: Reading) -> Finding:
    if any(image.name == name for image in reading.main.diskimages):
        return Finding(at, f"names an abstract disk image: {name}", "name one that is built", Gravity.FATAL)
    return Finding(at, f"names no disk image: {name}", "add it to the top-level diskimages", Gravity.FATAL)


BY_DRIVER: Mapping[str, Callable[[Reading, ReadProvider], Iterator[Finding]]] = MappingProxyType(
    {OPENSTACK: openstack, STATIC: static, METASTATIC: metastatic}
)
