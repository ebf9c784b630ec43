"""How long the stages of nodes' lives took lately: booting, with a job, being deleted. Read from their records, so
nodes of all launchers count."""

from collections import deque
from collections.abc import Mapping, Sequence

from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import ProviderName, Seconds, Timestamp
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node

KEPT = 100
"""Samples of each kind."""
BOOT, LIFE, DELETE = "boot", "life", "delete"


class Spans:
    def __init__(self) -> None:
        self._kept: dict[PoolKey, dict[str, dict[str, deque[Seconds]]]] = {}
        self._told: dict[PoolKey, Mapping[str, Mapping[str, list[float]]]] = {}
        self._boots: dict[ProviderName, deque[Seconds]] = {}
        self.quickest: dict[ProviderName, Seconds] = {}
        """The shortest of the latest boots of each provider, whatever booted."""

    def saw(self, before: Node | None, after: Node | None, now: Timestamp) -> None:
        """Take in that a record changed."""
        if before is None or before.provider is None or before.pool is None:
            return
        if after is None:
            if before.state is NodeState.DELETING:
                self._keep(before, DELETE, now - before.state_time)
        elif before.state is NodeState.BUILDING and after.state is NodeState.READY:
            took = after.state_time - (before.created_time or before.state_time)
            self._keep(before, BOOT, took)
            boots = self._boots.setdefault(before.provider, deque(maxlen=KEPT))
            boots.append(took)
            self.quickest[before.provider] = max(min(boots), 0.0)
        elif before.state is NodeState.IN_USE and after.state in (NodeState.USED, NodeState.DELETING):
            self._keep(before, LIFE, after.state_time - before.state_time)

    def of(self, pool: PoolKey) -> Mapping[str, Mapping[str, list[float]]]:
        """Return deciles in seconds, by stage and label, with two significant digits."""
        told = self._told.get(pool)
        if told is None:
            kept = self._kept.get(pool, {})
            told = self._told[pool] = {
                stage: {label: deciles(sorted(values)) for label, values in sorted(labels.items())}
                for stage, labels in kept.items()
            }
        return told

    def _keep(self, node: Node, stage: str, took: Seconds) -> None:
        assert node.provider is not None
        assert node.pool is not None
        key = (node.provider, node.pool)
        labels = self._kept.setdefault(key, {}).setdefault(stage, {})
        labels.setdefault(node.label or "", deque(maxlen=KEPT)).append(max(took, 0.0))
        self._told.pop(key, None)


def deciles(values: Sequence[float]) -> list[float]:
    """Return eleven of the sorted values, evenly spread, with two significant digits."""
    last = len(values) - 1
    return [float(f"{values[round(last * part / 10)]:.2g}") for part in range(11)]
