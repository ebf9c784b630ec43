"""The command that answers "why?"."""

from collections.abc import Iterator

import click

from nodepool_ng.cli.facts import read_scene
from nodepool_ng.cli.options import with_written_format
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Session
from nodepool_ng.explain.answer import Answer
from nodepool_ng.explain.find import KINDS, find, nothing
from nodepool_ng.explain.scene import span
from nodepool_ng.listing.table import Format, printable, written

_INDENT = "  "


@click.command()
@click.argument("what", metavar="REQUEST|NODE|LABEL|IMAGE|PROVIDER")
@click.option("--kind", type=click.Choice(KINDS), help="Of which kind it is, where several things have this name.")
@with_written_format
@click.pass_obj
def explain(session: Session, what: str, kind: str | None, format: Format | None) -> None:
    """Say why something waits or is what it is, when that will be over, and what would help.

    The reasons are those of the launchers that decide; the time is estimated from how long things took lately.
    """
    with session.connected() as connection:
        scene = read_scene(session, connection)
    answers = find(scene, what, kind)
    if not answers:
        raise Failed(printable(nothing(what, kind)))
    if format is None or format.for_people:
        click.echo("\n\n".join(text(one) for one in answers))
    else:
        click.echo(written([one.plain() for one in answers], format))


def text(answer: Answer) -> str:
    """Return an answer as people read it."""
    return "\n".join(printable(line) for line in _lines(answer))


def _lines(answer: Answer) -> Iterator[str]:
    yield f"{answer.kind} {answer.name}: {answer.summary}"
    wide = max((len(name) for name, _ in answer.facts), default=0)
    for name, value in answer.facts:
        yield f"{_INDENT}{name:<{wide}}  {value}"
    if answer.why:
        yield ""
        yield "Why"
        places = max(len(one.place) for one in answer.why)
        for one in answer.why:
            yield f"{_INDENT}{one.place:<{places}}  {one.sentence}" if places else f"{_INDENT}{one.sentence}"
    for title, lines in (("Limits", answer.binding), ("Ahead of it", answer.ahead)):
        if lines:
            yield ""
            yield title
            yield from (f"{_INDENT}{line}" for line in lines)
    found = answer.estimate
    if found is not None:
        yield ""
        yield f"Will probably be served in {span(found.median)} ({span(found.early)} to {span(found.late)})"
    elif answer.unknown:
        yield ""
        yield f"No estimate: {answer.unknown}"
    if answer.changes:
        yield ""
        yield "Would serve it now" if len(answer.changes) == 1 else "Would serve it, the smallest change first"
        yield from (f"{_INDENT}{line}" for line in answer.changes)
