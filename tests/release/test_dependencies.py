"""What is installed beside us: it goes together, and its licences go with ours."""

import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

OURS = "nodepool_ng"
FREE = re.compile(
    r"apache|bsd|mit\b|mit license|isc|psf|python software foundation|mpl|mozilla public|zope|lgpl|lesser general"
    r"|unlicense|hpnd|cc0|epl|eclipse|0bsd",
    re.IGNORECASE,
)


def needed(name: str = OURS) -> dict[str, metadata.Distribution]:
    """Return everything that is installed because we need it, without what only tests need."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [name]
    while waiting:
        distribution = metadata.distribution(waiting.pop())
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if requirement.name not in found:
                found[requirement.name] = metadata.distribution(requirement.name)
                waiting.append(requirement.name)
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
    ours = [line for line in done.stdout.splitlines() if line.split()[0].lower().replace("-", "_") in known()]
    assert ours == []


def known() -> set[str]:
    return {name.lower().replace("-", "_") for name in needed()} | {OURS}
