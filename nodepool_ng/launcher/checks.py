"""Runs the checks of images on canaries: a thread and a process for each, since there are few."""

import itertools
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nodepool_ng.model.ids import Seconds

MOST_SAID = 500
"""Characters of a check's last words that go into the verdict."""

_log = logging.getLogger("nodepool.canary")

_WITH_SIGNALS = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Starts a program with no signals blocked: the daemon blocks those it waits for, and children inherit that."""


@dataclass(frozen=True, slots=True)
class RunCheck:
    """A command, split as a shell would; what it is to know is in its environment. Answered by None where it passed, or
    by a sentence."""

    command: str
    environment: Mapping[str, str]
    timeout: Seconds


class Checks:
    """The workshop of a launcher."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def submit(self, job: object, done: Callable[[Any], None]) -> None:
        assert isinstance(job, RunCheck)
        name = f"check-{next(self._numbers)}"
        threading.Thread(target=lambda: done(run(job)), name=name, daemon=True).start()


def run(job: RunCheck) -> str | None:
    """Run a check; return None where it passed, or what is wrong."""
    try:
        words = shlex.split(job.command)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WITH_SIGNALS, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **job.environment},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"its check cannot be run: {error}"
    with process:
        try:
            said, _ = process.communicate(timeout=job.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"its check was not done after {job.timeout:.0f} s"
    text = said.decode("utf-8", "replace").strip()
    for line in text.splitlines():
        _log.info("Check of %s: %s", job.environment.get("NODEPOOL_IMAGE"), line)
    if process.returncode == 0:
        return None
    last = text[-MOST_SAID:]
    return f"its check ended with exit code {process.returncode}{': ' if last else ''}{last}"
