"""The command `nodepool-sim`: simulated clouds on a port of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click

from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import ConfigError, SimSettings, load
from nodepool_ng.sim.http.serve import at_socket, listen, serve, server_of
from nodepool_ng.sim.http.ssh import ports


@click.command()
@click.option("--config", "config", type=click.Path(path_type=Path), help="YAML file that describes the clouds.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port to listen on; 0 takes a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port-file", type=click.Path(path_type=Path), help="File to write the chosen port to.")
@click.option("--clouds-yaml", "clouds_file", type=click.Path(path_type=Path), help="clouds.yaml to write.")
def main(config: Path | None, port: int, host: str, port_file: Path | None, clouds_file: Path | None) -> None:
    """Serve simulated OpenStack clouds until stopped.

    Without a configuration there is one cloud, `sim`, with one region, `RegionOne`.
    """
    try:
        settings = SimSettings() if config is None else load(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    try:
        listener = listen(host, port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror}") from error
    site = at_socket(settings, listener)
    server = server_of(site)

    def ready() -> None:
        if clouds_file is not None:
            _write(clouds_file, clouds_yaml(settings, site.base_url))
        if port_file is not None:
            _write(port_file, f"{listener.getsockname()[1]}\n")
        doors = "".join(f", ssh of {name} on port {number}" for name, number in ports(site).items())
        click.echo(f"Simulated clouds {', '.join(site.clouds)} at {site.base_url}{doors}")

    # uvicorn raises a signal again once it has stopped: without these the process would then die of it.
    for stopping in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopping, lambda number, frame: None)
    with listener:
        asyncio.run(serve(site, server, listener, ready))


def _write(path: Path, text: str) -> None:
    """Write a file that others may be waiting for: it appears complete or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


if __name__ == "__main__":
    main()
