"""Checks of what several drivers' providers have in common: labels, and the images that these boot from."""

from collections.abc import Iterator, Sequence
from string import Formatter

from nodepool_ng.config.complaint import Gravity
from nodepool_ng.config.document import Loc
from nodepool_ng.config.finding import Finding, twice
from nodepool_ng.config.providers import IronicProvider, MachineLabel, OpenStackProvider, PoolLabel
from nodepool_ng.config.reading import Reading, ReadProvider

REQUEST_FIELDS = frozenset(
    ("id", "labels", "requestor", "requestor_data", "relative_priority", "event_id", "created_time", "tenant_name")
)
"""What `dynamic-instance-properties` may name, each as `{request.<field>}`."""


def disk_images(reading: Reading, at: Loc, model: OpenStackProvider | IronicProvider) -> Iterator[Finding]:
    """Yield what is wrong with the images that a provider wants uploaded."""
    for index, image in enumerate(model.diskimages):
        if image.name not in built(reading) and reading.sound("diskimages"):
            yield no_image((*at, "diskimages", index, "name"), image.name, reading)


def label_image(
    reading: Reading,
    provider: ReadProvider,
    model: OpenStackProvider | IronicProvider,
    at: Loc,
    label: PoolLabel | MachineLabel,
) -> Iterator[Finding]:
    """Yield what is wrong with what a label boots from."""
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
            if name not in built(reading):
                if reading.sound("diskimages"):
                    yield no_image((*at, "diskimage"), name, reading)
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


def dynamic_properties(at: Loc, label: PoolLabel | MachineLabel) -> Iterator[Finding]:
    """Yield the properties that cannot be made from a request."""
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


def labels(reading: Reading, at: Loc, names: Sequence[str], key: str | None = "name") -> Iterator[Finding]:
    known = {label.name for label in reading.main.labels}
    if key is not None:
        yield from twice(at, enumerate(names), key)
    for index, name in enumerate(names):
        if name not in known and reading.sound("labels"):
            loc = (*at, index) if key is None else (*at, index, key)
            yield Finding(loc, f"is no label of this file: {name}", "add it to the top-level labels", Gravity.FATAL)


def built(reading: Reading) -> frozenset[str]:
    return frozenset(image.name for image in reading.main.diskimages if not image.abstract)


def no_image(at: Loc, name: str, reading: Reading) -> Finding:
    if any(image.name == name for image in reading.main.diskimages):
        return Finding(at, f"names an abstract disk image: {name}", "name one that is built", Gravity.FATAL)
    return Finding(at, f"names no disk image: {name}", "add it to the top-level diskimages", Gravity.FATAL)
