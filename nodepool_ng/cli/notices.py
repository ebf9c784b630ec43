"""What an operator should know whatever was asked: providers that are frozen, files that a launcher cannot use.

Told beside the output, never in it: tables are read by programs, too.
"""

from collections.abc import Iterator

import click

from nodepool_ng.cli import seen
from nodepool_ng.listing.table import printable
from nodepool_ng.model.freeze import forbidden


def tell_notices(ask: seen.Ask, provider: str | None = None) -> None:
    """Tell what is out of the ordinary, of one provider or of all."""
    for notice in notices(ask, provider):
        click.echo(notice, err=True)


def notices(ask: seen.Ask, provider: str | None = None) -> Iterator[str]:
    """Yield a sentence for each order to freeze, and for each launcher that goes by older files."""
    told = seen.told(ask)
    for name, order in sorted(told.freezes.items()):
        what = forbidden(order)
        if what and (provider in (None, name) or name == seen.ALL):
            where = "all providers" if name == seen.ALL else f"provider {printable(name)}"
            yield f"Frozen: no servers are {what} in {where} until `nodepool thaw {printable(name)}`."
    for launcher, document in sorted(told.facts.items()):
        broken = document.get("broken-files")
        if isinstance(broken, str):
            lines = "\n".join(f"  {printable(line)}" for line in broken.splitlines())
            yield f"Launcher {printable(launcher)} goes by what its files said before, since they are broken:\n{lines}"
