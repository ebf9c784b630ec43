"""Real OpenStack services for tests: those of devstack/, started once for a run and stopped after it if nobody ran them
before; and ways to look into them, and to kill them."""

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack.config
import openstack.connection
import pytest

from devstack import databases, place, process, services, stack
from devstack.catalogue import OTHER_PROJECT, PROJECT
from devstack.place import HOST, Place
from devstack.services import BY_NAME
from nodepool_ng.drivers.openstack.calls import call_name

ROOT = Path(__file__).parents[2]
US = "openstacksdk/"
"""How the user agent of the product's calls begins; the tests' own calls have TESTS before it."""
TESTS = "tests"
GONE_PATIENCE = 300.0  # seconds; on idle cores Nova deletes one or two servers a second
ASK_AGAIN = 30.0  # seconds
DELETING = "deleting"
MARKS = (
    pytest.mark.openstack,
    pytest.mark.zookeeper,
    pytest.mark.timeout(900),
    # The SDK warns of its own use of what it is about to remove.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class RealCloud:
    """A control plane that runs, of these services."""

    def __init__(self, where: Place, names: Sequence[str]) -> None:
        self.place = where
        self.names = names
        self.admin = self.connect("admin")
        self.ci = self.connect(PROJECT)
        self.other = self.connect(OTHER_PROJECT)

    def connect(self, cloud: str) -> Any:
        """Return the SDK's connection to one of the clouds of devstack's clouds.yaml."""
        config = openstack.config.OpenStackConfig(config_files=[str(self.place.clouds_yaml)])
        region = config.get_one(cloud=cloud)
        return openstack.connection.Connection(config=region, app_name=TESTS, app_version="1")

    @property
    def project(self) -> str:
        """The id of the pool's project."""
        return str(self.ci.current_project_id)

    def servers(self) -> dict[str, Any]:
        """Return the servers of the pool's project by their ids."""
        answer = self.ci.compute.get("/servers/detail", microversion="2.69").json()
        return {server["id"]: server for server in answer["servers"]}

    def names(self) -> list[str]:
        return sorted(server["name"] for server in self.servers().values())

    def image(self, name: str) -> str:
        """Have an image in the pool's project; return its id."""
        formats = {"disk_format": "raw", "container_format": "bare"}
        made = self.ci.image.create_image(name, data=os.urandom(100_000), validate_checksum=False, **formats)
        return str(made.id)

    def quota(self, **limits: int) -> None:
        """Set quotas of the pool's project: of `ports` and `floating_ips` in Neutron, of all others in Nova."""
        neutrons = {name: limits.pop(name) for name in ("ports", "floating_ips") if name in limits}
        if limits:
            url = f"/os-quota-sets/{self.project}"
            self.admin.compute.put(url, json={"quota_set": limits}, microversion="2.57").raise_for_status()
        if neutrons:
            # without force no quota may be less than what is used already
            quota = {{"ports": "port", "floating_ips": "floatingip"}[name]: limit for name, limit in neutrons.items()}
            self.admin.network.put(
                f"/quotas/{self.project}", json={"quota": {**quota, "force": True}}
            ).raise_for_status()

    def sql(self, statement: str, database: str) -> list[list[str]]:
        """Ask MariaDB."""
        return databases.query(self.place, statement, database)

    def revoke(self) -> None:
        """Have all tokens of the pool's user revoked, and every service ask Keystone about tokens again."""
        user = self.admin.identity.find_user(PROJECT, domain_id="default", ignore_missing=False)
        for enabled in (False, True):
            self.admin.identity.update_user(user, is_enabled=enabled)
        with socket.create_connection((HOST, self.place.ports["memcached"]), timeout=10) as memcached:
            memcached.sendall(b"flush_all\r\n")
            assert memcached.recv(100) == b"OK\r\n"

    def kill(self, *names: str) -> None:
        """End services at once, as kill -9 does."""
        stack.down(self.place, names, at_once=True)

    def start(self, *names: str) -> None:
        """Start services and wait until they answer."""
        for name in names:
            services.start(self.place, BY_NAME[name])
        for name in names:
            services.wait_until_up(self.place, BY_NAME[name])

    def marks(self) -> dict[str, int]:
        """Return how long each API's list of requests is by now, for `calls`."""
        return {name: _size(self.place.requests(name)) for name in ("keystone", "nova", "neutron", "glance")}

    def calls(self, since: dict[str, int]) -> Counter[str]:
        """Return how often the product has called what since the marks were taken, as `nova POST servers`."""
        return Counter(f"{name} {_what(line)}" for name, line in self._requests(since))

    def refusals(self, since: dict[str, int]) -> Counter[str]:
        """Return how often the product was refused what since then, as `nova POST servers 403`."""
        found = [(f"{name} {_what(line)}", line.split(" ")[2]) for name, line in self._requests(since)]
        return Counter(f"{what} {status}" for what, status in found if int(status) >= 400)

    def _requests(self, since: dict[str, int]) -> Iterator[tuple[str, str]]:
        for name, size in since.items():
            with self.place.requests(name).open("rb") as log:
                log.seek(size)
                lines = log.read().decode(errors="replace").splitlines()
            yield from ((name, line) for line in lines if _agent(line).startswith(US))

    def clean(self) -> None:
        """Delete all that the pool's project has, and give it its quota back. A service that some test left dead comes
        back first.

        The administrator does it, since an order to delete that went down with RabbitMQ leaves a server which Nova
        believes to be going, and for which it takes no further order until its state is reset.
        """
        self.start(*self.names)
        self.quota(instances=100, cores=400, ram=1024 * 1024, ports=1000, floating_ips=1000)
        asked: dict[str, float] = {}
        deadline = time.monotonic() + GONE_PATIENCE
        while servers := self.servers():
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"servers are still there: {list(map(_told, servers.values()))}")
            for id in [id for id in servers if asked.get(id, 0.0) + ASK_AGAIN <= now]:
                self._delete(servers[id])
                asked[id] = now
            time.sleep(1)
        for address in self.ci.network.ips(project_id=self.project):
            self.ci.network.delete_ip(address)
        for port in self.ci.network.ports(project_id=self.project):
            self.admin.network.delete_port(port)
        for image in self.ci.image.images(owner=self.project):
            self.ci.image.delete_image(image, ignore_missing=True)
        for key in self.ci.compute.keypairs():
            self.ci.compute.delete_keypair(key)

    def _delete(self, server: dict[str, Any]) -> None:
        where = f"/servers/{server['id']}"
        if server["OS-EXT-STS:task_state"] == DELETING:
            self.admin.compute.post(f"{where}/action", json={"os-resetState": {"state": "active"}}, microversion="2.69")
        self.admin.compute.delete(where, microversion="2.69")


