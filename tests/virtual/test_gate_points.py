"""Uploads at the gate: what the two scenes come to, and that a gate that lets through is noticed."""

from collections.abc import Callable

import pytest

from nodepool_ng.launcher import canaries, records
from nodepool_ng.model.gate import GateState, gate_of
from nodepool_ng.model.lifecycle import ImageState
from nodepool_ng.sim.virtual.history import Stage
from nodepool_ng.sim.virtual.process import Fate
from nodepool_ng.sim.virtual.promise import Promise
from nodepool_ng.sim.virtual.scenes import SCENES, history, points_of


def staged(scene: str) -> Stage:
    return Stage(history(SCENES[scene], standby=False, points={}, second={}))


def gates(stage: Stage) -> list[GateState | None]:
    """Return what the gate said of each upload, the older one first."""
    uploads = sorted(stage.place.referee.images._uploads(), key=lambda upload: upload.state_time)
    found = [gate_of(upload) for upload in uploads]
    return [None if gate is None else gate.state for gate in found]


@pytest.mark.parametrize(("scene", "second"), [("gate", GateState.PASSED), ("gate shut", GateState.FAILED)])
def test_what_the_gate_says_in_quiet_times(scene: str, second: GateState) -> None:
    stage = staged(scene)
    assert stage.play().breaches == []
    assert gates(stage) == [GateState.PASSED, second]


def ready_is_enough(patch: pytest.MonkeyPatch) -> None:
    """Nodes are made from the youngest upload, whatever the gate says."""
    patch.setattr(canaries, "in_service", lambda upload: upload.state is ImageState.READY)


def canaries_for_all(patch: pytest.MonkeyPatch) -> None:
    """Nobody can tell a canary from another node."""
    patch.setattr(records, "CANARY", "forgotten")


@pytest.mark.parametrize("rule", [ready_is_enough, canaries_for_all])
@pytest.mark.parametrize("scene", ["gate", "gate shut"])
def test_a_broken_gate_is_noticed(
    rule: Callable[[pytest.MonkeyPatch], None], scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(monkeypatch)
    assert Promise.GATE in [breach.promise for breach in staged(scene).play().breaches]


@pytest.mark.parametrize("fate", [Fate.KILLED, Fate.LATE])
@pytest.mark.parametrize("scene", ["gate", "gate shut"])
def test_a_launcher_struck_as_it_judges_leaves_the_gate_as_good(scene: str, fate: Fate) -> None:
    """At each write of an upload's record, and just after it; all other points are struck in `test_points`."""
    points = points_of(SCENES[scene], standby=True)
    judging = [number for number, point in enumerate(points, 1) if "/images/" in point and "Set " in point]
    assert judging
    for point in judging:
        stage = Stage(history(SCENES[scene], standby=True, points={point: fate}, second={}))
        assert stage.play().breaches == []
        assert gates(stage)[-1] is GateState.PASSED if scene == "gate" else gates(stage)[0] is GateState.PASSED
