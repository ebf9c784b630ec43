"""A change is listed soon, and not lost where it is seen late."""

import math

import pytest

from nodepool_ng.drivers.changes import FAR, FAR_EVERY, NEAR, Reach


def found_after(reach: Reach, changed: float, seen: float, every: float) -> float:
    """Return how long after a change can be seen a list of changes has it, whose instants have whole seconds."""
    since = now = 100.0
    reach.listed(now, full=True)
    while now < seen + 60.0:
        now += every
        start = reach.start(since, now, 0.0)
        reach.listed(now, full=False)
        since = now
        if start <= math.floor(changed) and now >= seen:
            return now - seen
    raise AssertionError("no list has it")


@pytest.mark.parametrize("every", [0.5, 1.0, 3.0, 7.0])
@pytest.mark.parametrize("changed", [100.1, 103.9, 109.3, 114.99, 120.0])
def test_a_change_is_in_the_next_list(changed: float, every: float) -> None:
    assert found_after(Reach(), changed, changed + NEAR, every) <= every


@pytest.mark.parametrize("every", [0.5, 1.0, 3.0, 7.0])
@pytest.mark.parametrize("changed", [100.1, 103.9, 109.3, 114.99, 120.0])
def test_what_is_seen_late_is_in_one_of_the_next_lists(changed: float, every: float) -> None:
    assert found_after(Reach(), changed, changed + FAR, every) <= FAR_EVERY + every


def test_most_lists_reach_back_a_little() -> None:
    reach = Reach()
    reach.listed(100.0, full=True)
    starts = []
    for now in (101.0, 102.0, 103.0, 104.0, 105.0, 106.0):
        starts.append(reach.start(now - 1.0, now, 0.0))
        reach.listed(now, full=False)
    assert starts == [99.0, 100.0, 101.0, 102.0, 95.0, 104.0]


def test_a_list_that_failed_is_asked_for_as_far_back_again() -> None:
    reach = Reach()
    reach.listed(100.0, full=True)
    assert reach.start(104.0, 105.0, 0.0) == reach.start(104.0, 106.0, 0.0) == 95.0


def test_without_a_full_list_before_changes_are_asked_for_from_far_back() -> None:
    assert Reach().start(65.0, 70.0, 0.0) == 60.0


def test_a_list_starts_with_a_second_of_a_clock_that_is_behind() -> None:
    assert Reach().start(65.0, 70.0, 0.3) == 59.0
