"""Pages that are partly made by programs are as those would make them now; all pages can be rendered."""

import itertools
import re

import pytest

from tests.readme.drawn import PAGE, page
from tests.support.readme import CHECKOUT

PAGES = sorted((CHECKOUT / "docs").glob("*.rst"))


def test_the_drawn_tables_are_those_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.readme.drawn"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_titles_are_underlined_in_full(path) -> None:
    lines = path.read_text().splitlines()
    for title, rule in itertools.pairwise(lines):
        if title and not title.startswith((" ", "=", "-")) and re.fullmatch(r"(=|-)\1{3,}", rule):
            assert len(rule) >= len(title), title


def test_every_page_is_linked_to_from_another() -> None:
    everything = "".join(path.read_text() for path in (*PAGES, CHECKOUT / "README.rst"))
    assert [path.name for path in PAGES if f"{path.name}>`_" not in everything] == []
