"""How long one plan takes, in milliseconds, for a quiet, a busy and a very large installation.

Run it as `python -m tests.bench.plan_cost`; `--profile` shows where the time goes for the largest one.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import itertools
import pstats
import statistics
import time
from dataclasses import replace
from typing import Any

from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.snapshot import AttemptState, Side, Snapshot
from nodepool_ng.plan import plan
from tests.unit.plan.support import NEEDS, Scene, key

SHARES = (
    (NodeState.IN_USE, 0.80, Side.FOREIGN),
    (NodeState.READY, 0.12, None),
    (NodeState.BUILDING, 0.04, Side.OURS),
    (NodeState.DELETING, 0.03, Side.OURS),
    (NodeState.HOLD, 0.01, None),
)
LABELS = tuple(f"label-{number}" for number in range(20))


def installation(nodes: int, requests: int, *, providers: int = 4, free: float = 0.0, leased: int = 4) -> Scene:
    """Return an installation whose clouds are full but for a share that is free."""
    scene = Scene()
    scene.providers.clear()
    scene.pool_ids.clear()
    scene.components.clear()
    scene.facts.clear()
    scene.leased.clear()
    NEEDS.update({label: Resources({"instances": 1, "cores": 4, "ram": 8192}) for label in LABELS})
    quota = Resources({"instances": nodes // providers * (1 + free), "cores": 10**6, "ram": 10**9})
    for number in range(providers):
        name = f"cloud-{number}"
        scene.provider(name, quota=quota, leased=number < leased)
        for pool in ("main", "side"):
            scene.pool(f"{name}/{pool}", *LABELS)
            scene.rival(f"{name}/{pool}", *LABELS)
    for label in LABELS:
        scene.label(label, min_ready=nodes // 200, max_ready_age=86400 if label == LABELS[0] else 0)
    _nodes(scene, nodes, providers)
    for number in range(requests):
        labels = [LABELS[(number * 7 + i) % len(LABELS)] for i in range((1, 1, 1, 2, 5)[number % 5])]
        scene.request(number, *labels, tenant_name=f"tenant-{number % 4}", relative_priority=number % 3, reuse=True)
    scene.tenants = {"tenant-0": Resources({"instances": nodes})}
    return scene


def _nodes(scene: Scene, nodes: int, providers: int) -> None:
    number = 0
    for state, share, side in SHARES:
        for _ in range(round(nodes * share)):
            number += 1
            place = f"cloud-{number % providers}/{('main', 'side')[number // providers % 2]}"
            # requests of the benchmark want other labels than the spare nodes have, so that all of them wait
            label = LABELS[number % len(LABELS)] if state is not NodeState.READY else f"idle-{number % 10}"
            changes: dict[str, Any] = {"at": place, "label": label, "lock": side, "az": f"zone-{number % 3}"}
            if state is NodeState.IN_USE:
                changes["allocated_to"] = f"100-{number + 10**6:010d}"
            changes["resources"] = NEEDS[LABELS[0]]
            if state is NodeState.BUILDING:
                scene.building(number, AttemptState.ASKED, **changes)
            else:
                scene.node(number, state, **changes)
            provider, _pool = key(place)
            scene.server(number, at=provider, status="building" if state is NodeState.BUILDING else "active")


def cost(snapshot: Snapshot, rounds: int) -> float:
    """Return the median CPU time of a plan in milliseconds, in a process that has had its records for a while, and has
    made a plan before."""
    snapshot = replace(snapshot, resting=plan(snapshot).resting)
    gc.collect()
    times = []
    for _ in range(rounds):
        began = time.process_time()
        plan(snapshot)
        times.append(time.process_time() - began)
    return statistics.median(times) * 1000


def machine() -> float:
    """Return how long a fixed piece of work takes in milliseconds: what the figures are to be compared by."""
    began = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    return (time.process_time() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true")
    profiled = parser.parse_args().profile
    print(f"ten million additions take {machine():.0f} ms here (about 500 on an idle machine of 2024)")
    sizes = ((800, 0), (800, 50), (10_000, 0), (10_000, 2_000))
    for (nodes, requests), free in itertools.product(sizes, (0.0, 0.2)):
        scene = installation(nodes, requests, free=free)
        snapshot = scene.snapshot()
        gc.collect()
        gc.freeze()
        alone = replace(snapshot, components={k: c for k, c in snapshot.components.items() if "rival" not in k})
        shared = replace(snapshot, leased={"cloud-0", "cloud-1"})
        actions = len(plan(snapshot).actions)
        print(
            f"{nodes:6} nodes, {requests:5} requests, {free:4.0%} free: {cost(snapshot, 15):7.2f} ms"
            f"  (alone {cost(alone, 15):.2f}, half of the clouds {cost(shared, 15):.2f}; {actions} actions)"
        )
    if profiled:
        profile = cProfile.Profile()
        profile.runcall(plan, snapshot)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(40)


if __name__ == "__main__":
    main()
