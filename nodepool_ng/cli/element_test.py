"""The command that tries out an element for those who write it."""

import contextlib
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from nodepool_ng.builder import dib, elements, preflight
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.running import run_here
from nodepool_ng.cli.session import Session
from nodepool_ng.listing.table import printable
from nodepool_ng.model.ids import BuildId, ImageName

MOST_CHANGES = 25
"""Changed files of a hook that are shown; of the others, how many."""
USUAL_ROOT = "ng-tiny"
"""What stands in for an operating system where an element brings none and this is to be had."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What to try the element out with."""

    others: tuple[str, ...]
    folders: tuple[str, ...]
    verbose: bool


@click.command("element-test")
@click.argument("path", type=click.Path(file_okay=False, exists=True))
@click.option("--with", "others", multiple=True, metavar="ELEMENT", help="Build it together with this one.")
@click.option("--elements-dir", "folders", multiple=True, type=click.Path(file_okay=False, exists=True), help="Where.")
@click.option("--look", is_flag=True, help="Only look at the files; build nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Show the whole log of the build.")
@click.pass_obj
def element_test(
    session: Session, path: str, others: tuple[str, ...], folders: tuple[str, ...], look: bool, verbose: bool
) -> None:
    """Try out an element: which hooks are run, in which order, and what they change.

    It is built for real, but only as a tree, with the elements of --with or else with a tiny root. Where it has
    test-elements, each of them is built with it, and has to succeed.
    """
    folder = Path(path).resolve()
    # that a copy of the element takes the element's place is what is wanted
    logging.getLogger("diskimage_builder").setLevel(logging.ERROR)
    sight = elements.look(folder)
    for sentence in sight.skipped:
        click.echo(f"Never run: {printable(sentence)}.")
    for sentence in sight.errors:
        click.echo(f"Wrong: {printable(sentence)}.")
    if sight.errors:
        raise Failed(f"{sight.name} cannot be built.")
    if not look:
        beside = [str(folder.parent), *([session_folder] if (session_folder := _configured(session)) else [])]
        wish = _Wish(others, tuple(dict.fromkeys((*folders, *beside))), verbose)
        for case in sight.cases or (None,):
            _try(folder, sight, case, wish)
    if sight.skipped:
        raise session.declined(f"{sight.name} has files that are never run.")


def _configured(session: Session) -> str | None:
    """Return the folder of the configuration's own elements, where there is a configuration at all."""
    if not Path(session.config).exists():
        return None
    return session.settings.elements_dir


def _try(folder: Path, sight: elements.Sight, case: str | None, wish: _Wish) -> None:
    title = f"{sight.name}, {case}" if case else sight.name
    with tempfile.TemporaryDirectory(prefix="nodepool-element-") as place, _elements(Path(place), folder, case) as own:
        folders = (str(own), *wish.folders)
        chosen = (sight.name, *([case] if case else []), *wish.others)
        known = elements.closure(chosen[0], chosen[1:], folders)
        if isinstance(known, str) and not wish.others:
            chosen = (*chosen, USUAL_ROOT)
            again = elements.closure(chosen[0], chosen[1:], folders)
            known = again if isinstance(again, tuple) else known
        if isinstance(known, str):
            raise Failed(f"{title}: {printable(known)}.")
        id = BuildId(uuid.uuid4().hex)
        order = dib.BuildOrder(
            image=ImageName("element-test"),
            id=id,
            elements=chosen,
            formats=frozenset({"tar"}),
            images_dir=Path(place) / "images",
            log=Path(place) / "log",
            elements_dir=":".join(folders),
            dib_cmd=f"{dib.DEFAULT_COMMAND} -n",
        )
        if complaints := preflight.complaints(order, preflight.look(order, os.environ)):
            raise Failed("\n".join(f"{title}: {printable(str(one))}." for one in complaints))
        trial = elements.Trial()
        result, said = run_here(order, _listener(trial, verbose=wish.verbose))
        _tell(title, sight, trial)
        if not result.succeeded:
            if not wish.verbose:
                click.echo("".join(said), nl=False)
            raise Failed(f"{title}: {printable(result.why)}.")


@contextlib.contextmanager
def _elements(place: Path, folder: Path, case: str | None) -> Iterator[Path]:
    """Give a folder with the element under its probes, and its test."""
    own = place / "elements"
    own.mkdir()
    elements.probed(folder, own / folder.name)
    if case is not None:
        elements.probed(folder / elements.CASES / case, own / case)
    yield own


def _listener(trial: elements.Trial, *, verbose: bool) -> Callable[[str], bool]:
    """Return what hears each line of the log and tells whether it is worth keeping for the case of a failure."""

    def hear(line: str) -> bool:
        told = trial.hear(line)
        if verbose and not told:
            click.echo(line, nl=False)
        # diskimage-builder traces itself, to the end of its cleaning up
        return not told and "diskimage_builder/" not in line and " diskimage_builder." not in line

    return hear


def _tell(title: str, sight: elements.Sight, trial: elements.Trial) -> None:
    click.echo(f"{title}:")
    for number, run in enumerate(trial.runs, 1):
        own = " *" if run.name in sight.hooks else ""
        failed = f", exit code {run.status}" if run.status else ""
        took = f" ({run.seconds:.1f} s)" if run.seconds is not None else ""
        click.echo(f"{number:3}. {printable(run.name)}{own}{took}{failed}")
        for change in run.changes[:MOST_CHANGES]:
            click.echo(f"       {change.sign} {printable(change.path)}")
        if len(run.changes) > MOST_CHANGES:
            click.echo(f"       and {len(run.changes) - MOST_CHANGES} files more")
    missing = [hook for hook in sight.hooks if hook not in {run.name for run in trial.runs}]
    for hook in missing:
        click.echo(f"Not reached: {printable(hook)}.")
