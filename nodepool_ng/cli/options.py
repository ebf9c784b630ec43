"""Kinds of arguments and options that several commands have."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from nodepool_ng.listing.table import Format

Command = TypeVar("Command", bound=Callable[..., Any])


def znode_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Take a name only where it can be one component of a ZooKeeper path; a callback for arguments and options."""
    if not value or "/" in value or value in (".", "..") or not value.isprintable():
        raise click.BadParameter(f"{value!r} cannot be the name of anything in ZooKeeper.", ctx, param)
    return value


def with_format(command: Command) -> Command:
    """Add the option that chooses between the table and the forms for programs."""
    option = click.option(
        "--format",
        type=click.Choice([format.value for format in Format]),
        default=Format.PRETTY.value,
        show_default=True,
        callback=lambda ctx, param, value: Format(value),
        help="Print the table for people, or one of the forms for programs.",
    )
    return option(command)
