"""All of it: installing, starting in the right order, stopping in the reverse one."""

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import compress
from pathlib import Path

from devstack import catalogue, databases, namespace, process, services, settings, vm_services
from devstack.databases import CONSTRAINTS
from devstack.place import Place
from devstack.process import StackError
from devstack.services import BASE, BY_NAME, SERVICES

CONSTRAINTS_VMS = CONSTRAINTS.with_name("constraints-vms.txt")
ROUTES = Path("/proc/net/route")

Say = Callable[[str], None]


def install(place: Place, say: Say) -> None:
    """Install the services into an environment of their own, in exactly the versions of constraints*.txt."""
    _install_all(place, say)
    if place.vms:
        _install_more(place, say)


def _install_more(place: Place, say: Say) -> None:
    """Install what only virtual machines need; there are no wheels of it, so a compiler is needed."""
    stamp = place.venv / ".installed-vms"
    key = CONSTRAINTS_VMS.read_text()
    if stamp.exists() and stamp.read_text() == key:
        return
    say("building Python's way to libvirt")
    pip = [place.program("python"), "-m", "pip", "install", "-qq", "--no-deps", "--requirement", str(CONSTRAINTS_VMS)]
    if subprocess.run(pip, check=False).returncode != 0:
        raise StackError("pip could not install what constraints-vms.txt lists; what it said is above")
    stamp.write_text(key)


def _install_all(place: Place, say: Say) -> None:
    stamp = place.venv / ".installed"
    key = hashlib.sha256(CONSTRAINTS.read_bytes() + str(place.venv).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    say("installing the services; the first time this takes a minute or two")
    shutil.rmtree(place.venv, ignore_errors=True)
    place.venv.parent.mkdir(parents=True, exist_ok=True)
    env = services.environment(place)
    pip = [place.program("python"), "-m", "pip", "install", "-qq", "--no-compile"]
    subprocess.run([sys.executable, "-m", "venv", str(place.venv)], check=True)
    # the list is complete, so pip has nothing to work out
    done = subprocess.run([*pip, "--no-deps", "--requirement", str(CONSTRAINTS)], check=False)
    if done.returncode != 0:
        raise StackError("pip could not install what constraints.txt lists; what it said is above")
    # all at once, by all cores, and without the services' own tests, which are most of what they have
    compiled = [place.program("python"), "-m", "compileall", "-q", "-j0", "-x", "/tests/", str(place.venv / "lib")]
    databases.run(place, "compile", compiled, env)
    stamp.write_text(key)


def up(place: Place, say: Say, names: Sequence[str] = ()) -> None:
    """Have all services up, or those named and what they need; does nothing to those that are."""
    routes = ROUTES.read_text()
    wanted = with_needs(place, names)
    install(place, say)
    settings.write_all(place)
    catalogue.write_clouds_yaml(place)
    databases.create_files(place)
    _have_up(place, [name for name in wanted if name in BASE], say)
    if fresh := databases.create(place, wanted, services.environment(place), databases.cache_folder()):
        say(f"tables made: {', '.join(fresh)}")
    if "keystone" in wanted:
        _have_up(place, ["keystone"], say)
        catalogue.fill_identity(place)
    if "neutron" in wanted and place.vms:
        vm_services.prepare(place)
        _have_up(place, ["ovs-database"], say)
        vm_services.describe_chassis(place)
        _have_up(place, vm_services.NETWORK, say)
        vm_services.lead_outside(place, catalogue.GATEWAY)
    elif "neutron" in wanted:
        catalogue.register_agents(place)
    _have_up(place, wanted, say)
    if "neutron" in wanted:
        catalogue.fill_network(place)
    if "nova" in wanted:
        catalogue.fill_compute(place)
    if "ironic" in wanted:
        catalogue.fill_machines(place)
    if ROUTES.read_text() != routes:
        raise StackError("this machine's routes are not what they were before; nothing here should have touched them")


def down(place: Place, names: Sequence[str] = (), *, at_once: bool = False) -> list[str]:
    """Stop all services, or those named; the base services last. Returns the names of those that ran."""
    wanted = [service.name for service in reversed(services.of(place)) if not names or service.name in names]
    above = [name for name in wanted if name not in BASE]
    below = [name for name in wanted if name in BASE]
    # all at once: Nova's host of virtual machines takes no notice for fifteen seconds
    with ThreadPoolExecutor(len(above) or 1) as pool:
        ran = list(compress(above, pool.map(partial(process.stop, place, at_once=at_once), above)))
    ran += [name for name in below if process.stop(place, name, at_once=at_once)]
    if place.vms and not any(process.running(place, service.name) for service in services.of(place)):
        # virtual machines go on without libvirt, and are in there, too
        namespace.remove(place.namespace)
    return ran


def known(names: Iterable[str]) -> list[str]:
    """Return the names; raise `StackError` for one that no service has."""
    asked = list(names)
    for name in asked:
        if name not in BY_NAME:
            raise StackError(f"there is no service {name!r}, only {', '.join(BY_NAME)}")
    return asked


def _have_up(place: Place, names: Iterable[str], say: Say) -> None:
    """Start services as soon as what they need is up, and wait until all are."""
    todo = [BY_NAME[name] for name in names]
    fresh = [service for service in todo if process.running(place, service.name) is None]
    settled = {service.name for service in SERVICES if service not in fresh}
    for service in todo:
        for need in service.needs:
            if need not in settled:
                services.wait_until_up(place, BY_NAME[need])
                settled.add(need)
        services.start(place, service)
    for service in todo:
        services.wait_until_up(place, service)
    if fresh:
        say(f"up: {', '.join(service.name for service in fresh)}")


def with_needs(place: Place, names: Iterable[str]) -> list[str]:
    """Return the names of services of a place, all or these and what they need, in the order of starting."""
    wanted: set[str] = set()
    more = list(names) or list(BY_NAME)
    while more:
        name = more.pop()
        if name not in wanted:
            wanted.add(name)
            more += BY_NAME[name].needs
    return [service.name for service in services.of(place) if service.name in wanted]


def versions(place: Place) -> dict[str, str]:
    """Return the versions of OpenStack's services."""
    pinned = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    return {name: pinned[name] for name in ("keystone", "openstack-placement", "glance", "nova", "neutron", "ironic")}


def stopwatch() -> Say:
    """Return a way to say what is going on, with the seconds since now."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)

    return say
