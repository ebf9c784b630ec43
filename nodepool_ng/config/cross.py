"""Checks of one key against another: names used twice, references to nothing, keys that exclude each other.

Each check is a function from a reading to findings; `CHECKS` lists those of the whole file, `cross_providers` has
those of one provider. What Nodepool 11 loads is not fatal, except two trees of ZooKeeper at once.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator

from nodepool_ng.config import cross_providers, inherit
from nodepool_ng.config.address import chroot
from nodepool_ng.config.complaint import Complaint, Gravity
from nodepool_ng.config.finding import Finding, complaint, twice
from nodepool_ng.config.providers import FAKE
from nodepool_ng.config.reading import Reading
from nodepool_ng.config.schema import Main, Secure
from nodepool_ng.model.settings import AuthScheme, Protect


def check(reading: Reading) -> list[Complaint]:
    """Return the complaints about how the parts of a configuration fit together."""
    found = [finding for look in CHECKS for finding in look(reading)]
    for provider in reading.providers:
        found += cross_providers.check(reading, provider)
    complaints = [complaint(reading.document, finding) for finding in found]
    if reading.secure_document is not None:
        complaints += [complaint(reading.secure_document, finding) for finding in secure(reading)]
    return complaints


def names(reading: Reading) -> Iterator[Finding]:
    main = reading.main
    yield from twice(("labels",), enumerate(label.name for label in main.labels))
    yield from twice(("diskimages",), enumerate(image.name for image in main.diskimages))
    yield from twice(("providers",), ((provider.index, provider.model.name) for provider in reading.providers))
    tenants = enumerate(limits.tenant_name for limits in main.tenant_resource_limits)
    yield from twice(("tenant-resource-limits",), tenants, key="tenant-name")


def fake_names(reading: Reading) -> Iterator[Finding]:
    for provider in reading.providers:
        if provider.model.name.startswith(FAKE) and not reading.testing:
            yield Finding(
                ("providers", provider.index, "name"),
                f"starts with {FAKE}, which meant a cloud made up for tests in Nodepool 11",
                "rename it if that was meant",
                Gravity.NOTE,
                f"it is a real {provider.driver} provider",
            )


def parents(reading: Reading) -> Iterator[Finding]:
    images = {image.name: image for image in reading.main.diskimages}
    numbers = {image.name: index for index, image in enumerate(reading.main.diskimages)}
    for circle in inherit.circles(images):
        way = " -> ".join([*circle, circle[0]])
        at = ("diskimages", min(numbers[name] for name in circle), "parent")
        yield Finding(at, f"leads back to its image: {way}", "break the circle", Gravity.FATAL)
    for index, image in enumerate(reading.main.diskimages):
        if image.parent and image.parent not in images and reading.sound("diskimages"):
            yield Finding(
                ("diskimages", index, "parent"),
                f"names no disk image: {image.parent}",
                "add it to diskimages",
                Gravity.FATAL,
            )


def commands(reading: Reading) -> Iterator[Finding]:
    for index, image in enumerate(reading.main.diskimages):
        try:
            shlex.split(image.dib_cmd or "")
        except ValueError as error:
            at = ("diskimages", index, "dib-cmd")
            yield Finding(at, f"is no command line: {error}", "close the quotes", Gravity.NOTE, "every build fails")


def zookeeper(reading: Reading) -> Iterator[Finding]:
    overridden = reading.secure
    if not overridden.zookeeper_servers:
        yield from _chroots(reading.main)
    if overridden.zookeeper_tls is None:
        yield from _tls(reading.main)
    if overridden.zookeeper_auth is None:
        yield from _auth(reading.main)


def secure(reading: Reading) -> Iterator[Finding]:
    """Check the secure file: its findings are about that one."""
    yield from _chroots(reading.secure)
    yield from _tls(reading.secure)
    yield from _auth(reading.secure)
    images = {image.name: image for image in reading.main.diskimages}
    for index, image in enumerate(reading.secure.diskimages):
        known = images.get(image.name)
        if (known is None and reading.sound("diskimages")) or (known is not None and known.abstract):
            yield Finding(
                ("diskimages", index, "name"),
                f"names no disk image of the main file that is built: {image.name}",
                "correct the name, or take the entry out",
                Gravity.FATAL,
            )


def _chroots(written: Main | Secure) -> Iterator[Finding]:
    first = ""
    for index, server in enumerate(written.zookeeper_servers):
        here = chroot(server.chroot)
        if here and first and here != first:
            yield Finding(
                ("zookeeper-servers", index, "chroot"),
                f"is {here} here and {first} above",
                "write the same chroot everywhere, or only once",
                Gravity.FATAL,
            )
        first = first or here


def _tls(written: Main | Secure) -> Iterator[Finding]:
    tls = written.zookeeper_tls
    missing = [name for name in ("cert", "key", "ca") if tls is not None and not getattr(tls, name)]
    if missing:
        yield Finding(
            ("zookeeper-tls",),
            f"has no {', no '.join(missing)}",
            "name all three files, or remove zookeeper-tls",
            key=True,
            meanwhile="the connection is tried with what is there",
        )


def _auth(written: Main | Secure) -> Iterator[Finding]:
    """Say what cannot be used. A daemon that went on without would write records open to everybody."""
    auth = written.zookeeper_auth
    if auth is None:
        return
    for key, kinds in (("scheme", AuthScheme), ("protect", Protect)):
        choices = [kind.value for kind in kinds]
        if getattr(auth, key) not in choices:
            remedy = f"write one of {', '.join(choices)}"
            yield Finding(("zookeeper-auth", key), "is none of its choices", remedy, Gravity.FATAL)
    if not auth.user or ":" in auth.user:
        yield Finding(("zookeeper-auth", "user"), "is empty or has a colon", "write a plain name", Gravity.FATAL)
    if not auth.password:
        yield Finding(("zookeeper-auth", "password"), "is empty", "write one, or remove zookeeper-auth", Gravity.FATAL)


CHECKS: Iterable[Callable[[Reading], Iterator[Finding]]] = (names, fake_names, parents, commands, zookeeper)
