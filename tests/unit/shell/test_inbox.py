"""Letters are taken in the order in which they came."""

import pytest

from nodepool_ng.shell import inbox
from nodepool_ng.shell.inbox import Inbox


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Inbox[str]:
    """An inbox into which another letter comes while somebody lingers."""
    letters: Inbox[str] = Inbox()
    monkeypatch.setattr(inbox.time, "sleep", lambda seconds: letters.post(f"after {seconds} s"))
    return letters


def test_all_that_have_come_are_taken_at_once(letters: Inbox[str]) -> None:
    for letter in "abc":
        letters.post(letter)
    assert letters.take(None) == ["a", "b", "c"]


def test_without_any_there_is_nothing_after_the_timeout(letters: Inbox[str]) -> None:
    assert letters.take(0.0, 0.25) == []


def test_those_that_come_soon_after_the_first_are_taken_with_it(letters: Inbox[str]) -> None:
    letters.post("first")
    assert letters.take(None, 0.25) == ["first", "after 0.25 s"]
