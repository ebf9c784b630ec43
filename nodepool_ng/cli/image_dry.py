"""Building an image here and now, as a builder would, without telling anybody: for trying out a change."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import click

from nodepool_ng.builder import dib, leftovers, preflight
from nodepool_ng.builder.clouds import image_format
from nodepool_ng.cli.outcome import Failed
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
        result = _built(order)
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
    )


def _built(order: dib.BuildOrder) -> dib.BuildResult:
    """Build, with the log on stdout: the log is a pipe, and a thread passes on what comes out of it."""
    os.mkfifo(order.log, 0o600)
    # not waiting for a writer: there may never be one
    reading = os.open(order.log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        try:
            running = dib.start(order, os.environ)
        except (OSError, ValueError) as error:
            raise Failed(f"The build could not be started: {printable(str(error))}.") from None
        os.set_blocking(reading, True)
        passing = threading.Thread(target=_pass_on, args=(reading,), name="log", daemon=True)
        passing.start()
        with _ending_on_signals(running):
            result = running.wait()
        passing.join(leftovers.COMMAND_TIMEOUT)
        return result
    finally:
        os.close(reading)
        order.log.unlink(missing_ok=True)


def _pass_on(reading: int) -> None:
    while text := os.read(reading, 65536):
        sys.stdout.write(text.decode("utf-8", "replace"))
        sys.stdout.flush()


@contextlib.contextmanager
def _ending_on_signals(running: dib.RunningBuild) -> Iterator[None]:
    """Let Ctrl-C and TERM end the build, which then cleans up, rather than us."""
    before = {
        number: signal.signal(number, lambda *_: running.cancel(by_order=True))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
