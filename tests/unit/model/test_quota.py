"""Capacity as arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodepool_ng.model.quota import NONE, Resources, Shortage, fits, left, shortage, tightest, total

amounts = st.dictionaries(st.sampled_from(["instances", "cores", "ram"]), st.integers(-5, 50)).map(Resources)


def test_what_a_limit_does_not_name_it_does_not_limit() -> None:
    assert fits(Resources({"instances": 1}), Resources({"instances": 1, "cores": 1000}))
    assert fits(NONE, Resources({"instances": 1}))


def test_the_worst_shortage_is_told_with_its_figures() -> None:
    free = Resources({"instances": 0, "ram": 1000})
    assert shortage(free, Resources({"instances": 1, "ram": 4000})) == Shortage("ram", 1000, 4000)


def test_what_is_not_wanted_is_never_short() -> None:
    assert shortage(Resources({"instances": -3}), Resources({"instances": 0})) is None


def test_what_is_left_may_be_negative_and_knows_only_limited_resources() -> None:
    assert left(Resources({"cores": 2}), Resources({"cores": 5, "ram": 1})) == Resources({"cores": -3})


def test_the_tightest_of_limits_is_taken_for_each_resource() -> None:
    assert tightest(Resources({"a": 1, "b": 9}), Resources({"a": 2, "b": 3, "c": 4})) == Resources(
        {"a": 1, "b": 3, "c": 4}
    )


def test_nothing_is_false() -> None:
    assert not NONE
    assert not Resources({"cores": 0})
    assert Resources({"cores": 1})


@given(amounts, amounts, amounts)
def test_sums_do_not_depend_on_grouping(a: Resources, b: Resources, c: Resources) -> None:
    assert (a + b) + c == a + (b + c) == total([a, b, c])


@given(amounts, amounts)
def test_what_fits_leaves_nothing_negative(limit: Resources, wanted: Resources) -> None:
    assert fits(limit, wanted) == all(
        amount >= 0 for name, amount in left(limit, wanted).amounts.items() if wanted.get(name) > 0
    )
