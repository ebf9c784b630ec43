"""`nodepool image-build --dry` as a process, with a stand-in for disk-image-create; neither ZooKeeper nor a cloud."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.builder.conftest import STAND_IN, Pulse

NODEPOOL = str(Path(sys.executable).parent / "nodepool")


@pytest.fixture
def dry(tmp_path: Path, pulse: Pulse):
    """Start a dry build of an image whose build does as the test says."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = tmp_path / "dib"
    script.write_text(f'{STAND_IN}\neval "$BODY"\n')
    script.chmod(0o755)

    def start(body: str, *options: str) -> subprocess.Popen[str]:
        variables = {"BODY": body, "PULSE": str(pulse.path), "TMPDIR": str(scratch)}
        image = {"name": "x", "elements": ["one"], "dib-cmd": str(script), "formats": ["raw"], "env-vars": variables}
        config = tmp_path / "nodepool.yaml"
        config.write_text(yaml.safe_dump({"diskimages": [image]}))
        return subprocess.Popen(
            [NODEPOOL, "-c", str(config), "image-build", "x", "--dry", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(scratch)},
        )

    yield start
    assert list(scratch.iterdir()) == [], "nothing is left"


def test_the_log_is_shown_and_nothing_stays(dry) -> None:
    process = dry("echo hello; write")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith("hello\n")
    assert out.endswith("Exit code: 0\n")
    assert err.startswith("raw, ")


def test_the_files_stay_where_the_operator_says(dry, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    process = dry("write", "--output", str(kept))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert sorted(path.suffix for path in kept.iterdir()) == [".md5", ".raw"]


def test_a_build_that_fails_is_a_sentence(dry) -> None:
    process = dry("exit 7")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "x was not built: diskimage-builder ended with exit code 7.\n"


def test_what_is_missing_is_said_before(dry, tmp_path: Path) -> None:
    process = dry("write", "--output", str(tmp_path / "nodepool.yaml/kept"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot be used" in err
    assert "Traceback" not in err


def test_ctrl_c_ends_the_build_in_order(dry, pulse: Pulse) -> None:
    process = dry('exec 9> "$PULSE"; printf + >&9; while true; do sleep 0.1; done')
    pulse.started()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert pulse.stopped()
    assert process.returncode == 1
    assert err == "x was not built: an operator cancelled it.\n"
    assert "Cancelled after" in out
