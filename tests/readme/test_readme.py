"""What README.rst and the pages below docs/ tell people to type and to read is there, and works."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from nodepool_ng.cli.main import COMMANDS
from tests.support.readme import CHECKOUT, README, commands

PAGES = (README, *sorted((CHECKOUT / "docs").glob("*.rst")))
TYPED = [(page.name, command) for page in PAGES for command in commands(page)]
CHEAP = (".venv/bin/nodepool ",)
OURS = ("elements/", "etc/", "docs/", "tests/", "nodepool_ng/", ".ci/")
OF_MAKE = (
    "MAKELEVEL",
    "MAKEFLAGS",
    "MFLAGS",
)  # these tell a make that it is a part of another
PROGRAMS = ("nodepool", "nodepool-launcher", "nodepool-builder", "nodepool-sim")

in_our_environment = pytest.mark.skipif(
    not (CHECKOUT / ".venv/bin/nodepool").exists(), reason="these tests run in an environment that make did not make"
)


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if name not in OF_MAKE} | {"CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def quoted(page: Path) -> list[str]:
    return re.findall(r"``([^`\n]+)``", page.read_text())


def test_the_readme_has_its_commands():
    assert commands()[:3] == ("make demo", "make test", "make demo ARGS=--once")
    assert "make install" in commands()


@pytest.mark.parametrize(("page", "command"), [each for each in TYPED if each[1].startswith("make ")])
def test_every_target_is_there(page, command):
    done = run("sh", "-c", f"exec {command.replace('make', 'make --dry-run', 1)}")
    assert done.returncode == 0, done.stderr


@in_our_environment
@pytest.mark.parametrize(("page", "command"), [each for each in TYPED if each[1].startswith(CHEAP)])
def test_commands_of_the_program_work(page, command):
    done = run("sh", "-c", f"exec {command}")
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


@in_our_environment
def test_install_has_nothing_to_do_the_second_time():
    assert run("make", "install").returncode == 0
    again = run("make", "install")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert [name for name in PROGRAMS if not (CHECKOUT / ".venv/bin" / name).exists()] == []


@pytest.mark.parametrize(("page", "command"), TYPED)
def test_every_command_is_of_a_kind_that_is_tested(page, command):
    words = command.split()
    assert command.startswith(("make ", *CHEAP)) or (CHECKOUT / words[-1]).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_is_there(page):
    links = re.findall(r"<([^<>:\s]+\.rst)>`_", page.read_text())
    named = [path for path in quoted(page) if path.startswith(OURS)]
    assert [path for path in links if not (page.parent / path).exists()] == []
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_program_that_is_named_exists(page):
    named = {match[1] for text in quoted(page) if (match := re.match(r"nodepool ([a-z-]+)", text))}
    assert named <= set(COMMANDS)


def test_a_pages_programs_are_those_that_are_installed():
    named = {text for page in PAGES for text in quoted(page) if re.fullmatch(r"nodepool(-[a-z]+)?", text)}
    assert named == set(PROGRAMS)


def test_continuous_integration_runs_what_the_readme_says():
    assert "\nmake test " in (CHECKOUT / ".ci/run").read_text()
    assert "make test" in commands()


def test_only_tests_get_packages_for_tests_alone():
    every = run(".ci/setup", "list")
    demo = run(".ci/setup", "list", "demo")
    assert every.returncode == demo.returncode == 0
    extra = set(every.stdout.split()) - set(demo.stdout.split())
    assert "qemu-system-x86" in extra
    assert {"default-jre-headless", "sudo", "qemu-utils", "extlinux"} <= set(demo.stdout.split())
