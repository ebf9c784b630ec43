"""What builders have written down beside the records: documents about their work, and the sheets of builds."""

from collections.abc import Mapping
from typing import Any

from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection
from nodepool_ng.model.ids import BuildId, ImageName
from nodepool_ng.zk import paths
from nodepool_ng.zk.facts import decode_facts
from nodepool_ng.zk.store import Children, Failure, Get, Got, Names, Problem

READ_TRIES = 3


def builders(connection: Connection) -> list[dict[str, Any]]:
    """Return the document of every builder that runs. Raises `Failed`."""
    for _ in range(READ_TRIES):
        shards: dict[str, list[bytes]] = {}
        names = _children(connection, paths.BUILDER_FACTS)
        for name, data in _read(connection, [f"{paths.BUILDER_FACTS}/{name}" for name in names]).items():
            shards.setdefault(name.rpartition(".")[0], []).append(data)
        found = [decode_facts(parts) for _, parts in sorted(shards.items())]
        whole = [document for document in found if document is not None]
        if len(whole) == len(found):
            break
    return whole


def sheets(connection: Connection, image: ImageName) -> list[dict[str, Any]]:
    """Return the sheets of an image's builds, the newest first. Raises `Failed`."""
    folder = paths.sheets(image)
    names = _children(connection, folder)
    found = [decode_facts([data]) for data in _read(connection, [f"{folder}/{name}" for name in names]).values()]
    return sorted((sheet for sheet in found if sheet), key=_began, reverse=True)


def sheet(connection: Connection, image: ImageName, build: BuildId) -> dict[str, Any] | None:
    """Return the sheet of a build, None where there is none. Raises `Failed`."""
    got = connection.get(paths.sheet(image, build))
    return decode_facts([got.data]) if got else None


def _began(sheet: Mapping[str, Any]) -> float:
    began = sheet.get("began")
    return float(began) if isinstance(began, int | float) else 0.0


def _children(connection: Connection, path: str) -> tuple[str, ...]:
    match connection.ask([Children(path)])[0]:
        case Names(names):
            return names
        case Failure(problem) as failure if problem is not Problem.NO_NODE:
            raise Failed(f"{failure}.")
    return ()


def _read(connection: Connection, wanted: list[str]) -> dict[str, bytes]:
    answers = connection.ask([Get(path) for path in wanted]) if wanted else ()
    return {path: answer.data for path, answer in zip(wanted, answers, strict=True) if isinstance(answer, Got)}
