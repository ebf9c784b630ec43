"""`nodepool element-test`: what it sees of an element, and our own elements tried out with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodepool_ng.builder.elements import Change, Run, Trial, closure, look, probed

ELEMENTS = Path(__file__).parents[2] / "elements"
NODEPOOL = str(Path(sys.executable).parent / "nodepool")
TRIED = sorted(path.parent.name for path in ELEMENTS.glob("*/test-elements"))


@pytest.fixture
def element(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    (made / "install.d").mkdir(parents=True)
    put(made / "install.d/50-good", "touch /opt-good\n")
    return made


def put(path: Path, text: str, mode: int = 0o755) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}")
    path.chmod(mode)


def test_hooks_are_listed_in_the_order_in_which_they_run(element: Path) -> None:
    for name in ("finalise.d/5-late", "root.d/10-root", "install.d/9-first", "install.d/100-last"):
        put(element / name, "true\n")
    assert look(element).hooks == (
        "root.d/10-root",
        "install.d/9-first",
        "install.d/50-good",
        "install.d/100-last",
        "finalise.d/5-late",
    )


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("install.d/60-bad.sh", 0o755, "install.d/60-bad.sh: its name has characters"),
        ("install.d/60-plain", 0o644, "install.d/60-plain: it is not executable"),
        ("instal.d/60-typo", 0o755, "instal.d/: there is no such phase"),
        ("environment.d/10 x", 0o644, "environment.d/10 x: its name has characters"),
    ],
)
def test_what_is_passed_over_in_silence_is_told(element: Path, name: str, mode: int, said: str) -> None:
    put(element / name, "true\n", mode)
    (skipped,) = look(element).skipped
    assert skipped.startswith(said)


def test_a_script_that_bash_cannot_read_is_told(element: Path) -> None:
    put(element / "install.d/60-broken", "if true\n")
    (error,) = look(element).errors
    assert error.startswith("install.d/60-broken: line")


def test_the_log_tells_what_each_hook_did() -> None:
    trial = Trial()
    for line in (
        "2026-11-21 03:23:46.764 | dib-run-parts Running /x/hooks/root.d/10-root\n",
        "2026-11-21 03:23:46.764 | nodepool-probe\troot.d\t10-root\t+\t/etc/a\n",
        "2026-11-21 03:23:46.764 | nodepool-probe\troot.d\t10-root\trc\t0\n",
        "2026-11-21 03:23:46.764 | dib-run-parts 10-root                               5.008\n",
        "dib-run-parts Running /tmp/in_target.d/install.d/20-other\n",
    ):
        trial.hear(line)
    assert trial.runs == [
        Run("root.d", "10-root", [Change("+", "/etc/a")], 0, 5.008),
        Run("install.d", "20-other"),
    ]


def test_a_probe_tells_what_is_made_changed_and_removed_and_passes_on_the_status(element: Path, tmp_path: Path) -> None:
    put(element / "root.d/10-root", 'cd "$TARGET_ROOT"; echo new > new; echo longer > changed; rm gone; exit 7\n')
    probed(element, tmp_path / "copy")
    root = tmp_path / "root"
    root.mkdir()
    for name in ("changed", "gone", "same"):
        (root / name).write_text("x")
    done = subprocess.run(
        [str(tmp_path / "copy/root.d/10-root")],
        env={**os.environ, "TARGET_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    told = [line.split("\t")[3:] for line in done.stdout.splitlines()]
    assert sorted(told) == [["+", "/new"], ["-", "/gone"], ["rc", "7"], ["~", "/changed"]]


def test_elements_that_do_not_go_together_are_a_sentence(element: Path) -> None:
    assert "operating system" in str(closure("mine", (), [str(element.parent)]))
    (element / "element-deps").write_text("nowhere\n")
    assert "nowhere" in str(closure("mine", (), [str(element.parent)]))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NODEPOOL, "-c", "/nowhere", "element-test", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_looking_needs_neither_root_nor_configuration(element: Path) -> None:
    put(element / "install.d/60-bad.sh", "true\n")
    done = run("--look", str(element))
    assert done.returncode == 0
    assert done.stdout.startswith("Never run: install.d/60-bad.sh: its name has")


@pytest.mark.dib
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root")
def test_an_element_that_fails_is_told_with_its_reason(element: Path) -> None:
    put(element / "install.d/60-fails", "echo the reason is this; touch /made; exit 3\n")
    done = run(str(element), "--elements-dir", str(ELEMENTS))
    assert done.returncode == 1
    assert "the reason is this" in done.stdout
    assert "       + /made" in done.stdout
    assert "install.d/60-fails *, exit code 3" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.dib
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root")
@pytest.mark.parametrize("name", TRIED)
def test_our_elements_do_what_they_say(name: str) -> None:
    done = run(str(ELEMENTS / name))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " * (" in done.stdout
