"""What the guided fuzzer is given: each target takes its seeds, and such bytes; where it is installed, it fuzzes."""

import importlib.util
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS
from tests.support.readme import CHECKOUT

FUZZ = settings.get_profile("fuzz")


def test_every_target_has_seeds() -> None:
    assert {name for name, seeds in SEEDS.items() if seeds} == set(TARGETS)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_target_takes_its_seeds(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@settings(FUZZ)
@given(st.sampled_from(sorted(TARGETS)), st.data())
def test_a_target_takes_seeds_with_a_few_other_bytes(name: str, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(SEEDS[name])))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255)), max_size=4)):
        seed[at] = byte
    TARGETS[name](bytes(seed))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (extra `fuzz`)")
def test_the_guided_fuzzer_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", "--seconds", "3", "path"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was broken" in done.stdout
    assert "runs in" in done.stdout
