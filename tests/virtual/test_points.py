"""Every point of the ordinary work, struck once: killed, taken over, and one fate more; and pairs of points."""

from collections import Counter

import pytest

from nodepool_ng.sim.virtual.campaign import command, try_all
from nodepool_ng.sim.virtual.process import Fate
from nodepool_ng.sim.virtual.scenes import SCENES, every_point, pairs, points_of

CORES = 2


def test_there_are_points_before_and_after_every_write_and_call() -> None:
    points = points_of(SCENES["set"])
    assert any(point.startswith("before Create ") for point in points)
    assert any(point.startswith("after Create ") for point in points)
    assert {point.split()[0] for point in points} == {"before", "after"}
    assert Counter(point.split()[0] for point in points)["before"] == len(points) / 2
    assert "before Remove" in points
    assert "after Remove" in points


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_no_strike_at_any_point_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [*every_point(), *pairs()]
    results = list(try_all(cases, CORES))
    failed = [result for result in results if result.breach is not None]
    assert not failed, "\n".join(f"{command(result.task)}\n  {result.breach}" for result in failed)
    assert len(results) == len(cases) > 1500
    points = len({(case.scene, case.point) for case in cases})
    with capsys.disabled():
        print(f"\n{points} points in {len(SCENES)} scenes, {len(Fate)} fates in turn: {len(cases)} histories")
