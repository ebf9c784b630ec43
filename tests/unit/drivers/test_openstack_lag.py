"""How far a cloud's clock is behind ours is never taken for less than it is, and soon for little more."""

from email.utils import formatdate

import pytest

from nodepool_ng.drivers.openstack.lag import WHOLE, Lag


def answered(lag: Lag, at: float, behind: float, took: float = 0.02) -> float:
    """Have an answer come from a cloud that is behind, to a list asked for at an instant; return what is allowed."""
    lag.heard(formatdate(int(at + took / 2 - behind), usegmt=True), at, at + took)
    return lag.at_most


@pytest.mark.parametrize("date", [None, "nonsense"])
def test_without_a_date_nothing_is_allowed_for(date: str | None) -> None:
    lag = Lag()
    lag.heard(date, 100.0, 100.1)
    assert lag.at_most == 0.0


@pytest.mark.parametrize("behind", [0.0, 0.3, 1.0, 70.0, 3600.5])
def test_a_clock_that_is_behind_is_allowed_for_at_once_and_soon_by_little_more(behind: float) -> None:
    lag = Lag()
    allowed = [answered(lag, 10_000.0 + each * 0.53, behind) for each in range(40)]
    assert all(behind <= each for each in allowed)
    assert allowed[0] <= behind + WHOLE + 0.03
    assert allowed[-1] <= behind + 0.1


def test_a_clock_that_is_ahead_counts_as_right() -> None:
    assert answered(Lag(), 10_000.0, -20.0) == 0.0


@pytest.mark.parametrize(("before", "after"), [(0.0, 5.0), (5.0, 0.0), (0.2, 1.7)])
def test_a_clock_that_was_set_is_believed_anew(before: float, after: float) -> None:
    lag = Lag()
    for each in range(40):
        answered(lag, 10_000.0 + each * 0.53, before)
    allowed = [answered(lag, 10_100.0 + each * 0.53, after) for each in range(40)]
    assert all(after - WHOLE <= each for each in allowed), "what is listed twice anyway covers that"
    assert after <= allowed[-1] <= after + 0.1
