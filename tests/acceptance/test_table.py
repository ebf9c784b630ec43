"""The tables of behaviours: they name tests that exist, and nothing that Nodepool 11 pins down is missing."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.acceptance.nodepool11 import LAUNCHER, METASTATIC, STATIC

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"``((?:\w+/)+\w+\.py)::(\w+)``")
ROW = re.compile(r"^   \* - (.*)$", re.MULTILINE)
ELSEWHERE = frozenset({"there", "behaviour", "(none)"})


@pytest.mark.parametrize(("table", "rows"), [("acceptance.rst", 80), ("acceptance-drivers.rst", 65)])
def test_every_test_that_the_table_names_exists(table: str, rows: int) -> None:
    named = NAMED.findall((ROOT / "docs" / table).read_text())
    assert len(named) > rows
    sources = {file: (ROOT / "tests" / file).read_text() for file, _ in named}
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in sources[file]] == []


@pytest.mark.parametrize(
    ("table", "heading", "behaviours"),
    [
        ("acceptance.rst", "Behaviours kept from Nodepool 11\n====", LAUNCHER),
        ("acceptance-drivers.rst", "Static\n----", STATIC),
        ("acceptance-drivers.rst", "Metastatic\n----", METASTATIC),
    ],
)
def test_every_behaviour_has_its_row(table: str, heading: str, behaviours: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / table).read_text().partition(heading)[2]
    section = re.split(r"\n-{4,}\n", text.lstrip("=-\n"))[0]
    rows = [name for row in ROW.findall(section) if row not in ELSEWHERE for name in names(row)]
    assert sorted(rows) == sorted(behaviours)


def test_a_row_may_stand_for_several() -> None:
    assert names("a, b_{x,y}_{1,2} (3)") == ["a", "b_x_1", "b_x_2", "b_y_1", "b_y_2"]


def names(row: str) -> list[str]:
    """Return the names that the first column of a row stands for, as a shell would expand its braces."""
    found = []
    for name in re.split(r", (?![^{]*})", re.sub(r" \(.*\)", "", row)):
        parts = [part.split(",") for part in re.split(r"[{}]", name)]
        found += ["".join(chosen) for chosen in itertools.product(*parts)]
    return found
