"""The promises under everything at once: random histories, each from a seed."""

import os
from dataclasses import replace

import pytest

from nodepool_ng.sim.virtual import chance, story
from nodepool_ng.sim.virtual.campaign import command, try_all
from nodepool_ng.sim.virtual.history import Stage, play
from nodepool_ng.sim.virtual.promise import Promise
from nodepool_ng.sim.virtual.shrink import kept, shortest
from tests.virtual.broken import RULES, breaking

SEEDS = int(os.environ.get("SEEDS", "2000"))
CORES = 2


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_no_random_history_breaks_a_promise() -> None:
    failed = [result for result in try_all(range(SEEDS), CORES) if result.breach is not None]
    assert not failed, "\n".join(f"{command(result.task)}\n  {result.breach}" for result in failed)


def test_the_same_seed_gives_the_same_history_to_the_last_record() -> None:
    def tree_after(seed: int) -> list[object]:
        stage = Stage(chance.history(seed))
        stage.play()
        tree = stage.place.tree
        return [(path, tree.look(path).data, tree.look(path).mzxid) for path in tree.paths()]  # type: ignore[union-attr]

    assert tree_after(11) == tree_after(11)
    assert tree_after(11) != tree_after(12)


def test_a_failing_history_is_told_as_short_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, most = RULES["hold lost"]
    rule(monkeypatch)
    history, verdict = next((h, v) for h in map(chance.history, range(most)) if (v := play(h)).breaches)
    needed, less = shortest(history, verdict)
    assert less.breaches[0].promise is Promise.HELD
    assert len(needed) < len(history.events)
    lines: list[str] = []
    told = story.tell(kept(history, needed), lines.append)
    assert told.breaches == less.breaches
    assert any("! HELD" in line for line in lines)
    assert any("nobody holds its lock any more" in line for line in lines), "the planner's reason is part of the story"
    assert f"--only {','.join(map(str, needed))}" in command(history.seed, needed)


def test_without_events_a_history_comes_to_rest_at_once() -> None:
    verdict = play(replace(chance.history(3), events=()))
    assert not verdict.breaches
    assert verdict.rested < 60


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_noticed(rule: str) -> None:
    """Each rule of the register, broken on purpose, within the number of histories that is stated there."""
    most = RULES[rule][1]
    noticed_after = breaking(rule, most)
    assert noticed_after is not None, f"not noticed in {most} histories"
