"""Shells complete commands and options, and no command's module is loaded for that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "import sys; from nodepool_ng.cli.main import main; main()"


def completed(words: str, place: int) -> list[str]:
    env = {**os.environ, "_NODEPOOL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run([sys.executable, "-c", MAIN], env=env, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_and_options_are_completed():
    assert completed("nodepool ex", 1) == ["explain", "export-image-data"]
    assert "--format" in completed("nodepool list --f", 2)
    assert completed("nodepool list --format ya", 3) == ["yaml"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(world, shell, tmp_path: Path):
    done = world.run("completion", shell)
    assert (done.exit_code, "_NODEPOOL_COMPLETE" in done.stdout) == (0, True)
    program = shutil.which(shell)
    if program is not None:
        script = tmp_path / "script"
        script.write_text(done.stdout)
        assert subprocess.run([program, "-n", str(script)], check=False).returncode == 0
