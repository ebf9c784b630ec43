"""Nodes that plans need not look at: an earlier one found that they wait, and there was no news of them since."""

from collections.abc import Mapping

from nodepool_ng.model.action import Action, subjects
from nodepool_ng.model.ids import NodeId, ServerId, Timestamp
from nodepool_ng.model.server import Server
from nodepool_ng.plan.launch import unmarked


class Resting:
    """`nodes` has them, and until when each waits. Whatever might concern one ends its rest; in doubt, that of all."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Timestamp] = {}

    def found(self, nodes: Mapping[NodeId, Timestamp]) -> None:
        """A plan found nothing to do for these."""
        self.nodes.update(nodes)

    def stirred(self, node: NodeId) -> None:
        """There is news of a node."""
        self.nodes.pop(node, None)

    def all_stirred(self) -> None:
        """What every decision rests on is another one now."""
        self.nodes.clear()

    def came(self, action: Action) -> None:
        """An action ended."""
        for _, about in subjects(action):
            self.nodes.pop(NodeId(about), None)

    def listed(self, before: Mapping[ServerId, Server], after: Mapping[ServerId, Server]) -> None:
        """A list came: these were the servers, and these are there now."""
        others = [server for server in after if before.get(server) is not after[server]]
        others += [server for server in before if server not in after]
        for changed in others:
            was, there = before.get(changed), after.get(changed)
            if was == there:
                continue
            for server in (was, there):
                if server is not None and unmarked(server):
                    # The record of any node may name it.
                    self.nodes.clear()
                elif server is not None and server.node is not None:
                    self.nodes.pop(server.node, None)
