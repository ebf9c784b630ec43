"""What is installed beside us: it goes together, and its licences go with ours."""

import ast
import base64
import hashlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.readme import CHECKOUT

OURS = "nodepool_ng"
COMES_ALONG = frozenset({"keystoneauth1", "pydantic_core", "requests"})
"""Modules of packages that a package we ask for promises to bring."""
UNSEEN = frozenset({"diskimage-builder"})
"""Not imported, but run as a program."""
FREE = re.compile(
    r"apache|bsd|mit\b|mit license|isc|psf|python software foundation|mpl|mozilla public|zope|lgpl|lesser general"
    r"|unlicense|hpnd|cc0|epl|eclipse|0bsd",
    re.IGNORECASE,
)


def needed(name: str = OURS) -> dict[str, metadata.Distribution]:
    """Return everything that is installed because we need it, without what only tests need."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(name, "")]
    seen = set(waiting)
    while waiting:
        parent, extra = waiting.pop()
        for line in metadata.distribution(parent).requires or ():
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            found.setdefault(requirement.name, metadata.distribution(requirement.name))
            more = {(requirement.name, extra) for extra in ("", *requirement.extras)} - seen
            seen |= more
            waiting += more
    return found


def licence(distribution: metadata.Distribution) -> str:
    described = distribution.metadata
    told = [described.get("License-Expression") or "", (described.get("License") or "")[:200]]
    return " ".join([*told, *(c for c in described.get_all("Classifier") or () if c.startswith("License"))])


@pytest.mark.parametrize("name", sorted(needed()))
def test_a_dependency_has_a_licence_that_goes_with_ours(name: str) -> None:
    assert FREE.search(licence(needed()[name])), f"{name}: {licence(needed()[name]) or 'no licence is named'}"


def test_every_dependency_has_a_lower_bound_and_is_installed_within_its_bounds() -> None:
    for line in metadata.distribution(OURS).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None:
            assert any(bound.operator in (">=", "==", "~=") for bound in requirement.specifier), line
            assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), line


def test_all_that_is_installed_goes_together() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.strip(), "it says at least that nothing is broken"
    ours = [line for line in done.stdout.splitlines() if line.split()[0].lower().replace("-", "_") in known()]
    assert ours == []


def known() -> set[str]:
    return {name.lower().replace("-", "_") for name in needed()} | {OURS}


SAFE = {
    "anyio": "4.4",
    "asyncssh": "2.14.2",
    "certifi": "2024.7.4",
    "cryptography": "44.0.1",
    "h11": "0.16",
    "idna": "3.7",
    "jinja2": "3.1.6",
    "pydantic": "2.4",
    "PyYAML": "5.4",
    "requests": "2.32.4",
    "starlette": "0.49.1",
    "urllib3": "2.5",
    "uvicorn": "0.11.7",
}
"""The first releases without the faults that have been published of them and by which ours can be reached."""


@pytest.mark.parametrize("name", sorted(SAFE))
def test_nothing_with_a_published_fault_is_installed_or_allowed(name: str) -> None:
    found = {other.lower(): distribution for other, distribution in needed().items()}
    if name.lower() in found:
        assert Version(found[name.lower()].version) >= Version(SAFE[name])
    for line in metadata.distribution(OURS).requires or ():
        requirement = Requirement(line)
        if requirement.name.lower() == name.lower() and requirement.marker is None:
            floors = [Version(bound.version) for bound in requirement.specifier if bound.operator in (">=", "==", "~=")]
            assert max(floors) >= Version(SAFE[name]), f"{line} lets older ones in"


@pytest.mark.parametrize("name", sorted(needed()))
def test_a_dependency_is_from_the_registry_and_as_it_was_released(name: str) -> None:
    """No branch of somebody's, and nothing changed in its files since: each has the digest that its record names."""
    distribution = needed()[name]
    assert distribution.read_text("direct_url.json") is None or name in OURS
    for file in distribution.files or ():
        if file.hash is not None and file.suffix == ".py":
            digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value, file


def imported() -> set[str]:
    """Return the names of foreign top-level modules that the package imports."""
    found: set[str] = set()
    for path in (CHECKOUT / "nodepool_ng").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {OURS}


def test_what_is_imported_is_asked_for_and_what_is_asked_for_is_used() -> None:
    """What comes only with somebody else's package goes when that one changes its mind."""
    lines = [Requirement(line) for line in metadata.distribution(OURS).requires or ()]
    asked = {canonicalize_name(one.name) for one in lines if one.marker is None or "tracing" in str(one.marker)}
    providers = metadata.packages_distributions()
    used = {name: {canonicalize_name(one) for one in providers.get(name, ())} for name in imported()}
    assert {name for name, by in used.items() if not by & asked} <= COMES_ALONG
    assert {name for name in asked if not any(name in by for by in used.values())} <= UNSEEN
