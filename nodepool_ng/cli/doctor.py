"""The command that looks at everything a working installation needs, and says what to do about what is wrong."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import click

from nodepool_ng.cli.clouds import ask_all, trouble
from nodepool_ng.cli.facts import read_scene
from nodepool_ng.cli.options import with_written_format
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.drivers import Capacity, Driver, DriverError
from nodepool_ng.explain.scene import Scene, span
from nodepool_ng.listing.table import Format, printable, written
from nodepool_ng.model.component import BUILDER, LAUNCHER
from nodepool_ng.model.ids import Seconds
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.settings import Provider, Settings
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Committed, Create, Delete, Get, Got

SLOW: Seconds = 0.5
CLOCKS_APART: Seconds = 2.0
LITTLE_DISK = 0.1
"""Share of a disk that should be free."""
PROBE = f"{paths.OURS}/doctor"


class Mark(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    mark: Mark
    about: str
    sentence: str
    remedy: str = ""


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask the clouds.")
@with_written_format
@click.pass_context
def doctor(ctx: click.Context, offline: bool, format: Format | None) -> None:
    """Check configuration, ZooKeeper, clouds, credentials, quotas, images, disk, clocks and permissions.

    The exit status is 1 when something is bad.
    """
    session = ctx.ensure_object(Session)
    found: list[Finding] = []
    for finding in _everything(session, offline):
        found.append(finding)
        if format is None or format.for_people:
            click.echo(_line(finding))
    if format is not None and not format.for_people:
        told = [{"mark": f.mark, "about": f.about, "sentence": f.sentence, "remedy": f.remedy} for f in found]
        click.echo(written(told, format))
    ctx.exit(1 if any(finding.mark is Mark.BAD for finding in found) else 0)


def _line(finding: Finding) -> str:
    remedy = f"\n      -> {printable(finding.remedy)}" if finding.remedy else ""
    return f"{finding.mark:<4}  {finding.about}: {printable(finding.sentence)}{remedy}"


def _everything(session: Session, offline: bool) -> Iterator[Finding]:
    try:
        settings = session.settings
    except Failed as error:
        yield Finding(
            Mark.BAD, "configuration", error.message, "correct the file; `nodepool config-validate` says more"
        )
        return
    yield Finding(Mark.OK, "configuration", f"{session.config} can be used")
    yield from disks(settings)
    if not offline:
        yield from clouds(session, settings)
    try:
        with session.connected() as connection:
            yield from zookeeper(session, connection)
            scene = read_scene(session, connection)
    except Failed as error:
        yield Finding(Mark.BAD, "ZooKeeper", error.message)
        return
    yield from daemons(scene)
    yield from labels(scene)
    yield from orders(scene)


def zookeeper(session: Session, connection: Connection) -> Iterator[Finding]:
    """Whether it answers fast, lets us write, and has the same time."""
    clock = session.surroundings.clock
    began = clock.monotonic()
    connection.get("/")
    took = clock.monotonic() - began
    mark = Mark.OK if took < SLOW else Mark.WARN
    remedy = "" if mark is Mark.OK else "look at its disk (dataLogDir) and at the network between"
    yield Finding(mark, "ZooKeeper", f"answers within {took * 1000:.0f} ms", remedy)
    connection.ensure(paths.OURS)
    made = connection.commit(Create(PROBE, ephemeral=True))
    got = connection.ask([Get(PROBE)])[0]
    if not isinstance(made, Committed) or not isinstance(got, Got):
        yield Finding(
            Mark.BAD, "permissions", f"nothing can be written: {made}", "correct the ACLs, or user and certificate"
        )
        return
    connection.commit(Delete(PROBE))
    yield Finding(Mark.OK, "permissions", "this user may read and write the tree")
    apart = abs(got.stat.ctime - session.now())
    mark = Mark.OK if apart < CLOCKS_APART else Mark.BAD
    remedy = "" if mark is Mark.OK else "have NTP running on both: ages and time limits go by the clock"
    yield Finding(mark, "clocks", f"this machine and ZooKeeper are {apart:.1f} s apart", remedy)


def disks(settings: Settings) -> Iterator[Finding]:
    """Whether the builder's folders are there and have room; on other machines they need not be."""
    for name, folder in (("images-dir", settings.images_dir), ("build-log-dir", settings.build_log_dir)):
        if folder is None or not os.path.isdir(folder):
            if folder is not None and settings.diskimages:
                yield Finding(Mark.OK, "disk", f"{name} {folder} is not on this machine: fine where no builder runs")
            continue
        if not os.access(folder, os.W_OK):
            yield Finding(Mark.WARN, "disk", f"{name} {folder} cannot be written by you", "check who runs the builder")
        usage = shutil.disk_usage(folder)
        share = usage.free / usage.total
        mark = Mark.OK if share >= LITTLE_DISK else Mark.BAD
        remedy = "" if mark is Mark.OK else "delete old builds (`nodepool dib-image-delete`) or enlarge it"
        yield Finding(mark, "disk", f"{name} {folder} has {usage.free / 1e9:.0f} GB free ({share:.0%})", remedy)


