"""The processes of the demo, and how they come up and go down."""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from nodepool_ng.demo import building, settings
from nodepool_ng.demo.children import Child, DemoFailed, program
from nodepool_ng.demo.clouds import Clouds
from nodepool_ng.demo.folder import Folder
from nodepool_ng.demo.scheduler import Scheduler
from nodepool_ng.demo.view import View
from nodepool_ng.model.ids import InstallationId, Seconds
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.zookeeper import NoZooKeeper, Server, private_server
from nodepool_ng.zk.client import KazooStore
from nodepool_ng.zk.installation import join

LOOPBACK = "127.0.0.1,localhost"
FOREIGN = ("STATSD_", "OS_", "DIB_", "NODEPOOL_")
"""Beginnings of environment variables that would have the daemons do other than the demo's configuration says."""


@dataclass(slots=True)
class Parts:
    """What runs. `stop` ends all of it, in the order in which nobody misses anybody."""

    folder: Folder
    env: Mapping[str, str]
    clouds: Clouds
    daemons: list[Child] = field(default_factory=list)
    zookeeper: Server | None = None
    store_ends: ExitStack = field(default_factory=ExitStack)
    installation: InstallationId | None = None
    sessions: list[View | Scheduler] = field(default_factory=list)
    pages: str = ""
    """Where the launcher shows its pages."""

    @property
    def children(self) -> tuple[Child, ...]:
        return (*self.daemons, *self.clouds.children)

    def check(self) -> None:
        """Raise `DemoFailed` when something that should run does not."""
        for child in self.children:
            if child.returncode is not None:
                raise DemoFailed(f"{child.name} has ended with exit status {child.returncode}")

    def bring_back(self) -> list[str]:
        """Start the daemons anew that were killed, as a service manager does; return a sentence on each. Raises
        `DemoFailed` when something has ended in another way."""
        told = []
        for place, daemon in enumerate(self.daemons):
            if daemon.returncode is not None and daemon.returncode < 0:
                self.daemons[place] = again = daemon.again()
                told.append(f"{daemon.name} was killed ({daemon.ending}), and is back as process {again.pid}")
        self.check()
        return told

    def store(self) -> KazooStore:
        """Return a new session, to be started."""
        assert self.zookeeper is not None
        return KazooStore(ZooKeeperSettings(hosts=(self.zookeeper.address,)))

    def stop_daemons(self) -> Mapping[str, int]:
        """End launcher and builder as an operator would; return their exit statuses by name."""
        for daemon in self.daemons:
            daemon.ask_to_end()
        return {daemon.name: daemon.end() for daemon in self.daemons}

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for session in reversed(self.sessions):
            session.stop()
        self.stop_daemons()
        try:
            if self.installation is not None:
                self.clouds.clear(self.installation)
        finally:
            self.clouds.stop()
            self.store_ends.close()


def environment(folder: Folder, base: Mapping[str, str]) -> dict[str, str]:
    """Return the daemons' environment: nothing that leads them elsewhere, no proxy on the way to this machine."""
    env = {name: value for name, value in base.items() if not name.startswith(FOREIGN)}
    for name in ("no_proxy", "NO_PROXY"):
        env[name] = ",".join(filter(None, (env.get(name), LOOPBACK)))
    return {
        **env,
        "OS_CLIENT_CONFIG_FILE": str(folder.clouds),
        "PYTHONUNBUFFERED": "1",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", os.defpath))),
    }


def start_zookeeper(parts: Parts) -> str:
    """Start a private ZooKeeper, with its data in the demo's folder, and return its address."""
    tempfile.tempdir = str(parts.folder.scratch)
    try:
        parts.zookeeper = parts.store_ends.enter_context(private_server())
    except NoZooKeeper as error:
        raise DemoFailed(str(error)) from None
    return parts.zookeeper.address


def start_daemons(parts: Parts, *, really: bool) -> None:
    """Write the configuration, and start builder and launcher on it."""
    folder = parts.folder
    assert parts.zookeeper is not None
    dib_cmd = None if really else building.STAND_IN
    web = _free_port()
    parts.pages = f"http://{settings.LOOPBACK}:{web}/"
    folder.config.write_text(
        settings.nodepool(folder, parts.clouds.stage, parts.zookeeper.port, web, parts.clouds.ssh_ports, dib_cmd)
    )
    for name in ("builder", "launcher"):
        parts.daemons.append(_daemon(parts, name))


def open_sessions(parts: Parts) -> tuple[View, Scheduler]:
    """Connect the eyes of the demo and its CI scheduler."""
    view = View(parts.store())
    scheduler = Scheduler(parts.store())
    for session in (view, scheduler):
        parts.sessions.append(session)
        session.start()
    return view, scheduler


def prepare_tree(parts: Parts) -> None:
    """Create what every peer finds in a tree that is in use, so that all may look at once."""
    store = parts.store()
    store.start()
    try:
        parts.installation = join(store, lambda patience: False)
    finally:
        store.stop()


def wait_for(
    parts: Parts, view: View, condition: Callable[[], bool], timeout: Seconds, what: str, every: Seconds = 0.25
) -> None:
    """Wait until `condition`, which looks and shows, is true. Raises `DemoFailed` when something ended meanwhile, or
    after `timeout`."""
    deadline = time.monotonic() + timeout
    while not condition():
        parts.check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"after {timeout:.0f} s there is still no {what}")
        view.wait(every)


def _free_port() -> int:
    """Return a port that nobody has; should somebody take it, the launcher waits for it, and goes on without pages."""
    with socket.socket() as probe:
        probe.bind((settings.LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _daemon(parts: Parts, name: str) -> Child:
    folder = parts.folder
    command = [program(f"nodepool-{name}"), "-f", "-c", str(folder.config)]
    command += ["-p", str(folder.pid_file(name))]
    return Child(f"nodepool-{name}", command, folder.logs / f"{name}.log", parts.env)
