"""Checks of one provider of bare metal: what its parts refer to, and what excludes what."""

import re
from collections.abc import Iterator
from itertools import chain

from nodepool_ng.config.complaint import Gravity
from nodepool_ng.config.cross_labels import disk_images, dynamic_properties, label_image, labels
from nodepool_ng.config.document import Loc
from nodepool_ng.config.finding import Finding, twice
from nodepool_ng.config.providers import BareMetalImage, IronicProvider, MachineLabel, MachinePool
from nodepool_ng.config.reading import Reading, ReadProvider

TRAIT = re.compile(r"[A-Z0-9_]{1,255}")
ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")
ADDRESS = re.compile(r"name|network_data|(extra|properties)(\.[\w-]+)+")


def ironic(reading: Reading, provider: ReadProvider) -> Iterator[Finding]:
    """Yield what does not fit together in a provider of bare metal."""
    model, at = provider.model, provider.loc
    assert isinstance(model, IronicProvider)
    if not model.cloud:
        yield Finding(
            at, "has no cloud", "name its entry of clouds.yaml", meanwhile="openstacksdk decides which cloud it is"
        )
    yield from twice((*at, "diskimages"), enumerate(image.name for image in model.diskimages))
    yield from twice((*at, "cloud-images"), enumerate(image.name for image in model.cloud_images))
    yield from twice((*at, "pools"), enumerate(pool.name for pool in model.pools))
    yield from disk_images(reading, at, model)
    for index, image in enumerate(model.cloud_images):
        yield from _image((*at, "cloud-images", index), image)
    for number, pool in enumerate(model.pools):
        here: Loc = (*at, "pools", number)
        yield from _pool(here, pool)
        yield from labels(reading, (*here, "labels"), [label.name for label in pool.labels])
        for index, label in enumerate(pool.labels):
            inner: Loc = (*here, "labels", index)
            yield from label_image(reading, provider, model, inner, label)
            yield from dynamic_properties(inner, label)
            yield from _label(inner, pool, label)


def _image(at: Loc, image: BareMetalImage) -> Iterator[Finding]:
    beside = [name for name in ("image-id", "image-name") if getattr(image, name.replace("-", "_"))]
    if image.image_url is None:
        if image.checksum is not None:
            what = "stands without image-url; Glance knows the checksums of its images"
            yield Finding((*at, "checksum"), what, "remove it", key=True, meanwhile="it is ignored")
        if len(beside) > 1:
            loc = (*at, "image-name")
            yield Finding(loc, "stands beside image-id", "keep one of them", key=True, meanwhile="the id counts")
        return
    for name in beside:
        yield Finding((*at, name), "stands beside image-url", "keep one of them", key=True, meanwhile="the URL counts")
    if not image.checksum:
        yield Finding(at, "has an image-url and no checksum", "add the checksum of the image", Gravity.FATAL)
    if image.checksum_algorithm not in ALGORITHMS:
        what = f"is none that Ironic knows: {image.checksum_algorithm}"
        yield Finding((*at, "checksum-algorithm"), what, f"use one of {', '.join(ALGORITHMS)}", Gravity.FATAL)
    if not image.image_url.startswith(("http://", "https://", "file://", "oci://")):
        what = "is no URL that Ironic could fetch"
        yield Finding((*at, "image-url"), what, "write http://, https://, file:// or oci://", Gravity.FATAL)


def _pool(at: Loc, pool: MachinePool) -> Iterator[Finding]:
    yield from _traits(at, pool.traits)
    if not ADDRESS.fullmatch(pool.address):
        what = f"is no place where Ironic keeps an address: {pool.address}"
        remedy = "use name, network_data, extra.KEY or properties.KEY"
        yield Finding((*at, "address"), what, remedy, Gravity.FATAL)
    if pool.networks and "address" in pool.model_fields_set:
        what = "stands beside networks, whose ports have the addresses"
        yield Finding((*at, "address"), what, "remove it", Gravity.NOTE, "it is ignored", key=True)


def _label(at: Loc, pool: MachinePool, label: MachineLabel) -> Iterator[Finding]:
    if not (label.resource_class or pool.resource_class):
        what = "has no resource-class, nor has its pool"
        yield Finding(at, what, "name the machines' resource class in one of them", Gravity.FATAL)
    yield from _traits(at, label.traits)
    kinds = {key.partition(" ")[0] for key in chain(pool.public_keys, label.public_keys)}
    if not all(kind.startswith(("ssh-", "ecdsa-", "sk-")) for kind in kinds):
        what = "has a public key that is no line of an authorized_keys file"
        yield Finding(at, what, "write it as `ssh-ed25519 AAAA... comment`", Gravity.NOTE, "it is passed on")


def _traits(at: Loc, traits: tuple[str, ...]) -> Iterator[Finding]:
    for index, trait in enumerate(traits):
        if not TRAIT.fullmatch(trait):
            what = f"is no name of a trait: {trait}"
            remedy = "use capital letters, digits and underscores; your own begin with CUSTOM_"
            yield Finding((*at, "traits", index), what, remedy, Gravity.FATAL)
