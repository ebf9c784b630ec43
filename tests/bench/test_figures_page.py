"""The tables of figures say what the benchmark said."""

import pytest

from tests.bench.page import BEGIN, KEPT, LINES, OURS, PAGES, THEIRS, Line, kept, rendered, table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_made_from_what_was_kept(page) -> None:
    assert page.read_text() == rendered(page), f"run: python -m tests.bench.page (which reads {KEPT.name})"
    assert BEGIN in page.read_text()


def test_every_line_was_measured() -> None:
    shown = table(kept(), LINES)
    assert [line.what for line in LINES if line.what not in shown] == []


@pytest.mark.parametrize(("ours", "said"), [(0.2, "0.1 s"), (0.02, "0.1 s"), (0.1, "0.1 s")])
def test_a_goal_that_was_missed_is_said_to_be(ours: float, said: str) -> None:
    line = Line(what="this", scenario="s", path="a.b", unit="s", most=0.1)
    figures = [
        {"scenario": "s", "product": OURS, "a": {"b": ours}, "command": "s --beside"},
        {"scenario": "s", "product": THEIRS, "a": {"b": 1.0}, "command": "s --beside"},
    ]
    (row,) = (text for text in table(figures, [line]).splitlines() if text.startswith("this"))
    assert ("missed" in row) == (ours > 0.1)
    assert said in row
    assert "``s --beside``" in row


def test_a_goal_may_be_a_ratio_or_a_least() -> None:
    figures = [
        {"scenario": "s", "product": OURS, "n": 3.0, "command": "s"},
        {"scenario": "s", "product": THEIRS, "n": 5.0, "command": "s"},
    ]
    slow = Line(what="this", scenario="s", path="n", most=0.5, relative=True)
    low = Line(what="that", scenario="s", path="n", least=4.0)
    assert "0.5 — **missed**" in table(figures, [slow])
    assert "at least 4 — **missed**" in table(figures, [low])
    assert "missed" not in table(figures, [Line(what="that", scenario="s", path="n", least=2.0)])
