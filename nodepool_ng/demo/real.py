"""The real OpenStack services of devstack/, with fake hosts: servers become ACTIVE, and nothing runs in them.

Services that did not run before are stopped at the end. What the demo put into the cloud is removed, which its own
installation's mark tells from all else.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodepool_ng.demo.children import Child, DemoFailed
from nodepool_ng.demo.clouds import Inventory
from nodepool_ng.demo.folder import CHECKOUT, Folder
from nodepool_ng.demo.settings import Region, Stage
from nodepool_ng.drivers import MARK_INSTALLATION, MARK_PROVIDER
from nodepool_ng.drivers.openstack.calls import COMPUTE, IMAGE, listed
from nodepool_ng.drivers.openstack.cloud import Cloud
from nodepool_ng.model.ids import InstallationId, ProviderName, ServerId
from nodepool_ng.model.settings import Provider

STAGE = Stage(regions=(Region("ci", "RegionOne"),), ssh=False)
WANTED = "nova"
"""With all that it needs."""
UP_TIMEOUT = 1200.0  # seconds; the first time everything is installed
GONE_TIMEOUT = 180.0  # seconds
LOOK_EVERY = 1.0  # seconds


class Real:
    """One cloud of one region, in the services' own words."""

    def __init__(self, folder: Folder, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = {**env, "PYTHONPATH": os.pathsep.join(filter(None, (str(CHECKOUT), env.get("PYTHONPATH"))))}
        self._state = Path(env.get("DEVSTACK_STATE") or CHECKOUT / ".state" / "openstack").resolve()
        self._before: frozenset[str] | None = None
        self._up: Child | None = None
        self._doors: dict[ProviderName, Cloud] = {}

    @property
    def stage(self) -> Stage:
        return STAGE

    @property
    def what(self) -> str:
        return "real OpenStack services"

    @property
    def children(self) -> Sequence[Child]:
        """The services are nobody's children."""
        return ()

    @property
    def ssh_ports(self) -> Mapping[ProviderName, int]:
        return {}

    def start(self) -> None:
        if not (CHECKOUT / "devstack").is_dir():
            raise DemoFailed("the services come from devstack/, which is in the source tree only, and this is not one")
        self._before = self._running()
        log = self._folder.logs / "devstack.log"
        self._up = Child("devstack", self._command("up", "--only", WANTED), log, self._env)

    def await_up(self) -> str:
        assert self._up is not None
        if not self._up.ended_within(UP_TIMEOUT):
            raise DemoFailed(f"the services were not up after {UP_TIMEOUT:.0f} s")
        if self._up.returncode != 0:
            raise DemoFailed("the services did not come up")
        self._folder.clouds.symlink_to(self._state / "clouds.yaml")
        for region in self.stage.regions:
            door = Cloud(
                Provider(name=region.provider, driver="openstack", cloud=region.cloud, region_name=region.name)
            )
            door.connect()
            self._doors[region.provider] = door
        return str(self._state)

    def holds(self, provider: ProviderName) -> Inventory:
        door = self._doors[provider]
        images = [image for image in _images(door) if image.get(MARK_PROVIDER) and image["status"] == "active"]
        servers = _servers(door)
        return Inventory(
            images={image["id"]: int(image["size"]) for image in images},
            servers={ServerId(server["id"]): server["name"] for server in servers},
            up=frozenset(ServerId(server["id"]) for server in servers if server["status"] == "ACTIVE"),
        )

    def clear(self, installation: InstallationId) -> None:
        for door in self._doors.values():
            deadline = time.monotonic() + GONE_TIMEOUT
            for image in _images(door):
                if image.get(MARK_INSTALLATION) == installation:
                    door.call(IMAGE, "DELETE", f"/images/{image['id']}", fine=(404,))
            asked: set[str] = set()
            while ours := {server["id"] for server in _of(door, installation)}:
                for server in ours - asked:
                    door.call(COMPUTE, "DELETE", f"/servers/{server}", fine=(404,))
                asked |= ours
                if time.monotonic() > deadline:
                    raise DemoFailed(f"servers of the demo are still there: {', '.join(sorted(ours))}")
                time.sleep(LOOK_EVERY)

    def stop(self) -> None:
        for door in self._doors.values():
            door.close()
        if self._up is None or self._before is None:
            return
        self._up.end()
        if fresh := sorted(self._running() - self._before):
            with (self._folder.logs / "devstack.log").open("ab") as log:
                subprocess.run(
                    self._command("down", *fresh), cwd=CHECKOUT, env=self._env, stdout=log, stderr=log, check=False
                )

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "devstack", "--folder", str(self._state), *words]

    def _running(self) -> frozenset[str]:
        """Return the names of the services that run."""
        done = subprocess.run(
            self._command("status"), cwd=CHECKOUT, env=self._env, capture_output=True, text=True, check=False
        )
        rows = (line.split() for line in done.stdout.splitlines())
        return frozenset(name for name, state, *_ in rows if state != "down")


def _images(door: Cloud) -> list[Any]:
    return listed(door, IMAGE, "/images", "images", {"owner": door.traits().project or ""})


def _servers(door: Cloud) -> list[Any]:
    return listed(door, COMPUTE, "/servers/detail", "servers")


def _of(door: Cloud, installation: InstallationId) -> Iterator[Any]:
    return (each for each in _servers(door) if each["metadata"].get(MARK_INSTALLATION) == installation)
