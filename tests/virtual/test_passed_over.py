"""What plans pass over, since nothing is to be done for it, they would pass over after another look, too."""

from dataclasses import replace
from typing import Any

import pytest

from nodepool_ng.launcher import reconciler
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan import Plan, plan
from nodepool_ng.sim.virtual import chance
from nodepool_ng.sim.virtual.history import play

HISTORIES = 150


class Doubter:
    """Makes each plan a second time, without what earlier ones found out, and remembers those that differ."""

    def __init__(self) -> None:
        self.rested = 0
        self.looked = 0
        self.differences: list[tuple[Any, Any]] = []

    def plan(self, snapshot: Snapshot) -> Plan:
        made, afresh = plan(snapshot), plan(replace(snapshot, resting={}))
        self.rested += len(snapshot.resting)
        self.looked += len(afresh.resting)
        for name in ("actions", "verdicts", "short", "alarms", "whole", "wake"):
            if getattr(made, name) != getattr(afresh, name):
                self.differences.append((f"{name}: {getattr(made, name)}", f"afresh: {getattr(afresh, name)}"))
        return made


@pytest.mark.parametrize("first", range(0, HISTORIES, 50))
def test_a_node_that_rests_needs_nothing(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    doubter = Doubter()
    monkeypatch.setattr(reconciler, "plan", doubter.plan)
    for seed in range(first, first + 50):
        play(chance.history(seed))
        assert not doubter.differences, (seed, doubter.differences[0])
    assert doubter.rested > doubter.looked / 2
