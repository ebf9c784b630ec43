"""When plans are made."""

from nodepool_ng.launcher.pacing import CREDIT, GATHER, SHARE_OF_A_CORE, News, Pace


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
