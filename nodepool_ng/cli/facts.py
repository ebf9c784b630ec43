"""What launchers tell about themselves, and everything that an explanation rests on, read from ZooKeeper."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from nodepool_ng.cli import seen
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.explain.scene import Scene
from nodepool_ng.explain.told import Told, read
from nodepool_ng.model.component import KINDS, Component
from nodepool_ng.model.cordon import Cordon
from nodepool_ng.model.freeze import Freeze
from nodepool_ng.model.settings import Settings
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import Damaged, Ghost, Record, decode
from nodepool_ng.zk.facts import decode_facts
from nodepool_ng.zk.store import Children, Get, Got, Names

TRIES = 3
"""A document in several parts that is written while it is read is read again."""


def read_told(connection: Connection) -> Told:
    """Return what all launchers tell. A document that is being written all the time counts as not there."""
    documents: dict[str, Mapping[str, Any]] = {}
    for _ in range(TRIES):
        parts = _parts(connection)
        found = {launcher: decode_facts(each) for launcher, each in parts.items()}
        documents |= {launcher: document for launcher, document in found.items() if document is not None}
        if len(documents) == len(parts):
            break
    return read(documents)


def read_scene(session: Session, connection: Connection, *, configured: bool = True) -> Scene:
    """Return everything that there is to know. Without a usable configuration there is less of it."""
    nodes, requests, images = seen.nodes(connection.ask), seen.requests(connection.ask), seen.images(connection.ask)
    orders = read_orders(connection)
    return Scene(
        now=session.now(),
        told=read_told(connection),
        settings=_settings(session) if configured else Settings(),
        nodes={node.id: node for node in nodes.nodes},
        locked=nodes.locked,
        requests={one.id: one for one in requests.requests},
        components=read_components(connection),
        builds=images.builds,
        uploads=images.uploads,
        paused=frozenset(name for name, flags in images.flags.items() if flags.paused),
        asked={n: f.requested for n, f in images.flags.items() if f.requested is not None},
        freezes={at.provider: order for at, order in orders if isinstance(order, Freeze)},
        cordons={(at.kind, at.name): order for at, order in orders if isinstance(order, Cordon)},
    )


def read_components(connection: Connection) -> tuple[Component, ...]:
    """Return all daemons and pools that are registered."""
    listed = connection.ask([Children(paths.components(kind)) for kind in KINDS])
    at = [
        paths.ComponentAt(kind, name)
        for kind, found in zip(KINDS, listed, strict=True)
        for name in (found.names if isinstance(found, Names) else ())
    ]
    places = [(paths.component(one.kind, one.key), one) for one in at]
    return tuple(record for _, record in _records(connection, places) if isinstance(record, Component))


def read_orders(connection: Connection) -> list[tuple[Any, Record]]:
    """Return the orders of operators that are in force, with their places."""
    folders = (paths.FREEZES, paths.CORDONS)
    listed = connection.ask([Children(folder) for folder in folders])
    names = [
        f"{folder}/{name}"
        for folder, found in zip(folders, listed, strict=True)
        for name in (found.names if isinstance(found, Names) else ())
    ]
    return _records(connection, [(path, at) for path in names if paths.is_record(at := paths.parse(path))])


def _records(connection: Connection, places: list[tuple[str, Any]]) -> list[tuple[Any, Record]]:
    answers = connection.ask([Get(path) for path, _ in places]) if places else ()
    found: list[tuple[Any, Record]] = []
    for (path, at), got in zip(places, answers, strict=True):
        record = decode(path, at, got.data) if isinstance(got, Got) else None
        if record is not None and not isinstance(record, Damaged | Ghost):
            found.append((at, record))
    return found


def _parts(connection: Connection) -> dict[str, list[bytes]]:
    listed = connection.ask([Children(paths.FACTS)])[0]
    names = listed.names if isinstance(listed, Names) else ()
    answers = connection.ask([Get(f"{paths.FACTS}/{name}") for name in names]) if names else ()
    parts: dict[str, list[bytes]] = {}
    for name, got in zip(names, answers, strict=True):
        if isinstance(got, Got):
            parts.setdefault(unquote(name.rpartition(".")[0]), []).append(got.data)
    return parts


def _settings(session: Session) -> Settings:
    try:
        return session.settings
    except Failed:
        return Settings()
