"""Demand played through a configuration: what comes out is what arithmetic says, and proposals keep their promise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nodepool_ng.model.quota import Resources
from nodepool_ng.sim.virtual.demand import Model, Wanted, play, propose, synthetic, with_min_ready
from tests.acceptance.shop import label, pool, provider, settings, yard

MODEL = Model(boot=60.0, sigma=0.0, delete=5.0)


def one_an_hour(count: int, seconds: float = 600.0) -> list[Wanted]:
    return [Wanted(3600.0 * number, ("small",), seconds) for number in range(count)]  # type: ignore[arg-type]


def test_a_cold_request_waits_for_a_boot_and_a_warm_one_does_not() -> None:
    cold = play(settings(), one_an_hour(3), MODEL).labels["small"]  # type: ignore[index]
    assert len(cold.waits) == 3
    assert all(60 <= wait <= 63 for wait in cold.waits)
    warm = play(settings(labels={"small": {"min_ready": 1}}), one_an_hour(3), MODEL).labels["small"]  # type: ignore[index]
    assert all(wait < 1 for wait in warm.waits)


def test_node_hours_are_those_of_the_jobs_and_of_what_waits_ready() -> None:
    cold = play(settings(), one_an_hour(6), MODEL)
    assert cold.busy_hours == pytest.approx(5 * 600 / 3600, abs=0.1)  # the last one begins when time is up
    assert cold.utilisation > 0.85
    warm = play(settings(labels={"small": {"min_ready": 2}}), one_an_hour(6), MODEL)
    assert warm.node_hours > 10
    assert warm.utilisation < 0.15


def test_what_nobody_has_fails_and_what_does_not_fit_waits_for_ever() -> None:
    configured = settings(provider("north", pool("main", "small", limits={"instances": 1})))
    wanted = [Wanted(0.0, ("large",), 1.0), *(Wanted(10.0, ("small",), 3600.0 * 3) for _ in range(4))]  # type: ignore[arg-type]
    found = play(configured, wanted, MODEL).labels
    assert found["large"].failed == 1  # type: ignore[index]
    assert found["large"].within(0.5) == math.inf  # type: ignore[index]
    assert (len(found["small"].waits), found["small"].unserved) == (2, 2)  # type: ignore[index]


def test_quotas_and_sizes_count() -> None:
    model = Model(
        boot=60.0,
        sigma=0.0,
        costs={"small": Resources({"cores": 4})},
        quotas={"north": Resources({"cores": 8})},  # type: ignore[dict-item]
    )
    wanted = [Wanted(0.0, ("small",), 1000.0) for _ in range(3)]  # type: ignore[arg-type]
    waits = play(settings(), wanted, model).labels["small"].waits  # type: ignore[index]
    assert [round(wait, -2) for wait in waits] == [100, 100, 1100]


def test_machines_that_are_there_already_are_left_out() -> None:
    from tests.acceptance.shop import host

    found = play(settings(provider("north"), yard(host("one"))), one_an_hour(1), MODEL)
    assert len(found.labels["small"].waits) == 1  # type: ignore[index]


def test_the_proposal_keeps_its_promise_with_as_few_as_possible() -> None:
    wanted = synthetic({"small": 60.0}, 1800.0, 60.0, seed=4)  # type: ignore[dict-item]
    assert 20 < len(wanted) < 45
    configured = settings(provider("north", pool("main", label("small", host_key_checking=False))))
    chosen, outcome = propose(configured, wanted, MODEL, objective=5.0, share=0.9)
    number = chosen["small"]  # type: ignore[index]
    assert outcome.labels["small"].within(0.9) <= 5.0  # type: ignore[index]
    assert number > 0
    fewer = settings(provider("north", pool("main", "small")), labels={"small": {"min_ready": number - 1}})
    assert play(fewer, wanted, MODEL).labels["small"].within(0.9) > 5.0  # type: ignore[index]


def test_each_label_gets_what_it_needs_of_its_own_and_no_more() -> None:
    """A replay with one fewer of any label breaks that label's promise."""
    rates = {"small": 90.0, "large": 12.0}
    wanted = synthetic(rates, 1800.0, 60.0, seed=2)  # type: ignore[arg-type]
    configured = settings(provider("north", pool("main", "small", "large")))
    chosen, outcome = propose(configured, wanted, MODEL, objective=5.0, share=0.9)
    assert all(outcome.labels[name].within(0.9) <= 5.0 for name in chosen)
    assert chosen["small"] > chosen["large"] > 0  # type: ignore[index]
    again = play(with_min_ready(configured, chosen), wanted, MODEL)
    assert again == outcome
    for name in chosen:
        fewer = play(with_min_ready(configured, {**chosen, name: chosen[name] - 1}), wanted, MODEL)
        assert fewer.labels[name].within(0.9) > 5.0


def test_boots_that_fail_are_tried_again_and_take_longer() -> None:
    wanted = one_an_hour(40)
    sound, frail = play(settings(), wanted, MODEL), play(settings(), wanted, replace(MODEL, failures=0.4))
    assert frail.labels["small"].waits[-1] > 100 > sound.labels["small"].waits[-1]  # type: ignore[index]
    assert frail == play(settings(), wanted, replace(MODEL, failures=0.4))
    assert frail != play(settings(), wanted, replace(MODEL, failures=0.4), seed=1)


def test_where_room_is_missing_no_number_helps_and_that_is_told() -> None:
    configured = settings(provider("north", pool("main", "small", limits={"instances": 1})))
    wanted = synthetic({"small": 30.0}, 1200.0, 200.0, seed=1)  # type: ignore[dict-item]
    _, outcome = propose(configured, wanted, MODEL, objective=1.0, share=0.9)
    assert outcome.labels["small"].within(0.9) > 1.0  # type: ignore[index]
