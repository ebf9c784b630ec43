"""Commands that carry the image records from one ZooKeeper to another."""

import json
import os
import stat
from collections.abc import Iterable, Mapping

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.listing.table import printable
from nodepool_ng.zk import paths
from nodepool_ng.zk.paths import BuildAt, PausedAt, UploadAt
from nodepool_ng.zk.store import Commit, Committed, Create, Delete, Failure, Problem, Set, Verb

AT_ONCE = 1000
"""Sequence numbers used up in one round."""
HIGHEST = 1_000_000
"""No upload was ever numbered that high; each number below it has to be used up on its own."""


@click.command("export-image-data")
@click.argument("path", type=click.Path(dir_okay=False))
@click.pass_obj
def export_images(session: Session, path: str) -> None:
    """Write the records of builds, uploads and pauses to a file."""
    with session.connected() as connection:
        found = seen.images(connection.ask)
    session.report(found.damaged)
    records = {paths.paused(name): "" for name, flags in found.flags.items() if flags.paused}
    damaged = {record.path for record in found.damaged}
    records |= {path: data.decode("utf-8") for path, data in found.raw.items() if data and path not in damaged}
    try:
        _write(path, json.dumps(records, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror or error}.") from None


@click.command("import-image-data")
@click.argument("path", type=click.Path(dir_okay=False))
@click.pass_obj
def import_images(session: Session, path: str) -> None:
    """Put the records of such a file into ZooKeeper, over those that are there. No builder may be running."""
    records = _read(path)
    with session.connected() as connection:
        others = [at for at in records if not isinstance(paths.parse(at), UploadAt)]
        uploads = [at for at in records if isinstance(paths.parse(at), UploadAt)]
        _put(connection, {at: records[at] for at in others}, above=records)
        _advance(connection, uploads)
        _put(connection, {at: records[at] for at in uploads})


def _write(path: str, text: str) -> None:
    """Replace what the file holds; nobody but its owner may read it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        file.write(text)


def _read(path: str) -> Mapping[str, bytes]:
    """Return the records of a file by path, sorted, parents first.

    Raises:
        Failed: it cannot be read, or is not what an export writes.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise Failed(f"{path} is not JSON, nothing was imported: {printable(str(error))}.") from None
    if not isinstance(found, dict):
        raise Failed(f"{path} is not an object of records, nothing was imported.")
    for at, data in found.items():
        if not isinstance(data, str) or not _is_image_data(at):
            raise Failed(f"{path}: {printable(at)} is not the record of an image, nothing was imported.")
        number = at.rpartition("/")[2]
        if isinstance(paths.parse(at), UploadAt) and number.isdigit() and int(number) > HIGHEST:
            raise Failed(f"{path}: {printable(at)} has a number too high to be true, nothing was imported.")
    return {at: found[at].encode("utf-8") for at in sorted(found, key=lambda at: at.split("/"))}


def _is_image_data(path: str) -> bool:
    parts = path.split("/")[1:]
    named = all(part and part not in (".", "..") and part.isprintable() for part in parts)
    return named and isinstance(paths.parse(path), PausedAt | BuildAt | UploadAt)


def _put(connection: Connection, records: Mapping[str, bytes], above: Iterable[str] = ()) -> None:
    """Create or overwrite the records, and create what is missing above all of `above`."""
    missing = {parent: b"" for path in above for parent in paths.parents(path)}
    wanted = dict(sorted((missing | dict(records)).items(), key=lambda item: item[0].split("/")))
    answers = connection.ask([Commit((Create(path, data),)) for path, data in wanted.items()])
    there = [path for path, answer in zip(wanted, answers, strict=True) if not _created(answer)]
    overwritten: list[Verb] = [Commit((Set(path, records[path]),)) for path in there if path in records]
    for answer in connection.ask(overwritten) if overwritten else ():
        if isinstance(answer, Failure):
            raise Failed(f"The import ended in the middle: {answer}.")


def _advance(connection: Connection, uploads: Iterable[str]) -> None:
    """Use up sequence numbers below the parents of `uploads`, so that no later upload gets the number of one."""
    wanted: dict[str, int] = {}
    for path in uploads:
        parent, _, number = path.rpartition("/")
        if number.isdigit():
            wanted[parent] = max(int(number), wanted.get(parent, 0))
    while wanted:
        reached = dict.fromkeys(wanted, 1)
        last = _use_up(connection, reached)
        wanted = {parent: number for parent, number in wanted.items() if last[parent] < number}
        if wanted:
            last = _use_up(connection, {p: min(AT_ONCE, number - last[p]) for p, number in wanted.items()})
            wanted = {parent: number for parent, number in wanted.items() if last[parent] < number}


def _use_up(connection: Connection, counts: Mapping[str, int]) -> dict[str, int]:
    """Create and delete so many numbered znodes below each path; return the last number of each."""
    creations = [parent for parent, count in counts.items() for _ in range(count)]
    answers = connection.ask([Commit((Create(f"{parent}/", sequence=True),)) for parent in creations])
    made = [(parent, _made(answer)) for parent, answer in zip(creations, answers, strict=True)]
    connection.ask([Commit((Delete(path),)) for _, path in made])
    return {parent: int(path[-10:]) for parent, path in made}


def _created(answer: object) -> bool:
    match answer:
        case Committed():
            return True
        case Failure(Problem.NODE_EXISTS):
            return False
    raise Failed(f"The import ended in the middle: {answer}.")


def _made(answer: object) -> str:
    match answer:
        case Committed((str(path), *_)):
            return path
    raise Failed(f"The import ended in the middle: {answer}.")
