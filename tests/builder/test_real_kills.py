"""SIGKILL in the middle of real builds: five times here, as often as one likes with `python -m tests.builder.kills`."""

import os
import random
from pathlib import Path

import pytest

from tests.builder.kills import strike

pytestmark = [
    pytest.mark.dib,
    pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root"),
    pytest.mark.timeout(400),
]


def test_a_kill_in_the_middle_of_a_real_build_leaves_nothing(tmp_path: Path) -> None:
    tally = strike(tmp_path, 5, random.Random(5))
    assert tally.left == []
    assert sum(tally.victims.values()) == 5
