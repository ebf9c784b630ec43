"""The layers of the product, held by its own imports; and one door for each foreign library."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import nodepool_ng

PRODUCT = Path(nodepool_ng.__file__).parent
SOURCES = sorted(PRODUCT.rglob("*.py"))

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    # Siblings: none imports another.
    "config": {"model"},
    "drivers": {"model"},
    "explain": {"model"},
    "listing": {"model"},
    "plan": {"model"},
    "telemetry": {"model"},
    "zk": {"model"},
    "daemon": {"config", "telemetry"},
    # What runs effects joins the store and the drivers, and decides nothing.
    "shell": {"model", "drivers", "zk"},
    "web": {"model", "explain", "listing", "telemetry"},
    # The only places that join everything.
    "launcher": {"model", "config", "daemon", "drivers", "plan", "shell", "telemetry", "web", "zk"},
    "builder": {"model", "config", "daemon", "drivers", "plan", "shell", "telemetry", "web", "zk"},
    "cli": {"model", "builder", "config", "drivers", "explain", "listing", "plan", "sim", "zk"},
    "sim": {"model", "builder", "drivers", "launcher", "plan", "shell", "zk"},
    "demo": {"model", "builder", "cli", "drivers", "sim", "zk"},
}
DOORS: dict[str, tuple[str, ...]] = {
    "kazoo": ("zk/",),
    "openstack": ("drivers/openstack/cloud.py",),
    "keystoneauth1": (
        "drivers/openstack/cloud.py",
        "drivers/openstack/shortcut.py",
        "drivers/openstack/transport.py",
    ),
    "diskimage_builder": ("builder/",),
    "asyncssh": ("drivers/keyscan.py", "sim/http/ssh.py", "demo/"),
    "httptools": ("drivers/openstack/connections.py",),
    "statsd": ("telemetry/",),
    "opentelemetry": ("telemetry/tracing.py",),
    "prometheus_client": ("telemetry/",),
}


def imported(source: Path) -> Iterator[str]:
    """Yield the dotted names of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module="nodepool_ng", names=names):
                yield from (f"nodepool_ng.{alias.name}" for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module


def test_every_package_has_its_layer() -> None:
    assert {path.name for path in PRODUCT.iterdir() if (path / "__init__.py").exists()} == set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    above = {}
    for source in (PRODUCT / package).rglob("*.py"):
        for name in imported(source):
            parts = name.split(".")
            ours = parts[0] == "nodepool_ng" and len(parts) > 1 and (PRODUCT / parts[1]).is_dir()
            if ours and parts[1] not in MAY_IMPORT[package] | {package}:
                above[str(source.relative_to(PRODUCT))] = name
    assert above == {}


@pytest.mark.parametrize("library", DOORS)
def test_a_foreign_library_comes_in_by_its_door(library: str) -> None:
    strays = {
        str(source.relative_to(PRODUCT))
        for source in SOURCES
        for name in imported(source)
        if name.split(".")[0] == library and not str(source.relative_to(PRODUCT)).startswith(DOORS[library])
    }
    assert strays == set()
