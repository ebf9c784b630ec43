"""Where one set of services keeps its things, and on which ports it listens."""

import json
import os
import random
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
REGION = "RegionOne"
PORTS = (20000, 32000)
"""Free ones are looked for from here to there; Linux gives outgoing connections those from 32768 on."""
SERVICES_WITH_PORTS = (
    "keystone",
    "placement",
    "glance",
    "neutron",
    "nova",
    "ironic",
    "mariadb",
    "rabbit",
    "rabbit-peers",
    "epmd",
    "memcached",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder, the ports and the password of one set of services. They outlive a restart, since the databases hold
    them."""

    folder: Path
    ports: Mapping[str, int]
    password: str
    venv: Path
    """Where the services are installed; several places may share it."""
    vms: bool = False
    """Whether servers are virtual machines with a network, or fakes."""

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def pids(self) -> Path:
        return self.folder / "pid"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """MariaDB's."""
        return self.data / "mariadb.sock"

    @property
    def clouds_yaml(self) -> Path:
        return self.folder / "clouds.yaml"

    def program(self, name: str) -> str:
        """Return the path of a program of the services' own environment."""
        return str(self.venv / "bin" / name)

    def requests(self, service: str) -> Path:
        """Return the file in which an API writes a line for each request."""
        return self.logs / f"{service}-requests.log"

    def url(self, service: str) -> str:
        """Return where a service's API is."""
        return f"http://{HOST}:{self.ports[service]}"

    @property
    def identity(self) -> str:
        return f"{self.url('keystone')}/v3"

    def database(self, name: str) -> str:
        """Return the URL of a database, as SQLAlchemy wants it."""
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.socket}&charset=utf8mb3"

    @property
    def namespace(self) -> str:
        """The network namespace that virtual machines and their network are in."""
        return f"devstack-{self.ports['keystone']}"

    @property
    def messages(self) -> str:
        """Return the URL of RabbitMQ, as oslo.messaging wants it."""
        return f"rabbit://guest:guest@{HOST}:{self.ports['rabbit']}/"


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `$DEVSTACK_STATE`, or `.state/openstack` of this checkout."""
    return Path(environ.get("DEVSTACK_STATE") or ROOT / ".state" / "openstack").resolve()


def find(folder: Path) -> Place | None:
    """Return the place that a folder was made into; None where it was not."""
    try:
        kept = json.loads((folder / "place.json").read_text())
    except FileNotFoundError:
        return None
    return Place(
        folder=folder,
        ports=kept["ports"],
        password=kept["password"],
        vms=kept.get("vms", False),
        venv=Path(kept.get("venv") or folder / "venv"),
    )


def make(folder: Path, first_port: int | None, *, vms: bool = False, venv: Path | None = None) -> Place:
    """Return the place of a folder, which is made into one first if it has to be.

    Ports are counted from `first_port`; with None, free ones are taken. Once chosen they stay, and so do `vms` and
    `venv`.
    """
    known = find(folder)
    if known is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    ports = _free_ports() if first_port is None else {n: first_port + i for i, n in enumerate(SERVICES_WITH_PORTS)}
    made = {"ports": ports, "password": secrets.token_hex(12), "vms": vms, "venv": str(venv or folder / "venv")}
    draft = folder / "place.json.new"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(made, indent=1))
    draft.replace(folder / "place.json")
    kept = find(folder)
    assert kept is not None
    return kept


def _free_ports() -> dict[str, int]:
    """Return ports that are free at the moment, one after the other.

    They are taken from below those that outgoing connections are given, so that none is in use after a restart.
    """
    count = len(SERVICES_WITH_PORTS)
    for first in random.sample(range(*PORTS), 50):
        ports = range(first, first + count)
        if all(_is_free(port) for port in ports):
            return dict(zip(SERVICES_WITH_PORTS, ports, strict=True))
    raise OSError(f"there are no {count} free ports in a row between {PORTS[0]} and {PORTS[1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
