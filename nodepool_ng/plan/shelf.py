"""The ready nodes that are there for the taking, as one pass sees them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from nodepool_ng.model.action import node_subject
from nodepool_ng.model.census import PoolKey
from nodepool_ng.model.ids import LabelName, NodeId
from nodepool_ng.model.node import Node
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.pace import Agenda


class Labelled(Protocol):
    """What serves labels: a node, or a machine that can be one."""

    @property
    def labels(self) -> tuple[LabelName, ...]: ...


_Thing = TypeVar("_Thing", bound=Labelled)
_Zones = dict[str | None, dict[NodeId, Node]]


class Shelf:
    """Spare nodes by pool, label and zone. What the agenda has taken is not on it any more."""

    def __init__(self, s: Snapshot, agenda: Agenda) -> None:
        self._s = s
        self._agenda = agenda
        self._promised: set[NodeId] = set()
        self._zones: dict[tuple[PoolKey, LabelName], _Zones] = {}

    def pick(self, key: PoolKey, labels: tuple[LabelName, ...]) -> tuple[Node | None, ...]:
        """Choose ready nodes of a pool for labels, all of one zone: of the zone that serves most of the labels; of
        several such, of the one with the oldest node. None stands where no node is to be had."""
        best: tuple[Node | None, ...] = (None,) * len(labels)
        spare = self._s.nodes.spare_by_label
        shelves = [self._shelf(key, label) for label in dict.fromkeys(labels) if (key, label) in spare]
        if not shelves:
            return best
        score: tuple[float, ...] = ()
        for zone in dict.fromkeys(zone for shelf in shelves for zone in shelf):
            nodes = {node.id: node for shelf in shelves for node in self._first(shelf.get(zone), len(labels))}
            if not nodes:
                continue
            picks = matched(labels, nodes.values())
            found = sum(node is not None for node in picks)
            reached = (found, -min(node.state_time for node in nodes.values()))
            if found and reached > score:
                best, score = picks, reached
        return best

    def promise(self, nodes: Iterable[Node | None]) -> None:
        """Take nodes off the shelf that another launcher is going to give away."""
        self._promised.update(node.id for node in nodes if node is not None)

    def has(self, node: Node) -> bool:
        """Tell whether a spare node is free to be given away."""
        return (
            node.id not in self._s.node_locks
            and node.id not in self._promised
            and self._agenda.free(node_subject(node.id))
        )

    def _shelf(self, key: PoolKey, label: LabelName) -> _Zones:
        zones = self._zones.get((key, label))
        if zones is None:
            zones = self._zones[key, label] = {}
            for node in self._s.nodes.spare_by_label.get((key, label), {}).values():
                zones.setdefault(node.az, {})[node.id] = node
        return zones

    def _first(self, nodes: dict[NodeId, Node] | None, count: int) -> Iterator[Node]:
        """Yield up to `count` nodes that are still to be had; the others will never be again in this pass."""
        gone = []
        for node in nodes.values() if nodes else ():
            if not self.has(node):
                gone.append(node.id)
                continue
            yield node
            count -= 1
            if not count:
                break
        for node_id in gone:
            assert nodes is not None
            del nodes[node_id]


def matched(labels: Sequence[LabelName], nodes: Iterable[_Thing]) -> tuple[_Thing | None, ...]:
    """Match nodes to labels, as many as possible and earlier nodes first; the answer is in the labels' order."""
    places: list[_Thing | None] = [None] * len(labels)
    missing = len(labels)
    for node in nodes:
        if not missing:
            break
        missing -= _place(node, labels, places, set())
    return tuple(places)


def _place(node: _Thing, labels: Sequence[LabelName], places: list[_Thing | None], tried: set[int]) -> bool:
    """Find a place for a node, if need be by moving nodes with several labels to another place."""
    for index, label in enumerate(labels):
        if places[index] is None and label in node.labels:
            places[index] = node
            return True
    for index, label in enumerate(labels):
        other = places[index]
        if other is None or index in tried or label not in node.labels or len(other.labels) < 2:
            continue
        tried.add(index)
        if _place(other, labels, places, tried):
            places[index] = node
            return True
    return False
