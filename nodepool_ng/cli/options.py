"""Kinds of arguments and options that several commands have."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from nodepool_ng.listing.table import Format
from nodepool_ng.model.ids import NodeId

ID_DIGITS = 10

Command = TypeVar("Command", bound=Callable[..., Any])


def znode_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Take a name only where it can be one component of a ZooKeeper path; a callback for arguments and options."""
    if not value or "/" in value or value in (".", "..") or not value.isprintable():
        raise click.BadParameter(f"{value!r} cannot be the name of anything in ZooKeeper.", ctx, param)
    return value


def node_id(ctx: click.Context, param: click.Parameter, value: str) -> NodeId:
    """Take the id of a node, with or without its leading zeros; a callback."""
    return whole_id(znode_name(ctx, param, value))


def whole_id(value: str) -> NodeId:
    """Return an id as ZooKeeper writes it: a number has ten digits."""
    return NodeId(value.zfill(ID_DIGITS) if value.isascii() and value.isdecimal() else value)


def with_format(command: Command) -> Command:
    """Add the option that chooses between the table and the forms for programs; None where it is not given."""
    return _format(
        tuple(Format), "Print the table for scripts (pretty), with all columns (wide), or a form for programs."
    )(command)


def with_written_format(command: Command) -> Command:
    """Add the same option to a command whose answer is not one table."""
    forms = (Format.PRETTY, Format.JSON, Format.YAML)
    return _format(forms, "Print it for people (pretty), or in a form for programs.")(command)


def _format(forms: Sequence[Format], help: str) -> Callable[[Command], Command]:
    return click.option(
        "--format",
        type=click.Choice([form.value for form in forms]),
        callback=lambda ctx, param, value: None if value is None else Format(value),
        help=help,
    )
