"""The command that finds images in clouds which nobody knows any more."""

from dataclasses import dataclass

import click

from nodepool_ng.cli import seen
from nodepool_ng.cli.clouds import ask_all, provider_named, trouble
from nodepool_ng.cli.session import Session
from nodepool_ng.cli.showing import Wishes, chosen, rendered, with_wishes
from nodepool_ng.drivers import DriverError, Image
from nodepool_ng.listing.table import Column, Table, printable
from nodepool_ng.model.lifecycle import ImageState


@dataclass(frozen=True, slots=True)
class AlienImage:
    provider: str
    image: Image


ALIENS: tuple[Column[AlienImage], ...] = (
    Column("Provider", "provider", lambda row: row.provider),
    Column("Name", "name", lambda row: row.image.name),
    Column("Image ID", "image_id", lambda row: row.image.id),
)


@click.command("alien-image-list")
@click.argument("provider", required=False)
@with_wishes(ages=False, watch=False)
@click.pass_obj
def alien_images(session: Session, provider: str | None, wishes: Wishes) -> None:
    """List images in clouds that say they were built here and of which there is no ready upload."""
    settings = session.settings
    providers = [provider_named(settings, provider)] if provider else list(settings.providers.values())
    with session.connected() as connection:
        uploads = seen.images(connection.ask).uploads
    known = {(str(one.provider), one.external_id) for one in uploads if one.state is ImageState.READY}
    rows = []
    for name, answer in ask_all(providers, lambda driver: driver.list_images()).items():
        if isinstance(answer, DriverError):
            click.echo(f"Provider {printable(name)} is left out: {printable(trouble(name, answer))}", err=True)
            continue
        rows += [AlienImage(name, one) for one in answer if one.build is not None and (name, one.id) not in known]
    click.echo(rendered(chosen(Table(ALIENS, tuple(rows)), wishes, session.now()), wishes.format))
