"""The SSH door of booted servers: a real banner and real host keys on 127.0.0.0/8, and no way in.

Level-triggered: every tick it compares the servers that should answer with the listeners there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import asyncssh

from nodepool_ng.sim.config import CloudSettings, SimSettings
from nodepool_ng.sim.http.site import Site
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Server, Status
from nodepool_ng.sim.settings import RegionSettings, Ssh

TICK = 0.05  # seconds between two looks
BANNER = "SimulatedSSH_1.0"


def prepared(settings: SimSettings, rng: random.Random) -> SimSettings:
    """Return settings in which every region with ssh has a loopback network and a port of its own."""
    return settings.model_copy(
        update={"clouds": {name: _prepared_cloud(cloud, rng) for name, cloud in settings.clouds.items()}}
    )


def _prepared_cloud(cloud: CloudSettings, rng: random.Random) -> CloudSettings:
    regions = {name: _prepared_region(region, rng) for name, region in cloud.regions.items()}
    return cloud.model_copy(update={"regions": regions})


def _prepared_region(region: RegionSettings, rng: random.Random) -> RegionSettings:
    if region.ssh is None:
        return region
    network = region.ssh.network or f"127.{rng.randint(16, 250)}.{rng.randint(1, 250)}.0/24"
    port = region.ssh.port or _free_port(str(ipaddress.ip_network(network)[-2]))
    networks = region.networks
    if not any(ipaddress.ip_network(cidr).is_loopback for each in networks for cidr in each.cidrs):
        networks = (networks[0].model_copy(update={"cidrs": (network,)}), *networks[1:])
    ssh = region.ssh.model_copy(update={"network": network, "port": port})
    return region.model_copy(update={"ssh": ssh, "networks": networks})


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as listener:
        return int(listener.getsockname()[1])


class _NoEntry(asyncssh.SSHServer):
    """Answers with its keys and lets nobody in."""

    def begin_auth(self, username: str) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Door:
    server: str
    address: str


class SshDoors:
    """The listeners of all regions that have ssh."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._keys: dict[str, asyncssh.SSHKey] = {}
        self._open: dict[_Door, asyncssh.SSHAcceptor] = {}
        self._delays: dict[str, float] = {}

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions whose servers answer SSH."""
        return tuple(
            region
            for cloud in self._site.clouds.values()
            for region in cloud.regions.values()
            if region.settings.ssh is not None
        )

    async def run(self) -> None:
        """Open and close doors until cancelled."""
        if not self.regions:
            return
        try:
            while True:
                await self.look(self._site.clock())
                await asyncio.sleep(TICK)
        finally:
            await self.close()

    async def look(self, now: float) -> None:
        """Open the doors of those that have booted, close those of the others."""
        wanted: dict[_Door, Ssh] = {}
        for region in self.regions:
            assert region.settings.ssh is not None
            region.gate.settle(now)
            for server in region.servers.live.values():
                if self._answers(server, region, region.settings.ssh, now):
                    wanted |= {_Door(server.id, address): region.settings.ssh for address in loopback(server)}
        gone = [door for door in self._open if door not in wanted]
        for door in gone:
            await _shut(self._open.pop(door))
        for door, ssh in wanted.items():
            if door not in self._open:
                # An address that is still in use by the system is tried again at the next look.
                with contextlib.suppress(OSError):
                    self._open[door] = await self._listen(door, ssh)

    async def close(self) -> None:
        """Close all doors."""
        while self._open:
            await _shut(self._open.popitem()[1])

    def _answers(self, server: Server, region: Region, ssh: Ssh, now: float) -> bool:
        if server.status(now) is not Status.ACTIVE or server.delete_asked <= now or not server.answers_ssh:
            return False
        delay = self._delays.get(server.id)
        if delay is None:
            delay = self._delays[server.id] = ssh.delay.draw(random.Random(server.id))
        return server.settles + delay <= now

    async def _listen(self, door: _Door, ssh: Ssh) -> asyncssh.SSHAcceptor:
        keys = [self._key(kind, door.server if ssh.key_per_server else "") for kind in ssh.keys]
        return await asyncssh.create_server(
            _NoEntry, door.address, ssh.port, server_host_keys=keys, server_version=BANNER, login_timeout=20
        )

    def _key(self, kind: str, server: str) -> asyncssh.SSHKey:
        # Keys of other kinds than ed25519 are dear to make, so servers always share them.
        if server and kind == "ssh-ed25519":
            return asyncssh.generate_private_key(kind)
        if kind not in self._keys:
            self._keys[kind] = asyncssh.generate_private_key(kind)
        return self._keys[kind]


def loopback(server: Server) -> tuple[str, ...]:
    """Return the addresses of a server that can be listened on here."""
    return tuple(each.address for each in server.addresses if ipaddress.ip_address(each.address).is_loopback)


async def _shut(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    await acceptor.wait_closed()


def ports(site: Site) -> Mapping[str, int]:
    """Return the SSH port of each region that has one, as cloud/region."""
    return {
        f"{cloud.name}/{region.name}": region.settings.ssh.port
        for cloud in site.clouds.values()
        for region in cloud.regions.values()
        if region.settings.ssh is not None and region.settings.ssh.port is not None
    }