def missing() -> str | None:
    """Return why the services cannot be run on this machine; None when they can."""
    path = f"/usr/lib/rabbitmq/bin:/usr/sbin:{os.environ.get('PATH', os.defpath)}"
    programs = ("mariadbd", "mariadb-install-db", "mariadb-dump", "rabbitmq-server", "memcached", "epmd")
    absent = [name for name in programs if shutil.which(name, path=path) is None]
    return f"there is no {', '.join(absent)}: .ci/setup packages openstack" if absent else None


def demand(why: str | None) -> None:
    """Skip a test that cannot be run for this reason, if there is one; in continuous integration it fails."""
    if why is not None and os.environ.get("CI"):
        pytest.fail(why)
    if why is not None:
        pytest.skip(why)


@contextmanager
def running(folder: Path, only: Sequence[str] = (), more: Sequence[str] = ()) -> Iterator[RealCloud]:
    """Have the services up; those that did not run before are stopped at the end. `more` goes to `devstack up`."""
    known = place.find(folder)
    before = {name for name in BY_NAME if known is not None and process.running(known, name) is not None}
    options = list(itertools.chain.from_iterable(("--only", name) for name in only))
    argv = [sys.executable, "-m", "devstack", "--folder", str(folder), "up", *options, *more]
    subprocess.run(argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    where = place.find(folder)
    assert where is not None
    names = stack.with_needs(where, only)
    try:
        yield RealCloud(where, names)
    finally:
        if fresh := [name for name in names if name not in before]:
            stack.down(where, fresh)


def _told(server: dict[str, Any]) -> str:
    return f"{server['name']} ({server['status']}, {server['OS-EXT-STS:task_state']})"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _agent(line: str) -> str:
    """Return the user agent of a request's line: `METHOD URI STATUS MILLISECONDS AGENT`."""
    return line.split(" ", 4)[-1]


def _what(line: str) -> str:
    method, uri, *_ = line.split(" ")
    path = re.sub(r"^/v[0-9.]+", "", uri.partition("?")[0])
    return f"{method} {call_name(_UUID.sub('ID', path)) or '/'}"
