"""Building an image here and now, as a builder would, without telling anybody: for trying out a change."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import click

from nodepool_ng.builder import dib, leftovers, preflight
from nodepool_ng.builder.clouds import image_format
from nodepool_ng.builder.limits import Limits
from nodepool_ng.cli.outcome import Failed
from nodepool_ng.cli.running import run_here
from nodepool_ng.drivers import DriverError
from nodepool_ng.listing.table import printable
from nodepool_ng.model.ids import BuildId, ImageName
from nodepool_ng.model.settings import DiskImage, Settings

USUAL = "qcow2"
"""The format where nobody needs one."""


def build_dry(settings: Settings, name: ImageName, output: str | None) -> None:
    """Build with this machine's configuration; the log goes to stdout. Files stay in `output`; without it, they go.

    Raises:
        Failed: it cannot be built here, or was not.
    """
    with _folder(output) as folder:
        order = _order(settings, settings.diskimages[name], folder)
        complaints = preflight.complaints(order, preflight.look(order, os.environ))
        if complaints:
            raise Failed("\n".join(f"{name} cannot be built here: {printable(str(one))}." for one in complaints))
        result, _ = run_here(order, _show)
        if not result.succeeded:
            raise Failed(f"{name} was not built: {printable(result.why)}.")
        for file in result.files:
            kept = f": {file.path}" if output else ""
            click.echo(f"{file.format}, {file.size / 1e6:.1f} MB, after {result.duration:.0f} s{kept}", err=True)


@contextlib.contextmanager
def _folder(output: str | None) -> Iterator[Path]:
    """Give a folder for the image; only one that the operator named stays, without what was only for the building."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="nodepool-dry-") as folder:
            yield Path(folder)
        return
    folder_ = Path(output).absolute()
    try:
        folder_.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"{output} cannot be used: {error.strerror or error}.") from None
    try:
        yield folder_
    finally:
        with contextlib.suppress(OSError):
            (folder_ / leftovers.RECORDS).rmdir()


def _show(line: str) -> bool:
    click.echo(line, nl=False)
    return False


def _order(settings: Settings, configured: DiskImage, folder: Path) -> dib.BuildOrder:
    formats = set(configured.formats)
    for provider in settings.providers.values():
        if configured.name in provider.images:
            try:
                formats.add(image_format(provider))
            except DriverError as error:
                raise Failed(f"It is not known what {provider.name} needs: {printable(str(error))}.") from None
    id = BuildId(uuid.uuid4().hex)
    return dib.BuildOrder(
        image=configured.name,
        id=id,
        elements=configured.elements,
        formats=frozenset(formats or {USUAL}),
        images_dir=folder,
        log=folder / f"{configured.name}-{id}.log",
        release=configured.release,
        env_vars=configured.env_vars,
        elements_dir=settings.elements_dir,
        dib_cmd=configured.dib_cmd,
        timeout=configured.build_timeout,
        limits=Limits(memory=configured.build_memory, processes=configured.build_processes),
    )
