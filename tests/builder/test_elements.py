"""Elements keep to the rules of diskimage-builder's own lint, and to ours."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELEMENTS = sorted(path for path in (ROOT / "elements").iterdir() if path.is_dir())
FOLDERS = ("elements", "tests/builder/elements")


@pytest.mark.parametrize("folder", FOLDERS)
def test_dib_lint_has_nothing_to_say(folder):
    if shutil.which("git") is None:
        pytest.skip("dib-lint needs git")
    beside = str(Path(sys.executable).parent)
    told = subprocess.run(
        [f"{beside}/dib-lint"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{beside}:{os.environ['PATH']}", "ELEMENTS_DIR": folder, "LIB_DIR": folder},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda path: path.name)
def test_hooks_would_be_run(element):
    """diskimage-builder passes over hooks that are not executable or have a dot in their name."""
    for hook in element.glob("*.d/*"):
        if hook.parent.name != "environment.d":
            assert os.access(hook, os.X_OK), hook
            assert re.fullmatch(r"[0-9]{2}-[A-Za-z0-9_-]+", hook.name), hook


def test_no_two_elements_have_a_hook_of_one_name():
    names = [str(hook.relative_to(element)) for element in ELEMENTS for hook in element.glob("*.d/*")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda path: path.name)
def test_no_mirror_is_named(element):
    for path in element.rglob("*"):
        if path.is_file():
            assert not re.search(r"https?://(?!169\.254\.169\.254/)", path.read_text()), path
