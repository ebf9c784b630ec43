"""Letters are taken in the order in which they came."""

from nodepool_ng.shell.inbox import Inbox


def test_all_that_have_come_are_taken_at_once() -> None:
    letters: Inbox[str] = Inbox()
    for letter in "abc":
        letters.post(letter)
    assert letters.take(None) == ["a", "b", "c"]


def test_without_any_there_is_nothing_after_the_timeout() -> None:
    letters: Inbox[str] = Inbox()
    assert letters.take(0.0) == []
