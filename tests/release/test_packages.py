"""Wheel and sdist: made of what git has, installed into an environment of their own, and run far from the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.sim.client import SimClient
from tests.daemons.test_launcher import configure
from tests.support.daemons import site, wait_for
from tests.support.readme import CHECKOUT

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.timeout(600)]

VERSION = "7.8.9"
PROGRAMS = ("nodepool", "nodepool-launcher", "nodepool-builder")


@dataclass(frozen=True)
class Installed:
    sdist: Path
    wheel: Path
    bin: Path
    away: Path
    """A folder without any of our code, from which programs are started."""

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=self.away,
            env=plain(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


def plain() -> dict[str, str]:
    """Return an environment in which Python finds only what is installed."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A release: what is in the working tree, committed and tagged in a clone, built, and installed."""
    folder = tmp_path_factory.mktemp("release")
    clone = folder / "clone"
    git(folder, "clone", "--quiet", str(CHECKOUT), str(clone))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (CHECKOUT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, clone / name)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "What is to be released")
    git(clone, "tag", "-a", VERSION, "-m", VERSION)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder / "dist")], cwd=clone, env=plain(), check=True
    )
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], env=plain(), check=True)
    (folder / "away").mkdir()
    yield Installed(sdist, wheel, python.parent, folder / "away")
    shutil.rmtree(folder)


def test_the_version_is_the_tags(installed: Installed) -> None:
    assert VERSION in installed.sdist.name
    assert VERSION in installed.wheel.name
    for program in PROGRAMS:
        assert installed.run(program, "--version") == f"Nodepool version: {VERSION}\n"


def test_the_wheel_has_all_that_runs_and_nothing_else(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"nodepool_ng", f"nodepool_ng-{VERSION}.dist-info"}
    data = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "nodepool_ng"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert [name for name in data if (CHECKOUT / name).exists() and name not in names] == []


def test_the_sdist_has_samples_elements_pages_and_tests(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.rst", "etc/nodepool.yaml", "elements/ng-tiny/README.rst"} <= names
    assert {"docs/operators.rst", "tests/release/test_packages.py", "Makefile", ".ci/setup"} <= names


def test_it_runs_far_from_the_checkout(installed: Installed, tmp_path: Path, zookeeper: ZooKeeperSettings) -> None:
    with site(tmp_path, zookeeper) as place:
        place.environment |= {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
        port, sim = tmp_path / "port", tmp_path / "sim.yaml"
        sim.write_text("clouds: {acme: {regions: {north: {boot: 1, images: [{name: base}]}}}}")
        told = ("--config", str(sim), "--port-file", str(port), "--clouds-yaml", str(place.clouds_yaml))
        place.run([str(installed.bin / "nodepool-sim"), *told], "sim")
        wait_for(port.exists, "the simulation listens")
        place.sim = SimClient(f"http://127.0.0.1:{port.read_text().strip()}")
        configure(place, "north", min_ready=2)
        place.run([str(installed.bin / "nodepool-launcher"), "-f", "-c", str(place.config)], "launcher")
        wait_for(lambda: place.ready(2), "two nodes are ready")
        assert "/site-packages/" in installed.run("python", "-c", "import nodepool_ng; print(nodepool_ng.__file__)")
        assert installed.run("nodepool", "-c", str(place.config), "list").count(" ready ") == 2
