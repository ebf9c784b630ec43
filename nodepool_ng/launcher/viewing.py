"""Makes a `View` of what the reconciler knows, on the reconciler's thread."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from nodepool_ng.launcher.documents import Documents, read_documents
from nodepool_ng.launcher.world import World
from nodepool_ng.model.clock import Clock
from nodepool_ng.model.ids import ImageName, Seconds, Timestamp
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.view import Backlog, ImageView, View
from nodepool_ng.plan import Plan
from nodepool_ng.shell.contender import holder
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Answers, Get, Got, Store

WORK_EVERY: Seconds = 2.0


class BuildRequests:
    """Since when builds are asked for: the age of a znode without a record, which the mirror does not read."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._since: dict[ImageName, Timestamp] = {}

    def since(self, asked: Iterable[ImageName]) -> dict[ImageName, Timestamp]:
        """Return an instant for each of the images; for one not seen before that is now, until ZooKeeper answers."""
        names = set(asked)
        for name in [name for name in self._since if name not in names]:
            del self._since[name]
        for name in names - self._since.keys():
            self._since[name] = self._clock.now()
            self._store.submit([Get(paths.build_requested(name))], partial(self._read, name))
        return dict(self._since)

    def _read(self, name: ImageName, answers: Answers) -> None:
        """Take in an answer, on the store's thread."""
        if isinstance(answers[0], Got) and name in self._since:
            self._since[name] = answers[0].stat.ctime


class BuildersWork:
    """What builders tell of their work. It lies beside what the mirror reads, since nothing is decided by it.

    It is read again while somebody looks; everybody gets what was read last.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._asked = float("-inf")
        self._told: tuple[Mapping[str, Any], ...] = ()

    def latest(self) -> tuple[Mapping[str, Any], ...]:
        if self._clock.monotonic() - self._asked >= WORK_EVERY:
            self._asked = self._clock.monotonic()
            read_documents(self._store, paths.BUILDER_FACTS, self._read)
        return self._told

    def _read(self, documents: Documents | None) -> None:
        """Take in an answer, on the store's thread."""
        if documents is not None:
            self._told = tuple(document for document in documents.values() if document is not None)


def view_of(
    world: World,
    plan: Plan | None,
    hostname: str,
    *,
    asked: Mapping[ImageName, Timestamp],
    complete: bool,
    backlog: Backlog,
    work: tuple[Mapping[str, Any], ...] = (),
) -> View:
    """Return a view that shares nothing with the world but what never changes."""
    picture = world.picture
    census = world.census
    first = holder(world.stats_queue())
    provider_names = {*world.settings.providers, *world.clouds.facts}
    keys = {*world.pool_ids, *((p.name, name) for p in world.settings.providers.values() for name in p.pools)}
    return View(
        now=world.now,
        settings=world.settings,
        hostname=hostname,
        complete=complete,
        planned=plan is not None,
        elected=first is not None and world.is_ours(first),
        nodes=dict(census.nodes),
        locked=frozenset(id for id, names in picture.node_contenders.items() if names),
        requests={id: entry.record for id, entry in picture.requests.items()},
        builds=tuple(entry.record for entry in picture.builds.values()),
        uploads=tuple(entry.record for entry in picture.uploads.values()),
        images={name: _image(world, name, asked.get(name)) for name in sorted(picture.images)},
        components={f"{at.kind}/{at.key}": entry.record for at, entry in picture.components.items()},
        pool_ids=dict(world.pool_ids),
        leased=frozenset(world.leased),
        verdicts=plan.verdicts if plan else {},
        alarms=plan.alarms if plan else {},
        frozen=world.frozen(),
        freezes=dict(picture.freezes),
        broken_files=world.broken_files,
        facts=dict(world.clouds.facts),
        foreign=dict(world.clouds.foreign_use),
        used={key: _kept(census.used_in_pool(key)) for key in keys},
        used_in_provider={name: _kept(census.used_in_provider(name)) for name in provider_names},
        cordons=dict(picture.cordons),
        backlog=backlog,
        work=work,
    )


def _kept(sums: Resources) -> Resources:
    """Return a copy: the census goes on counting in its own."""
    return Resources(dict(sums.amounts))


def _image(world: World, name: ImageName, requested: Timestamp | None) -> ImageView:
    picture = world.picture
    building = False
    if name in picture.build_requests:
        locked = bool(picture.locks.get(paths.BuildsAt(name)))
        building = locked and any(
            at.image == name and entry.record.state is ImageState.BUILDING for at, entry in picture.builds.items()
        )
    return ImageView(paused=name in picture.paused, requested=requested, building=building)
