"""How a command ends when it is not simply done. The exit status is part of the contract: 0 done or politely
declined, 1 failed, 2 called wrongly (click's `UsageError`)."""

from typing import IO, Any

import click


class Failed(click.ClickException):
    """The command could not do its work; the message is a sentence for the operator. Exit status 1."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


class Declined(click.ClickException):
    """There was nothing to do, or a good reason not to: not a failure, unless `--strict` makes it one."""

    exit_code = 0

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file)


class StrictlyDeclined(Declined):
    """The same under `--strict`."""

    exit_code = 1