def clouds(session: Session, settings: Settings) -> Iterator[Finding]:
    """Whether each cloud lets us in, knows what the configuration names, and has the quota that pools count on."""

    def capacity(driver: Driver) -> Capacity:
        return driver.capacity(session.now())

    for name, answer in ask_all(settings.providers.values(), capacity).items():
        about = f"provider {name}"
        if isinstance(answer, DriverError):
            yield Finding(
                Mark.BAD,
                about,
                trouble(name, answer),
                "check clouds.yaml, the credentials, and the way to the cloud's API",
            )
            continue
        yield Finding(Mark.OK, about, "lets us in and answers")
        yield from _capacity(settings.providers[name], answer)


def _capacity(provider: Provider, capacity: Capacity) -> Iterator[Finding]:
    about = f"provider {provider.name}"
    facts = [("", label, each) for label, each in capacity.labels.items()]
    facts += [(pool, label, each) for (pool, label), each in capacity.pool_labels.items()]
    for pool, label, known in sorted(facts, key=lambda each: each[:2]):
        if known.broken is not None:
            where = f"pool {pool}, " if pool else ""
            yield Finding(
                Mark.BAD,
                about,
                f"{where}label {label} cannot be made: {known.broken}",
                "correct the label, or the cloud",
            )
    limited = [pool for pool in provider.pools.values() if not pool.ignore_provider_quota]
    for resource, limit in capacity.limits.amounts.items():
        wanted = sum(pool.limits.get(resource) for pool in limited)
        if wanted > limit:
            yield Finding(
                Mark.WARN,
                about,
                f"pools may use {wanted:g} {resource}, the quota is {limit:g}",
                "lower the pools' limits or have the quota raised: until then the quota decides",
            )


def daemons(scene: Scene) -> Iterator[Finding]:
    """Whether launchers and builders run, and somebody minds every provider."""
    kinds = {kind: [one for one in scene.components if one.kind == kind] for kind in (LAUNCHER, BUILDER)}
    if not kinds[LAUNCHER]:
        yield Finding(Mark.BAD, "launchers", "none is registered", "start nodepool-launcher")
    else:
        hosts = ", ".join(sorted({one.hostname for one in kinds[LAUNCHER]}))
        yield Finding(Mark.OK, "launchers", f"{len(kinds[LAUNCHER])} registered: {hosts}")
    needed = any(provider.images for provider in scene.settings.providers.values())
    if needed and not kinds[BUILDER]:
        yield Finding(Mark.BAD, "builders", "none is registered, and images are configured", "start nodepool-builder")
    elif kinds[BUILDER]:
        yield Finding(Mark.OK, "builders", f"{len(kinds[BUILDER])} registered")
    registered = {one.provider_name for one in scene.pools()}
    for name in scene.settings.providers:
        told = scene.told.providers.get(name)
        about = f"provider {name}"
        if name not in registered:
            yield Finding(Mark.BAD, about, "no launcher has registered its pools", "start one with this configuration")
        elif told is not None and told.error:
            yield Finding(Mark.BAD, about, f"launcher {told.launcher}: {told.error}", f"`nodepool explain {name}`")
        elif told is not None and told.alarm:
            yield Finding(Mark.BAD, about, told.alarm, f"`nodepool explain {name}`")


def labels(scene: Scene) -> Iterator[Finding]:
    """Whether every label can be had somewhere, and images are there and not too old."""
    ready = {(one.image, one.provider): one for one in scene.uploads if one.state is ImageState.READY}
    offered = {label for one in scene.pools() for label in one.supported_labels}
    for label in scene.settings.labels:
        if label not in offered:
            yield Finding(
                Mark.WARN, f"label {label}", "no registered pool has it: requests fail", "add it to a pool, or drop it"
            )
    for provider in scene.settings.providers.values():
        for image in provider.images:
            upload = ready.get((image, provider.name))
            about = f"image {image}"
            if upload is None:
                yield Finding(
                    Mark.BAD, about, f"no ready upload in {provider.name}", f"`nodepool explain {image}` says why"
                )
                continue
            configured = scene.settings.diskimages.get(image)
            age = scene.now - upload.state_time
            if configured is not None and age > 2 * configured.rebuild_age:
                word = f"the upload in {provider.name} is {span(age)} old"
                yield Finding(Mark.WARN, about, word, f"`nodepool explain {image}` says why no newer one came")


def orders(scene: Scene) -> Iterator[Finding]:
    """What operators have ordered and may have forgotten."""
    told: list[tuple[str, Callable[[], list[str]]]] = [
        (f"provider {name}", partial(scene.orders, str(name))) for name in scene.settings.providers
    ]
    told += [(f"pool {name}", partial(scene.orders, "", name)) for name in scene.pool_names()]
    told += [(f"image {name}", partial(scene.orders, "", None, str(name))) for name in scene.settings.diskimages]
    for about, find in told:
        for order in find():
            yield Finding(Mark.WARN, about, order)
    for image in sorted(scene.paused):
        yield Finding(Mark.WARN, f"image {image}", "paused by an operator", f"`nodepool image-unpause {image}`")
