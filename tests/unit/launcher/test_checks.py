"""Checks of canaries: a command with what it has to know, and a sentence where it is not content."""

import threading

import pytest

from nodepool_ng.launcher.checks import Checks, RunCheck, run


def check(command, timeout=20.0, **environment):
    return run(RunCheck(command, environment, timeout))


def test_a_check_that_passes_says_nothing():
    assert check("sh -c 'test \"$NODEPOOL_HOST\" = 192.0.2.7'", NODEPOOL_HOST="192.0.2.7") is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'echo no python; exit 3'", "its check ended with exit code 3: no python"),
        ("sh -c 'exit 1'", "its check ended with exit code 1"),
        ("sh -c 'unclosed", "its check cannot be run: No closing quotation"),
        ("/nowhere/check", "its check ended with exit code 1"),
    ],
)
def test_one_that_does_not_is_a_sentence(command, said):
    assert str(check(command)).startswith(said)


def test_one_that_hangs_is_ended_with_all_that_it_started():
    assert check("sh -c 'sleep 60 & sleep 60'", timeout=0.2) == "its check was not done after 0 s"


def test_checks_run_beside_everything_else():
    came, over = [], threading.Event()
    Checks().submit(RunCheck("true", {}, 20.0), lambda answer: (came.append(answer), over.set()))
    assert over.wait(20)
    assert came == [None]
