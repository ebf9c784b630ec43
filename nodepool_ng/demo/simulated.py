"""The simulated clouds, in a process of the demo's own."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nodepool_ng.demo import settings
from nodepool_ng.demo.children import Child, DemoFailed, program
from nodepool_ng.demo.clouds import Inventory
from nodepool_ng.demo.folder import Folder
from nodepool_ng.demo.settings import Stage
from nodepool_ng.model.ids import InstallationId, ProviderName, ServerId
from nodepool_ng.sim.client import RegionClient, SimClient

START_TIMEOUT = 60.0  # seconds; on a busy machine Python alone takes a few to import everything


class Simulated:
    """Two clouds of three regions that answer as OpenStack does, and whose servers answer SSH."""

    def __init__(self, folder: Folder, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._child: Child | None = None
        self._regions: dict[ProviderName, RegionClient] = {}

    @property
    def stage(self) -> Stage:
        return settings.SIMULATED

    @property
    def what(self) -> str:
        return "simulated clouds"

    @property
    def children(self) -> Sequence[Child]:
        return () if self._child is None else (self._child,)

    @property
    def ssh_ports(self) -> Mapping[ProviderName, int]:
        ports = {provider: region.state().ssh_port for provider, region in self._regions.items()}
        return {provider: port for provider, port in ports.items() if port is not None}

    def start(self) -> None:
        folder = self._folder
        config = folder.path / "simulation.yaml"
        config.write_text(settings.simulation())
        options = ["--config", str(config), "--port-file", str(self._port), "--clouds-yaml", str(folder.clouds)]
        self._child = Child("nodepool-sim", [program("nodepool-sim"), *options], folder.logs / "sim.log", self._env)

    def await_up(self) -> str:
        assert self._child is not None
        deadline = time.monotonic() + START_TIMEOUT
        while not self._port.exists():
            if self._child.ended_within(0.02):
                raise DemoFailed(f"{self._child.name} has ended with exit status {self._child.returncode}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._child.name} was not up after {START_TIMEOUT:.0f} s")
        url = f"http://{settings.LOOPBACK}:{self._port.read_text().strip()}"
        client = SimClient(url)
        self._regions = {each.provider: client.region(each.cloud, each.name) for each in self.stage.regions}
        return url

    def holds(self, provider: ProviderName) -> Inventory:
        state = self._regions[provider].state()
        # a region may have other images from the beginning
        uploaded = [each for each in state.images if each.get("nodepool_provider_name") and each["status"] == "active"]
        return Inventory(
            images={image["id"]: int(image["size"]) for image in uploaded},
            servers={ServerId(server.id): server.name for server in state.live},
            up=frozenset(ServerId(server.id) for server in state.live if server.status == "ACTIVE"),
            refusals=state.counters.refusals,
        )

    def clear(self, installation: InstallationId) -> None:
        """Nothing outlives the process."""

    def stop(self) -> None:
        if self._child is not None:
            self._child.end()

    @property
    def _port(self) -> Path:
        return self._folder.path / "simulation.port"
