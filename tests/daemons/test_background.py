"""Daemons that leave the terminal, as service scripts and people at a prompt start them."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nodepool_ng.zk import paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.installation import BASE
from nodepool_ng.zk.store import Commit, Create
from tests.support.daemons import SCRIPTS, Site, wait_for

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons]
both = pytest.mark.parametrize("program", ["nodepool-launcher", "nodepool-builder"])
FILES = ("-c", "nodepool.yaml", "-l", "logging.json", "-p", "daemon.pid")


def start(place: Site, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type the command in the site's folder. It ends when nothing holds the terminal any more."""
    return subprocess.run(
        [str(SCRIPTS / program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=place.folder,
        env=place.surroundings(),
        check=False,
    )


def configure(place: Site, **more: object) -> None:
    place.configure(**{"images-dir": str(place.folder / "images"), "labels": [], "providers": [], **more})


@pytest.fixture
def alone(place: Site) -> Iterator[Site]:
    """A site with a logging configuration; what was started there in the background is gone at the end."""
    log = {"class": "logging.FileHandler", "filename": str(place.folder / "daemon.log")}
    root = {"level": "INFO", "handlers": ["file"]}
    (place.folder / "logging.json").write_text(json.dumps({"version": 1, "handlers": {"file": log}, "root": root}))
    configure(place)
    yield place
    for pid_file in place.folder.glob("*.pid"):
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


@both
def test_the_command_ends_when_the_daemon_runs_and_its_files_are_those_that_were_named(
    alone: Site, program: str
) -> None:
    done = start(alone, program, *FILES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((alone.folder / "daemon.pid").read_text())
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    log = alone.folder / "daemon.log"
    wait_for(lambda: "is running" in log.read_text(), "it runs")
    configure(alone, labels=[{"name": "small"}])
    wait_for(lambda: "The configuration changed" in log.read_text(), "it reads its file again")
    second = start(alone, program, *FILES)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "is running already" in second.stderr
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not (alone.folder / "daemon.pid").exists(), "it has ended")
    assert "Traceback" not in log.read_text()


@both
@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("nodepool.yaml", "there are no zookeeper-servers"),
        ("logging.json", "this is no logging configuration"),
        ("daemon.pid", "the pid file cannot be had"),
    ],
)
def test_what_keeps_it_from_starting_is_told_at_the_prompt(
    alone: Site, program: str, broken: str, sentence: str
) -> None:
    path = alone.folder / broken
    match broken:
        case "nodepool.yaml":
            told = yaml.safe_load(path.read_text())
            path.write_text(yaml.safe_dump({**told, "zookeeper-servers": []}))
        case "logging.json":
            path.write_text("{")
        case "daemon.pid":
            path.mkdir()
    done = start(alone, program, *FILES)
    if path.is_dir():
        path.rmdir()
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@both
def test_what_ends_it_later_is_told_in_the_log(alone: Site, program: str) -> None:
    call(alone.store(), [*(Commit((Create(path),)) for path in BASE), Commit((Create(paths.INSTALLATION, b"\xff"),))])
    assert start(alone, program, *FILES).returncode == 0
    wait_for(lambda: not (alone.folder / "daemon.pid").exists(), "it has ended")
    assert "restore it, or delete it to become a new installation" in (alone.folder / "daemon.log").read_text()


def test_a_logging_configuration_silences_nobody_by_what_it_does_not_name(alone: Site) -> None:
    path = alone.folder / "logging.ini"
    path.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=\n[logger_root]\nlevel=INFO\nhandlers=file\n"
        f"[handler_file]\nclass=FileHandler\nargs=({str(alone.folder / 'ini.log')!r},)\n"
    )
    assert start(alone, "nodepool-launcher", "-c", "nodepool.yaml", "-l", path.name, "-p", "daemon.pid").returncode == 0
    wait_for(lambda: "is running" in (alone.folder / "ini.log").read_text(), "it says so")
