"""The tree as commands see it: read uncached, in as many rounds as the part has levels, and without making anything.

A record that vanished between two rounds is left out. One that cannot be used is `Damaged`, beside all the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import unquote

from nodepool_ng.cli.outcome import Failed
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.ids import BuildId, ImageName, NodeId, ProviderName, RequestId, Timestamp, UploadId
from nodepool_ng.model.image import Build, Upload
from nodepool_ng.model.node import Node
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged, Ghost, Record, decode
from nodepool_ng.zk.facts import decode_facts
from nodepool_ng.zk.locks import in_order
from nodepool_ng.zk.paths import BuildAt, FreezeAt, NodeAt, RecordAt, RequestAt, UploadAt
from nodepool_ng.zk.store import Answer, Answers, Children, Failure, Get, Got, Names, Problem, Verb

LOCK = "lock"
ALL = paths.ALL
"""What an order to freeze every provider names."""

Ask: TypeAlias = Callable[[Sequence[Verb]], Answers]
"""Carries out one round of verbs; raises when there is no answer to be had."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes by id, those that somebody contends for, and the places without a record."""

    nodes: tuple[Node, ...]
    locked: frozenset[NodeId]
    damaged: tuple[Damaged, ...]


@dataclass(frozen=True, slots=True)
class Requests:
    requests: tuple[NodeRequest, ...]
    damaged: tuple[Damaged, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """What lies beside the builds of an image. Lock and builds are told by the numbers of the transactions that
    made them, which are in order where clocks need not be."""

    paused: bool
    requested: Timestamp | None
    locked: int | None
    newest_build: int | None

    @property
    def building(self) -> bool:
        """Whether whoever holds the lock has started a build."""
        return self.locked is not None and self.newest_build is not None and self.newest_build >= self.locked


@dataclass(frozen=True, slots=True)
class Images:
    """All builds and uploads, by image, build, provider and number; flags of all images that have a znode."""

    flags: Mapping[ImageName, Flags]
    builds: tuple[Build, ...]
    uploads: tuple[Upload, ...]
    damaged: tuple[Damaged, ...]
    raw: Mapping[str, bytes]
    """The bytes of all builds and uploads by path, those of the damaged ones and of ghosts too."""


@dataclass(frozen=True, slots=True)
class Told:
    """Orders to freeze, by provider or `ALL`, and the documents of launchers, by launcher."""

    freezes: Mapping[str, Freeze]
    facts: Mapping[str, Mapping[str, Any]]


def nodes(ask: Ask) -> Nodes:
    """Read all nodes and their locks in two rounds."""
    ids = [NodeId(name) for name in _children(ask, [paths.NODES])[0]]
    answers = ask([Get(paths.node(id)) for id in ids] + [Children(paths.node_lock(id)) for id in ids])
    found, damaged = _records({NodeAt(id): (paths.node(id), answer) for id, answer in zip(ids, answers, strict=False)})
    locks = zip(ids, answers[len(ids) :], strict=True)
    locked = frozenset(id for id, answer in locks if isinstance(answer, Names) and answer.names)
    usable = sorted((node for node in found if isinstance(node, Node)), key=lambda node: node.id)
    return Nodes(tuple(usable), locked, damaged)


def requests(ask: Ask) -> Requests:
    """Read all requests in two rounds."""
    ids = [RequestId(name) for name in _children(ask, [paths.REQUESTS])[0]]
    answers = ask([Get(paths.request(id)) for id in ids])
    found, damaged = _records({RequestAt(id): (paths.request(id), a) for id, a in zip(ids, answers, strict=True)})
    usable = sorted((request for request in found if isinstance(request, NodeRequest)), key=lambda request: request.id)
    return Requests(tuple(usable), damaged)


def told(ask: Ask) -> Told:
    """Read orders to freeze, and what launchers tell about themselves. Documents that are being written are left
    out."""
    orders, documents = _children(ask, [paths.FREEZES, paths.FACTS])
    found = _found(
        ask, [f"{paths.FREEZES}/{name}" for name in orders] + [f"{paths.FACTS}/{name}" for name in documents]
    )
    freezes: dict[str, Freeze] = {}
    parts: dict[str, list[bytes]] = {}
    for path, answer in found.items():
        at = paths.parse(path)
        if isinstance(answer, Got) and isinstance(at, FreezeAt):
            order = decode(path, at, answer.data)
            if isinstance(order, Freeze):
                freezes[at.provider] = order
        elif isinstance(answer, Got):
            parts.setdefault(unquote(path.rpartition("/")[2].rpartition(".")[0]), []).append(answer.data)
    facts = {launcher: decode_facts(each) for launcher, each in parts.items()}
    return Told(freezes, {launcher: document for launcher, document in facts.items() if document is not None})


def images(ask: Ask) -> Images:
    """Read all of `/nodepool/images` in eight rounds, however much there is."""
    names = [ImageName(name) for name in sorted(_children(ask, [paths.IMAGES])[0])]
    builds_of = _children(ask, [paths.builds(name) for name in names])
    builds = [
        BuildAt(n, BuildId(id)) for n, ids in zip(names, builds_of, strict=True) for id in sorted(ids) if id != LOCK
    ]
    build_answers = _found(ask, [paths.build(at.image, at.id) for at in builds])
    flags = _flags(ask, names, builds, build_answers)
    uploads = _uploads(ask, builds)
    upload_answers = _found(ask, [paths.upload(at.image, at.build, at.provider, at.id) for at in uploads])
    at_paths: dict[RecordAt, tuple[str, Answer]] = dict(zip(builds, build_answers.items(), strict=True))
    at_paths |= dict(zip(uploads, upload_answers.items(), strict=True))
    found, damaged = _records(at_paths)
    return Images(
        flags=flags,
        builds=tuple(record for record in found if isinstance(record, Build)),
        uploads=tuple(record for record in found if isinstance(record, Upload)),
        damaged=damaged,
        raw={path: got.data for path, got in at_paths.values() if isinstance(got, Got)},
    )


def below(ask: Ask, roots: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return, for each of the roots that exists, all paths of its subtree, children before their parents."""
    trees: dict[str, list[str]] = {}
    level = [(root, root) for root in roots]
    while level:
        answers = ask([Children(path) for _, path in level])
        there = [(root, path, a.names) for (root, path), a in zip(level, answers, strict=True) if isinstance(a, Names)]
        for root, path, _ in there:
            trees.setdefault(root, []).append(path)
        level = [(root, f"{path}/{name}") for root, path, names in there for name in names]
    return MappingProxyType({root: tuple(reversed(tree)) for root, tree in trees.items()})


def builds_in(images: Images, provider: ProviderName) -> tuple[str, ...]:
    """Return where each of the builds would have what belongs to one provider."""
    at = (paths.parse(path) for path in images.raw)
    return tuple(paths.provider_of_build(one.image, one.id, provider) for one in at if isinstance(one, BuildAt))


def _flags(
    ask: Ask, names: Sequence[ImageName], builds: Sequence[BuildAt], answers: Mapping[str, Got | Failure]
) -> Mapping[ImageName, Flags]:
    beside = _children(ask, [paths.builds_lock(name) for name in names])
    holders = [f"{paths.builds_lock(n)}/{all[0]}" for n, c in zip(names, beside, strict=True) if (all := in_order(c))]
    wanted = [*map(paths.paused, names), *map(paths.build_requested, names), *holders]
    there = {path: got.stat for path, got in _found(ask, wanted).items() if isinstance(got, Got)}
    made: dict[ImageName, int] = {}
    for at, answer in zip(builds, answers.values(), strict=True):
        if isinstance(answer, Got):
            made[at.image] = max(answer.stat.czxid, made.get(at.image, 0))
    locked = {path.rpartition("/")[0]: there[path].czxid for path in holders if path in there}
    return {
        name: Flags(
            paused=paths.paused(name) in there,
            requested=stat.ctime if (stat := there.get(paths.build_requested(name))) else None,
            locked=locked.get(paths.builds_lock(name)),
            newest_build=made.get(name),
        )
        for name in names
    }


def _uploads(ask: Ask, builds: Sequence[BuildAt]) -> list[UploadAt]:
    providers = _children(ask, [paths.build_providers(at.image, at.id) for at in builds])
    pairs = [(at, ProviderName(p)) for at, found in zip(builds, providers, strict=True) for p in sorted(found)]
    numbers = _children(ask, [paths.uploads(at.image, at.id, provider) for at, provider in pairs])
    return [
        UploadAt(at.image, at.id, provider, UploadId(number))
        for (at, provider), found in zip(pairs, numbers, strict=True)
        for number in sorted(found)
        if number != LOCK
    ]


def _children(ask: Ask, parents: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names below each of the parents; none below one that does not exist. Raises `Failed`."""
    answers = ask([Children(path) for path in parents]) if parents else ()
    for answer in answers:
        if isinstance(answer, Failure) and answer.problem is not Problem.NO_NODE:
            raise Failed(f"{answer}.")
    return [answer.names if isinstance(answer, Names) else () for answer in answers]


def _found(ask: Ask, wanted: Sequence[str]) -> dict[str, Got | Failure]:
    answers = ask([Get(path) for path in wanted]) if wanted else ()
    return {path: a for path, a in zip(wanted, answers, strict=True) if isinstance(a, Got | Failure)}


def _records(answers: Mapping[RecordAt, tuple[str, Answer]]) -> tuple[list[Record], tuple[Damaged, ...]]:
    """Return what can be used of the answers, and what is damaged."""
    read = list(_decoded(answers))
    damaged = tuple(sorted((one for one in read if isinstance(one, Damaged)), key=lambda one: one.path))
    return [one for one in read if not isinstance(one, Damaged)], damaged


def _decoded(answers: Mapping[RecordAt, tuple[str, Answer]]) -> Iterator[Record | Damaged]:
    for at, (path, answer) in answers.items():
        match answer:
            case Got(data):
                record = decode(path, at, data)
                if not isinstance(record, Ghost):
                    yield record
            case Failure(problem) if problem is not Problem.NO_NODE:
                yield Damaged(path, str(answer))
