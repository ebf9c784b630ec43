"""Asking before something that concerns many."""

import sys

import click

from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.session import Session

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def make_sure(session: Session, sentence: str, *, yes: bool) -> None:
    """Ask a person on a terminal; nobody else can be asked, so they have to say `--yes`.

    Raises:
        Declined: the answer was no, or there was none.
        Failed: there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failed(f"{sentence} Nobody can be asked here: add --yes if that is what you want.")
    try:
        sure = click.confirm(f"{sentence} Go on?", default=False)
    except click.Abort:
        click.echo()
        sure = False
    if not sure:
        raise session.declined("Nothing was changed.")
