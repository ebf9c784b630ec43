"""The running simulation: one socket, one event loop, all clouds.

`running` serves from a thread of the calling process, which is what tests want; `nodepool-sim` serves from the
main thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from nodepool_ng.sim.client import SimClient
from nodepool_ng.sim.config import SimSettings
from nodepool_ng.sim.http.admin import admin
from nodepool_ng.sim.http.cinder import cinder
from nodepool_ng.sim.http.discovery import discovery
from nodepool_ng.sim.http.glance import glance
from nodepool_ng.sim.http.ironic import ironic
from nodepool_ng.sim.http.keystone import keystone
from nodepool_ng.sim.http.neutron import neutron
from nodepool_ng.sim.http.nova import nova
from nodepool_ng.sim.http.site import Site, build
from nodepool_ng.sim.http.ssh import SshDoors, prepared

START_TIMEOUT = 10.0  # seconds
BACKLOG = 2048  # connections; a burst of a whole thread pool must not be refused


@dataclass(frozen=True, slots=True)
class Running:
    """A simulation that serves, for tests in the same process: the model itself can be looked at too."""

    site: Site
    client: SimClient

    @property
    def url(self) -> str:
        """The base of all URLs."""
        return self.site.base_url


def app(site: Site) -> Starlette:
    """Return the application for a site."""
    # The calls that come most often stand first: routes are tried in order.
    return Starlette(
        routes=[
            *nova(site),
            *neutron(site),
            *glance(site),
            *cinder(site),
            *ironic(site),
            *keystone(site),
            *admin(site),
            *discovery(site),
        ]
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one."""
    # asyncio switches Nagle's algorithm off only where a socket says that it is TCP (socket.create_server's does not),
    # and every answer with a body would wait 40 ms for the client's delayed acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the base URL of what will be served on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def at_socket(settings: SimSettings, listener: socket.socket) -> Site:
    """Return the site that a socket will serve, in real time."""
    return build(prepared(settings, random.Random()), url_of(listener), time.time)


def server_of(site: Site) -> uvicorn.Server:
    """Return the web server of a site."""
    config = uvicorn.Config(
        app(site),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        backlog=BACKLOG,
    )
    return uvicorn.Server(config)


async def serve(site: Site, server: uvicorn.Server, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until `server.should_exit` is set; ready is called once requests are answered."""
    doors = asyncio.create_task(SshDoors(site).run())
    started = asyncio.create_task(_announce(server, ready))
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in (started, doors):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _announce(server: uvicorn.Server, ready: Callable[[], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.005)
    ready()


@contextlib.contextmanager
def running(settings: SimSettings, host: str = "127.0.0.1") -> Iterator[Running]:
    """Serve from a thread as long as the body lasts."""
    listener = listen(host, 0)
    site = at_socket(settings, listener)
    server = server_of(site)
    ready = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(serve(site, server, listener, ready.set)), name="simulated-clouds", daemon=True
    )
    thread.start()
    try:
        if not ready.wait(START_TIMEOUT):
            raise RuntimeError("the simulated clouds did not start")
        yield Running(site, SimClient(site.base_url))
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT)
        listener.close()
