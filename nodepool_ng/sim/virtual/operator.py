"""An operator in virtual time, doing what the command line does."""

from dataclasses import replace

from nodepool_ng.model.ids import NodeId, ProviderName, Seconds
from nodepool_ng.model.lifecycle import ImpossibleTransition, NodeEvent
from nodepool_ng.model.node import moved
from nodepool_ng.sim.virtual.scripts import Actor, Script, commit, lock, read_node
from nodepool_ng.sim.virtual.witness import WitnessedTree
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Check, Delete
from nodepool_ng.zk.writes import set_node

PATIENCE: Seconds = 5.0
HELD_BY_OPERATOR = "held by an operator"


class Operator:
    """`touched` are the nodes whose clients have a right to be surprised."""

    def __init__(self, actor: Actor, tree: WitnessedTree, erased: set[NodeId]) -> None:
        self._erased = erased
        self._actor = actor
        self._tree = tree
        self.touched: set[NodeId] = set()

    def change(self, node: NodeId, event: NodeEvent) -> None:
        """Delete or hold a node: under its lock, as long as that is to be had within a few seconds."""
        self._actor.run(self._change(node, event))

    def erase(self, provider: ProviderName) -> None:
        """Forget all nodes of a provider, locked or not."""
        for node in [each for each in self._tree.nodes().values() if each.provider == provider]:
            self.touched.add(node.id)
            self._erased.add(node.id)
            root = paths.node(node.id)
            below = [path for path in self._tree.paths() if path == root or path.startswith(f"{root}/")]
            self._tree.commit(tuple(Delete(path) for path in reversed(below)), self._actor.session_id)

    def _change(self, node_id: NodeId, event: NodeEvent) -> Script:
        contender = yield from lock(self._actor, paths.node_lock(node_id), PATIENCE)
        if contender is None:
            return
        found = yield from read_node(node_id)
        if found is not None:
            node, version = found
            try:
                changed = moved(node, event, self._actor.now())
            except ImpossibleTransition:
                changed = None
            if changed is not None:
                self.touched.add(node_id)
                if event is NodeEvent.HELD:
                    changed = replace(changed, comment=HELD_BY_OPERATOR)
                yield from commit(Check(contender), set_node(changed, version), Delete(contender))
                return
        yield from commit(Delete(contender))
