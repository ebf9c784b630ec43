"""The plugin of DevStack, run by bash as stack.sh runs it, with DevStack's own functions stubbed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nodepool_ng.config import load

FOLDER = Path(__file__).parents[3] / "devstack"
STUBS = """
set -e
define_plugin() { echo "define_plugin $*"; }
enable_service() { ENABLED="${ENABLED:-} $*"; }
is_service_enabled() { case " ${ENABLED:-} " in *" $1 "*) return 0 ;; esac; return 1; }
install_package() { echo "install_package $*"; }
run_process() { echo "run_process $1: $2"; }
stop_process() { echo "stop_process $1"; }
echo_summary() { echo "== $*"; }
python3() {
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\necho "pip $*"\\n' > "$3/bin/pip"
    chmod +x "$3/bin/pip"
}
sudo() { while [ "$1" = install ] && [ "$2" = -d ]; do shift 4; mkdir -p "$@"; return; done; "$@"; }
DEST=$ROOT/opt DATA_DIR=$ROOT/data STACK_USER=stack REGION_NAME=RegionOne DEFAULT_IMAGE_NAME=cirros
NODEPOOL_CONF_DIR=$ROOT/etc
source "$FOLDER/settings"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def stacked(root: Path, *phases: str, before: str = "") -> str:
    """Return what is printed while stack.sh calls the plugin in these phases."""
    calls = "\n".join(f'source "$FOLDER/plugin.sh" {phase}' for phase in phases)
    done = subprocess.run(
        ["bash", "-c", f"{STUBS}\n{before}\n{calls}"],
        env={"ROOT": str(root), "FOLDER": str(FOLDER), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stack_installs_configures_and_starts_both_daemons(tmp_path: Path) -> None:
    said = stacked(tmp_path, "stack install", "stack post-config", "stack extra")
    assert "define_plugin nodepool_ng" in said
    assert f"pip install --upgrade {tmp_path}/opt/nodepool_ng" in said
    venv, config = tmp_path / "data/venv/nodepool_ng", tmp_path / "etc/nodepool.yaml"
    for daemon in ("nodepool-launcher", "nodepool-builder"):
        assert f"run_process {daemon}: {venv}/bin/{daemon} -f -c {config}" in said
    written = yaml.safe_load(config.read_text())
    assert written["zookeeper-servers"] == [{"host": "127.0.0.1", "port": 2181}]
    assert written["providers"][0]["region-name"] == "RegionOne"
    assert load(config).settings is not None


def test_an_unstack_stops_and_a_clean_removes(tmp_path: Path) -> None:
    said = stacked(tmp_path, "stack install", "stack post-config", "unstack", "clean")
    assert "stop_process nodepool-launcher" in said
    assert "stop_process nodepool-builder" in said
    assert not (tmp_path / "etc").exists()
    assert not (tmp_path / "data/nodepool").exists()


def test_nothing_is_done_where_no_service_is_enabled(tmp_path: Path) -> None:
    said = stacked(tmp_path, "stack install", "stack extra", before="ENABLED=")
    assert "install_package" not in said
    assert "run_process" not in said


def test_its_style_is_devstacks() -> None:
    # E006: lines may be as long here as in the rest of this project
    argv = [
        str(Path(sys.executable).parent / "bashate"),
        "-i",
        "E006",
        str(FOLDER / "plugin.sh"),
        str(FOLDER / "settings"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="there is no shellcheck")
def test_the_shell_is_clean() -> None:
    files = [str(FOLDER / name) for name in ("plugin.sh", "settings", "up", "down", "status", "logs")]
    done = subprocess.run(["shellcheck", "-s", "bash", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
