"""The demo for real, as README.rst tells to run it, twice at once; interrupted; and killed."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.readme import CHECKOUT, words_of

ONCE_TIMEOUT = 330.0  # seconds; the first build downloads packages
PATIENCE = 90.0  # seconds
DEMO = (sys.executable, "-m", "nodepool_ng.demo")

pytestmark = [pytest.mark.daemons, pytest.mark.dib, pytest.mark.timeout(ONCE_TIMEOUT + 30)]


@contextmanager
def running(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """Run something as a terminal would: leader of a process group of its own."""
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, "CI": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """Return what a process says, up to the line with these words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


def folder_of(said: str) -> Path:
    found = re.search(r"\S*\.state/demo-\w+", said)
    assert found, said
    return CHECKOUT / found.group()


def of_demo(folder: Path) -> dict[int, str]:
    """Return the processes that have to do with a demo's folder: id and command line."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = [
                (entry / name).read_bytes().replace(b"\0", b" ").decode(errors="replace")
                for name in ("cmdline", "environ")
            ]
        except OSError:
            continue
        if any(folder.name in text for text in told):
            found[int(entry.name)] = told[0]
    return found


def children_of(pid: int) -> dict[int, str]:
    """Return the children of a process: id and command line."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}


def ended(pids: dict[int, str]) -> bool:
    """Wait until all of the processes have ended."""
    deadline = time.monotonic() + PATIENCE
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return False
        finally:
            os.close(descriptor)
    return True


def test_two_at_once_do_what_the_readme_says():
    command = words_of("make demo ARGS=--once")
    with running(*command) as one, running(*command) as other:
        said = [process.communicate(timeout=ONCE_TIMEOUT)[0] for process in (one, other)]
    print(*said, sep="\n\n")
    assert (one.returncode, other.returncode) == (0, 0)
    folders = [folder_of(each) for each in said]
    assert folders[0] != folders[1]
    for folder, words in zip(folders, said, strict=True):
        assert "All is well." in words
        assert not folder.exists()
        assert of_demo(folder) == {}


def leave(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str]:
    os.killpg(process.pid, number)
    rest = process.communicate(timeout=PATIENCE)[0]
    return process.returncode, rest


def test_interrupted_half_way_it_stops_everything():
    with running(*DEMO) as process:
        read_until(process, "begin  build of image")
        pids = children_of(process.pid)
        status, rest = leave(process, signal.SIGINT)
    assert (status, rest.strip().splitlines()[-1]) == (130, "Stopping everything.")
    assert ended(pids)


def test_it_stays_until_ctrl_c_and_then_nothing_is_left():
    with running(*DEMO, "--ready-made") as process:
        said = read_until(process, "What happens:")
        folder = folder_of(said)
        there = of_demo(folder)
        listing = next(line for line in said.splitlines() if "list --detail" in line).partition("#")[0].split()
        listed = subprocess.run(listing, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=PATIENCE)
        status, rest = leave(process, signal.SIGINT)
    assert listed.stdout.count("ready") == 12
    assert status == 0, rest
    assert len(there) >= 4
    assert ended(there)
    assert not folder.exists()


def test_what_is_killed_comes_back():
    with running(*DEMO, "--ready-made") as process:
        said = read_until(process, "What happens:")
        folder = folder_of(said)
        typed = [line.partition("#")[0].strip() for line in said.splitlines()]
        kill = next(line for line in typed if line.startswith("kill -9"))
        subprocess.run(["bash", "-c", kill], cwd=CHECKOUT, check=True, timeout=PATIENCE)
        read_until(process, "nodepool-launcher was killed (SIGKILL), and is back")
        # whoever deletes a node sees another one take its place, which only a launcher does
        node = next(line for line in typed if " delete " in line)
        subprocess.run(node.split(), cwd=CHECKOUT, check=True, capture_output=True, timeout=PATIENCE)
        read_until(process, "→ ready")
        status, rest = leave(process, signal.SIGINT)
    assert status == 0, rest
    assert not folder.exists()


def test_killed_it_takes_everything_with_it():
    with running(*DEMO) as process:
        read_until(process, "begin  build of image")
        pids = children_of(process.pid)
        process.kill()
        process.communicate(timeout=PATIENCE)
    assert len(pids) >= 4
    assert ended(pids)
