"""The command that checks the configuration."""

import click

from nodepool_ng.cli.session import Session


@click.command("config-validate")
@click.pass_obj
def validate_files(session: Session) -> None:
    """Check the configuration files strictly; no ZooKeeper and no cloud is asked."""
    from nodepool_ng.config import refused, render, validate

    click.echo(f"validating {session.config}", err=True)
    complaints = validate(session.config, session.secure)
    if complaints:
        click.echo(render(complaints), err=True)
    if refused(complaints):
        click.get_current_context().exit(1)
