"""When plans are made."""

import pytest

from nodepool_ng.launcher.pacing import (
    CREDIT,
    GATHER,
    GATHER_QUEUED,
    GATHER_UNAWAITED,
    SETTLE,
    SHARE_OF_A_CORE,
    News,
    Pace,
)


def test_the_first_event_after_a_quiet_while_is_planned_at_once():
    pace = Pace(100.0)
    assert pace.wait(News.SOON, 100.0) == 0
    pace.planned(100.0, 0.001)
    assert pace.wait(News.SOON, 100.0 + 2 * GATHER) == 0


def test_what_follows_a_plan_is_gathered_but_a_request_is_not_kept_waiting():
    pace = Pace(100.0)
    pace.planned(100.0, 0.001)
    assert 0 < pace.wait(News.SOON, 100.001) <= GATHER
    assert pace.wait(News.NOW, 100.001) == 0


def test_more_is_gathered_while_no_request_waits():
    pace = Pace(100.0)
    assert pace.wait(News.SOON, 100.0, awaited=False) == 0
    pace.planned(100.0, 0.001)
    assert pace.wait(News.SOON, 100.001 + GATHER, awaited=True) == 0
    assert pace.wait(News.SOON, 100.001 + GATHER, awaited=False) > 0
    assert pace.wait(News.NOW, 100.001 + GATHER, awaited=False) == 0
    assert pace.wait(News.SOON, 100.001 + GATHER_UNAWAITED, awaited=False) == 0


def test_while_requests_queue_instants_that_have_come_wait_with_the_events():
    pace = Pace(100.0)
    pace.planned(100.0, 0.001)
    for news in (News.NONE, News.SOON):
        assert pace.wait(news, 100.001, queued=True) == pytest.approx(GATHER_QUEUED - 0.001)
        assert pace.wait(news, 100.001 + GATHER_QUEUED, queued=True) == 0
    assert pace.wait(News.NONE, 100.001) == 0
    assert pace.wait(News.NOW, 100.001, queued=True) == 0


def test_plans_that_cost_more_than_their_share_are_spread_out():
    pace = Pace(100.0)
    pace.planned(100.0, CREDIT + 0.02)
    assert pace.wait(News.NOW, 100.0) > 0.02 / SHARE_OF_A_CORE * 0.99
    assert pace.wait(News.NOW, 100.3) == 0


def test_a_quiet_hour_saves_up_no_more_than_the_credit():
    pace = Pace(100.0)
    assert pace.wait(News.NOW, 3700.0) == 0
    pace.planned(3700.0, CREDIT + 0.01)
    assert pace.wait(News.NOW, 3700.0) > 0


def test_an_instant_that_rounding_would_swallow_is_not_waited_for():
    pace = Pace(100.0)
    pace.planned(100.0, 0.0)
    assert pace.wait(News.SOON, 100.0 + GATHER - 1e-8) == 0


def test_a_plan_that_is_due_waits_for_what_is_being_read_but_not_for_long():
    pace = Pace(100.0)
    assert pace.wait(News.SOON, 100.0, reading=True) == pytest.approx(SETTLE)
    assert pace.wait(News.SOON, 100.002, reading=False) == 0
    assert 0 < pace.wait(News.SOON, 100.002, reading=True) < SETTLE
    assert pace.wait(News.SOON, 100.0 + SETTLE, reading=True) == 0
    pace.planned(100.0 + SETTLE, 0.0)
    later = 100.0 + SETTLE + GATHER
    assert pace.wait(News.SOON, later, reading=True) == pytest.approx(SETTLE)


def test_a_request_does_not_wait_for_what_is_being_read():
    pace = Pace(100.0)
    assert pace.wait(News.NOW, 100.0, reading=True) == 0
