"""The soak, shortly: each kind of failure once on an ensemble of three, and the disasters."""

import random
from pathlib import Path

import pytest

from nodepool_ng.sim.zookeeper import NoZooKeeper, find
from tests.soak.disasters import disasters
from tests.soak.play import Length, soak
from tests.soak.report import Report

pytestmark = [pytest.mark.zookeeper, pytest.mark.daemons, pytest.mark.soak]

SEED = 9


@pytest.fixture(autouse=True)
def _there_is_a_zookeeper() -> None:
    try:
        find()
    except NoZooKeeper as error:
        pytest.skip(str(error))


@pytest.mark.timeout(540)
def test_each_failure_once_breaks_no_promise(tmp_path: Path) -> None:
    report = Report()
    soak(tmp_path, 3, Length(once=True), random.Random(SEED), report)
    print(report.text())
    assert not report.violations


@pytest.mark.timeout(300)
def test_no_server_is_deleted_because_of_a_wrong_zookeeper(tmp_path: Path) -> None:
    report = Report()
    disasters(tmp_path, report)
    assert not report.violations
