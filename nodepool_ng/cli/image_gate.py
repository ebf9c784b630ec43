"""Commands about the gate before service: what canaries have shown, and putting another upload into service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.options import with_format, znode_name
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Connection, Session
from nodepool_ng.cli.showing import rendered
from nodepool_ng.listing.table import Column, Format, Table, age, printable
from nodepool_ng.model.gate import Gate, GateState, at_gate, gate_of, in_service
from nodepool_ng.model.ids import ImageName, ProviderName, Timestamp
from nodepool_ng.model.image import Upload
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.zk import paths
from nodepool_ng.zk.codec import decode_upload, encode_upload
from nodepool_ng.zk.facts import decode_facts
from nodepool_ng.zk.store import Failure, Problem, Set

WRITE_TRIES = 5


@dataclass(frozen=True, slots=True)
class GateRow:
    upload: Upload
    gate: Gate | None
    serves: bool
    """Nodes are made from this one."""
    now: Timestamp


GATES: tuple[Column[GateRow], ...] = (
    Column("Image", "image", lambda row: row.upload.image),
    Column("Provider", "provider", lambda row: row.upload.provider),
    Column("Build ID", "build", lambda row: row.upload.build),
    Column("Upload ID", "upload", lambda row: row.upload.id),
    Column("In Service", "in_service", lambda row: row.serves),
    Column("Gate", "gate", lambda row: row.gate.state if row.gate else None),
    Column("Age", "since", lambda row: int(_since(row)), lambda row: age(_since(row), row.now)),
    Column("Boot", "seconds", lambda row: row.gate.seconds if row.gate else None),
    Column("Why", "why", lambda row: (row.gate.why or None) if row.gate else None),
)


def _since(row: GateRow) -> Timestamp:
    return row.gate.since if row.gate else row.upload.state_time


@click.command("image-gates")
@click.argument("image", required=False, callback=lambda ctx, param, value: value and znode_name(ctx, param, value))
@click.option("--console", is_flag=True, help="Show what failed canaries printed on their consoles, too.")
@with_format
@click.pass_obj
def show_gates(session: Session, image: str | None, console: bool, format: Format | None) -> None:
    """Show which upload of each image is in service where, and what canaries have shown."""
    with session.connected() as connection:
        found = seen.images(connection.ask)
        wanted = [one for one in found.uploads if one.state is ImageState.READY and image in (None, one.image)]
        consoles = {_name(one): _console(connection, one) for one in wanted} if console else {}
    serving = {_name(one) for one in _serving(wanted)}
    now = session.now()
    ordered = sorted(wanted, key=lambda one: (one.image, one.provider, -one.state_time))
    rows = tuple(GateRow(one, gate_of(one), _name(one) in serving, now) for one in ordered)
    click.echo(rendered(Table(GATES, rows), format))
    for name, text in consoles.items():
        if text:
            click.echo(f"\nConsole of the canary of {name}:")
            click.echo("\n".join(map(printable, text.split("\n"))))
    session.report(found.damaged)


@click.command("image-rollback")
@click.argument("image", callback=znode_name)
@click.option("--provider", callback=lambda ctx, param, value: value and znode_name(ctx, param, value))
@click.option("--undo", is_flag=True, help="Put the newest upload into service instead, whatever it has shown.")
@click.pass_obj
def rollback(session: Session, image: str, provider: str | None, undo: bool) -> None:
    """Put the upload before the present one back in service, at once: in one provider, or in all.

    The present one stays where it is and is not used any more. The next build comes into service as usual.
    """
    name = ImageName(image)
    with session.connected() as connection:
        found = seen.images(connection.ask)
        mine = [one for one in found.uploads if one.image == name and one.state is ImageState.READY]
        places = sorted({one.provider for one in mine if provider in (None, one.provider)})
        if not places:
            raise session.declined(f"There is no ready upload of {name}{f' in {provider}' if provider else ''}.")
        changed = [_turn(connection, session, [one for one in mine if one.provider == place], undo) for place in places]
        for line in filter(None, changed):
            click.echo(line)
    if not any(changed):
        raise session.declined(
            f"{name} is served by its newest upload everywhere."
            if undo
            else f"There is no other upload of {name} to go back to."
        )


def _turn(connection: Connection, session: Session, uploads: Sequence[Upload], undo: bool) -> str | None:
    """Change what serves in one provider; return what was done, None where there is nothing to be done."""
    newest = sorted(uploads, key=lambda one: one.state_time, reverse=True)
    served = [one for one in newest if in_service(one)]
    if undo:
        one, state, words = newest[0], GateState.PASSED, "an operator put it into service"
        if in_service(one):
            return None
    else:
        if len(served) < 2:
            return None
        one, state, words = served[0], GateState.WITHDRAWN, "an operator took it out of service"
    before = gate_of(one)
    gate = Gate(
        state=state,
        since=session.now(),
        why=words,
        seconds=before.seconds if before else None,
        keys=before.keys if before else (),
    )
    _write(connection, one, gate)
    now_serving = one if undo else served[1]
    return f"{one.provider}: {one.image} is served by build {now_serving.build} now."


def _write(connection: Connection, upload: Upload, gate: Gate) -> None:
    path = paths.upload(upload.image, upload.build, upload.provider, upload.id)
    for _ in range(WRITE_TRIES):
        got = connection.get(path)
        record = decode_upload(upload.image, upload.build, upload.provider, upload.id, got.data) if got else None
        if got is None or not isinstance(record, Upload) or record.state is not ImageState.READY:
            raise Failed(f"The upload {_name(upload)} changed meanwhile; look again.")
        match connection.commit(Set(path, encode_upload(at_gate(record, gate)), got.stat.version)):
            case Failure(Problem.BAD_VERSION | Problem.NO_NODE):
                continue
            case Failure() as failure:
                raise Failed(f"{failure}.")
        return
    raise Failed("The record of this upload is being changed over and over; nothing was changed by this command.")


def _serving(uploads: Iterable[Upload]) -> Iterable[Upload]:
    newest: dict[tuple[ImageName, ProviderName], Upload] = {}
    for one in uploads:
        key = (one.image, one.provider)
        if in_service(one) and (key not in newest or one.state_time > newest[key].state_time):
            newest[key] = one
    return newest.values()


def _console(connection: Connection, upload: Upload) -> str | None:
    got = connection.get(paths.canary(upload.image, upload.build, upload.provider, upload.id))
    found = decode_facts([got.data]) if got else None
    console = found.get("console") if found else None
    return console if isinstance(console, str) else None


def _name(upload: Upload) -> str:
    return f"{upload.image}-{upload.build}/{upload.provider}/{upload.id}"
