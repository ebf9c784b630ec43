"""The hand-over of views between threads."""

from nodepool_ng.launcher.showcase import FRESH, Show, Showcase
from nodepool_ng.model.view import View


class Watch:
    time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def made() -> tuple[Showcase, list[Show], Watch]:
    letters: list[Show] = []
    watch = Watch()
    return Showcase(letters.append, watch), letters, watch


def test_all_who_ask_get_the_next_view_for_one_letter() -> None:
    showcase, letters, _ = made()
    asked = [showcase.look() for _ in range(3)]
    assert len(letters) == 1
    assert not any(future.done() for future in asked)
    view = View(now=1.0)
    showcase.put(view)
    assert [future.result(0) for future in asked] == [view] * 3
    assert showcase.latest is view


def test_a_fresh_view_is_handed_out_again_and_an_old_one_is_not() -> None:
    showcase, letters, watch = made()
    showcase.look()
    showcase.put(View(now=1.0))
    watch.time = FRESH / 2
    assert showcase.look().done()
    watch.time = 2 * FRESH
    assert not showcase.look().done()
    assert len(letters) == 2


def test_who_went_away_is_not_waited_for() -> None:
    showcase, _, _ = made()
    gone, there = showcase.look(), showcase.look()
    assert gone.cancel()
    showcase.put(View(now=1.0))
    assert there.result(0).now == 1.0
