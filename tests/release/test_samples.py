"""Every sample below etc/ is one that its program takes."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from nodepool_ng.config import load, validate
from nodepool_ng.telemetry import logs
from tests.support.readme import CHECKOUT

ETC = CHECKOUT / "etc"
UNITS = sorted(ETC.glob("*.service"))
CONFIGURATIONS = {"nodepool.yaml": None, "secure.yaml": "nodepool.yaml"}
"""Samples for -c, and those for -s with what they go with."""
TESTED_ELSEWHERE = {"logging.yaml"}


def test_no_sample_is_left_untested() -> None:
    names = {path.name for path in ETC.glob("*.yaml")}
    assert names == {*CONFIGURATIONS, *TESTED_ELSEWHERE}


@pytest.mark.parametrize("secure", [None, str(ETC / "secure.yaml")], ids=["alone", "with the secure file"])
def test_the_sample_configuration_is_loaded_without_a_complaint(secure: str | None) -> None:
    assert validate(str(ETC / "nodepool.yaml"), secure) == ()
    assert load(str(ETC / "nodepool.yaml"), secure).settings.providers


def test_the_sample_of_logging_is_taken(tmp_path: Path) -> None:
    import logging

    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    sample = yaml.safe_load((ETC / "logging.yaml").read_text())
    sample["handlers"]["file"]["filename"] = str(tmp_path / "nodepool.log")
    (tmp_path / "logging.yaml").write_text(yaml.safe_dump(sample))
    try:
        logs.from_file(str(tmp_path / "logging.yaml"))
        logging.getLogger("nodepool.test").info("[node: 1] told")
        (line,) = (tmp_path / "nodepool.log").read_text().splitlines()
        assert yaml.safe_load(line)["node"] == "1"
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_waits_for_readiness_and_is_watched(unit: Path) -> None:
    read = configparser.ConfigParser(interpolation=None, strict=True)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(unit.read_text())
    service = read["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 30
    assert f"{unit.stem} -f" in service["ExecStart"]
    assert service["ExecReload"].endswith("-HUP $MAINPID")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize(("name", "most"), [("nodepool-launcher", 3.0), ("nodepool-builder", 9.0)])
def test_systemd_takes_a_unit_and_finds_it_closed(tmp_path: Path, name: str, most: float) -> None:
    unit = tmp_path / f"{name}.service"
    text = (ETC / f"{name}.service").read_text()
    unit.write_text(text.replace(f"/usr/bin/{name}", "/bin/true").replace("User=nodepool\nGroup=nodepool\n", ""))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(unit) in line]
    assert (done.returncode, ours) == (0, [])
    unit.write_text(text)
    threshold = f"--threshold={int(10 * most)}"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", threshold, str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


def test_logrotate_takes_its_sample() -> None:
    text = (ETC / "nodepool.logrotate").read_text()
    assert "copytruncate" not in text, "lines would be lost"
    assert text.count("{") == text.count("}") == 1
