"""The ready nodes that are there for the taking, as one pass sees them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from nodepool_ng.model.action import node_subject
from nodepool_ng.model.census import PoolKey, ZoneName
from nodepool_ng.model.ids import LabelName, NodeId
from nodepool_ng.model.node import Node
from nodepool_ng.model.snapshot import Snapshot
from nodepool_ng.plan.pace import Agenda


class Labelled(Protocol):
    """What serves labels: a node, or a machine that can be one."""

    @property
    def labels(self) -> tuple[LabelName, ...]: ...


_Thing = TypeVar("_Thing", bound=Labelled)


class _Row:
    """The nodes of one pool, label and zone. Those that were looked at and are still to be had stand in front."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._front: list[Node] = []
        self._others = iter(nodes)

    def first(self, count: int, free: Callable[[Node], bool]) -> list[Node]:
        """Return up to `count` nodes that are still to be had; the others will never be again in this pass."""
        self._front = [node for node in self._front if free(node)]
        while len(self._front) < count:
            node = next(self._others, None)
            if node is None:
                break
            if free(node):
                self._front.append(node)
        return self._front[:count]


class Shelf:
    """Spare nodes by pool, label and zone. What the agenda has taken is not on it any more."""

    def __init__(self, s: Snapshot, agenda: Agenda) -> None:
        self._s = s
        self._agenda = agenda
        self._promised: set[NodeId] = set()
        self._rows: dict[tuple[PoolKey, LabelName], dict[ZoneName | None, _Row]] = {}

    def pick(self, key: PoolKey, labels: tuple[LabelName, ...]) -> tuple[Node | None, ...]:
        """Choose ready nodes of a pool for labels, all of one zone: of the zone that serves most of the labels; of
        several such, of the one with the oldest node. None stands where no node is to be had."""
        best: tuple[Node | None, ...] = (None,) * len(labels)
        there = self._s.nodes.shelves
        shelves = [self._shelf(key, label) for label in dict.fromkeys(labels) if (key, label) in there]
        if not shelves:
            return best
        score: tuple[float, ...] = ()
        for zone in dict.fromkeys(zone for shelf in shelves for zone in shelf):
            rows = [shelf[zone] for shelf in shelves if zone in shelf]
            nodes = {node.id: node for row in rows for node in row.first(len(labels), self.has)}
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

    def _shelf(self, key: PoolKey, label: LabelName) -> dict[ZoneName | None, _Row]:
        rows = self._rows.get((key, label))
        if rows is None:
            zones = self._s.nodes.shelves[key, label]
            rows = self._rows[key, label] = {zone: _Row(nodes.values()) for zone, nodes in zones.items()}
        return rows


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
