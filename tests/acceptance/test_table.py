"""The table of behaviours names tests that exist, and every test of this folder that is a behaviour's is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"``((?:\w+/)+\w+\.py)::(\w+)``")


@pytest.mark.parametrize(("table", "rows"), [("acceptance.rst", 80), ("acceptance-drivers.rst", 45)])
def test_every_test_that_the_table_names_exists(table: str, rows: int) -> None:
    named = NAMED.findall((ROOT / "docs" / table).read_text())
    assert len(named) > rows
    sources = {file: (ROOT / "tests" / file).read_text() for file, _ in named}
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in sources[file]] == []
