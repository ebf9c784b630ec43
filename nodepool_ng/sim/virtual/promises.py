"""What is promised, and who sees at once when it is broken.

The referee judges every transaction of the tree and every call that a cloud is asked for, from outside: it knows the
whole tree and the true state of the clouds, not what a launcher believes. What can only be judged when everything has
come to rest is in `check`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nodepool_ng.drivers import MARK_ATTEMPT, MARK_INSTALLATION, MARK_NODE, ServerOrder
from nodepool_ng.model.component import Component
from nodepool_ng.model.ids import (
    AttemptId,
    NodeId,
    ProviderName,
    RequestId,
    Seconds,
    ServerId,
    Timestamp,
)
from nodepool_ng.model.lifecycle import NODE_TRANSITIONS, REQUEST_TRANSITIONS, NodeEvent, NodeState, RequestState
from nodepool_ng.model.node import Node, hold_limit
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import ServerStatus
from nodepool_ng.model.settings import Provider
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Server, Status
from nodepool_ng.sim.virtual.image_promises import ImageReferee
from nodepool_ng.sim.virtual.process import VirtualLauncher, VirtualProcess
from nodepool_ng.sim.virtual.promise import INSTALLATION, SETTLE, Breach, Promise
from nodepool_ng.sim.virtual.witness import POOL_PREFIX, Deed, WitnessedTree, Written, lock_of, reading
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Check, Create, Delete, Set
from nodepool_ng.zk.tree import SessionId

SLOWEST: Seconds = 10.0
"""What a launcher decided that hears late may still be on its way for so long."""
RELOAD_GRACE: Seconds = 5.0
"""What was decided under the old settings may still be carried out for so long."""


_NOT_A_LAUNCHERS = (NodeEvent.TAKEN, NodeEvent.RETURNED, NodeEvent.HELD)
_NODE_MOVES = frozenset((old, new) for (old, e), new in NODE_TRANSITIONS.items() if e not in _NOT_A_LAUNCHERS)
_REQUEST_MOVES = frozenset((old, new) for (old, _), new in REQUEST_TRANSITIONS.items())
_LEAVING = (NodeState.DELETING, NodeState.DELETED)


@dataclass(slots=True)
class _Pool:
    component: Component
    since: Timestamp
    gone: Timestamp | None = None


class Referee:
    """Judges; `breaches` are what it saw. `who` tells whose session it is, if a launcher's or builder's."""

    def __init__(
        self,
        tree: WitnessedTree,
        regions: Mapping[ProviderName, Region],
        now: Callable[[], Timestamp],
        who: Callable[[SessionId], VirtualProcess[Any] | None],
    ) -> None:
        self.breaches: list[Breach] = []
        self.excused: set[ProviderName] = set()
        """Providers that may decline what they could serve, since something was done to their clouds."""
        self.slow: set[str] = set()
        """Launchers whose writes may take so long that they learn better meanwhile."""
        self.reloaded: dict[str, Timestamp] = {}
        """When a launcher was last given other settings."""
        self._tree = tree
        self._regions = regions
        self._now = now
        self._who = who
        self._intents: set[tuple[NodeId, AttemptId]] = set()
        self._given: dict[NodeId, RequestId] = {}
        self._serving: dict[str, NodeId] = {}
        self._members: dict[tuple[str, str], set[NodeId]] = {}
        self._pools: dict[str, _Pool] = {}
        self._without_image: set[tuple[RequestId, ProviderName]] = set()
        """Requests that a provider declined while it did not have their images."""
        self.images = ImageReferee(tree, regions, self.breach)

    def breach(self, promise: Promise, what: str) -> None:
        self.breaches.append(Breach(promise, self._now(), what))

    def defect(self, what: str) -> None:
        self.breach(Promise.SOUND, what)

    def members(self, pool: tuple[str, str]) -> int:
        """Return how many nodes a pool has."""
        return len(self._members.get(pool, ()))

    def recorded(self, server_id: str) -> bool:
        """Tell whether a record has ever named a server."""
        return server_id in self._serving

    def judge(self, deed: Deed) -> None:
        """See whether a transaction keeps the promises."""
        process = self._who(deed.session) if deed.nodes or deed.requests or deed.images else None
        if process is not None and deed.images:
            self.images.judge(deed, process)
        launcher = process if deed.nodes or deed.requests else None
        for op in deed.ops:
            if op.path.startswith(POOL_PREFIX):
                self._registry(op)
        for written in deed.nodes:
            self._node(deed, written, launcher)
        for written in deed.requests:
            if launcher is not None:
                self._request(deed, written, launcher)

    def session_ended(self, session: SessionId) -> None:
        """Pools that went with a session are remembered for a while."""
        for path, pool in self._pools.items():
            if pool.gone is None and self._tree.look(path) is None:
                pool.gone = self._now()

    def ordered(self, launcher: VirtualProcess[Any], order: ServerOrder) -> None:
        """A launcher asks a cloud for a server."""
        marks = order.marks
        if marks.node is None or marks.attempt is None or (marks.node, marks.attempt) not in self._intents:
            self.breach(
                Promise.INTENT, f"{launcher.name} asks for a server for node {marks.node}, which no record tells of"
            )

    def deleting(self, launcher: VirtualProcess[Any], provider: ProviderName, server_id: str) -> None:
        """A launcher's order to delete a server has reached its cloud."""
        server = self._regions[provider].servers.live.get(server_id)
        if server is None:
            return
        marks = server.ask.metadata or {}
        node = self._tree.node(NodeId(marks.get(MARK_NODE, "")))
        recorded = node is not None and node.server_id == server_id and node.provider == provider
        if not is_ours(server) and not recorded:
            self.breach(Promise.OURS, f"{launcher.name} deletes {server.name}, which is not ours")
        elif node is not None and node.state not in _LEAVING and self._is_the_one(node, server, provider):
            self.breach(Promise.OURS, f"{launcher.name} deletes the server of node {node.id}, which is {node.state}")

    def _is_the_one(self, node: Node, server: Server, provider: ProviderName) -> bool:
        """Tell whether a server is the one that a node stands for: the recorded one, or the last of its attempt."""
        if node.server_id is not None:
            return node.server_id == server.id
        attempt = (server.ask.metadata or {}).get(MARK_ATTEMPT)
        if attempt != node.attempt:
            return False
        twins = [
            other
            for other in self._regions[provider].servers.live.values()
            if (other.ask.metadata or {}).get(MARK_ATTEMPT) == attempt and other.task(self._now()) != "deleting"
        ]
        return twins == [server]

    def _node(self, deed: Deed, written: Written, launcher: VirtualLauncher | None) -> None:
        before, after = _node_of(written, written.before), _node_of(written, written.after)
        node_id = NodeId(written.id)
        if launcher is not None:
            if written.before is None:
                self._new_node(deed, after, launcher)
            else:
                self._locked(deed, written, launcher)
                self._changed_node(deed, before, after, node_id, launcher)
        if before is not None and before.provider and before.pool:
            self._members.get((before.provider, before.pool), set()).discard(node_id)
        if after is None:
            self._given.pop(node_id, None)
            return
        if after.provider and after.pool:
            self._members.setdefault((after.provider, after.pool), set()).add(node_id)
            if written.before is None and launcher is not None:
                self._limit(after, launcher)
        if launcher is not None and (why := self.images.unproven(before, after)):
            self.breach(Promise.GATE, f"{launcher.name} writes node {node_id}: {why}")
        if after.attempt is not None:
            self._intents.add((node_id, after.attempt))
        if after.allocated_to is None:
            self._given.pop(node_id, None)
        if after.server_id is not None:
            other = self._serving.get(after.server_id)
            rival = self._tree.node(other) if other is not None and other != node_id else None
            if rival is not None and rival.server_id == after.server_id:
                self.breach(Promise.ONCE, f"server {after.server_id} serves the nodes {other} and {node_id}")
            self._serving[after.server_id] = node_id

    def _locked(self, deed: Deed, written: Written, launcher: VirtualLauncher) -> None:
        if written.holder != deed.session and not written.locked_here:
            self.breach(Promise.LOCKED, f"{launcher.name} wrote {written.path} without its lock")
        elif not written.fenced:
            self.breach(Promise.LOCKED, f"{launcher.name} wrote {written.path} without a check of its lock")

    def _new_node(self, deed: Deed, after: Node | None, launcher: VirtualLauncher) -> None:
        lease = paths.lease(ProviderName(after.provider)) if after is not None and after.provider else ""
        checked = any(isinstance(op, Check) and op.path.startswith(f"{lease}/") for op in deed.ops)
        if not lease or not checked or self._tree.holder(lease) != deed.session:
            self.breach(Promise.LOCKED, f"{launcher.name} launches in {lease} without its lease")

    def _limit(self, after: Node, launcher: VirtualLauncher) -> None:
        assert after.provider is not None
        assert after.pool is not None
        provider = launcher.reconciler.world.settings.providers.get(after.provider)
        pool = provider.pools.get(after.pool) if provider else None
        there = len(self._members[after.provider, after.pool])
        limit = pool.limits.amounts.get("instances") if pool else None
        fresh = self._now() < self.reloaded.get(launcher.name, 0.0) + RELOAD_GRACE
        if limit is not None and there > limit and not fresh:
            self.breach(
                Promise.LIMITS, f"{after.provider}/{after.pool} has {there} nodes, and max-servers is {limit:g}"
            )

    def _changed_node(
        self, deed: Deed, before: Node | None, after: Node | None, node_id: NodeId, launcher: VirtualLauncher
    ) -> None:
        if before is None:
            return
        if after is None:
            if before.state not in _LEAVING:
                self.breach(Promise.TABLES, f"{launcher.name} removed the record of node {node_id}, {before.state}")
            return
        if before.state is not after.state and (before.state, after.state) not in _NODE_MOVES:
            self.breach(Promise.TABLES, f"{launcher.name} made node {node_id} {after.state}, which was {before.state}")
        request = self._tree.request(before.allocated_to) if before.allocated_to else None
        handed = request is not None and request.state is RequestState.FULFILLED and node_id in request.nodes
        if handed and before.state is NodeState.READY and self._given.get(node_id) == before.allocated_to:
            self.breach(
                Promise.ONCE, f"{launcher.name} wrote node {node_id}, which request {before.allocated_to} has got"
            )
        waiting = request is not None and request.state is RequestState.PENDING
        held = (
            waiting and self._tree.holder(lock_of(paths.request(RequestId(before.allocated_to or "")))) == deed.session
        )
        if before.state is NodeState.READY and after.state is NodeState.DELETING and before.allocated_to and not held:
            self.breach(Promise.ONCE, f"{launcher.name} deletes node {node_id}, which is {before.allocated_to}'s")
        if before.state is NodeState.HOLD:
            limit = hold_limit(before, launcher.reconciler.world.settings.max_hold_age)
            if limit <= 0 or launcher.clock.now() < before.state_time + limit:
                self.breach(Promise.HELD, f"{launcher.name} ended the hold of node {node_id}")

    def _request(self, deed: Deed, written: Written, launcher: VirtualLauncher) -> None:
        before, after = _request_of(written, written.before), _request_of(written, written.after)
        if before is None or after is None:
            self.breach(Promise.KEPT, f"{launcher.name} made or removed {written.path}")
            return
        self._locked(deed, written, launcher)
        if (before.state, after.state) not in _REQUEST_MOVES:
            self.breach(Promise.TABLES, f"{launcher.name} made {before.id} {after.state}, which was {before.state}")
        if set(after.declined_by) - set(before.declined_by):
            self._declined(after, launcher)
        if after.state is RequestState.FULFILLED:
            self._fulfilled(after, launcher, deed.session)
        elif after.state is RequestState.FAILED:
            self._failed(after, launcher)

    def _declined(self, request: NodeRequest, launcher: VirtualLauncher) -> None:
        for provider in launcher.reconciler.world.settings.providers.values():
            if not self._has_images(provider, request):
                self._without_image.add((request.id, provider.name))

    def _has_images(self, provider: Provider, request: NodeRequest) -> bool:
        images = {
            pool.labels[label].diskimage
            for pool in provider.pools.values()
            for label in request.labels
            if label in pool.labels
        }
        return all(image is None or self.images.is_ready(image, provider.name) for image in images)

    def _fulfilled(self, request: NodeRequest, launcher: VirtualLauncher, session: SessionId) -> None:
        def wrong(what: str) -> None:
            self.breach(Promise.ONCE, f"{launcher.name} fulfilled {request.id}, but {what}")

        nodes = [self._tree.node(node) for node in request.nodes]
        if len(set(request.nodes)) != len(request.labels):
            wrong(f"it has {len(set(request.nodes))} nodes for {len(request.labels)} labels")
        for node, node_id, label in zip(nodes, request.nodes, request.labels, strict=False):
            if node is None or node.state is not NodeState.READY or node.allocated_to != request.id:
                wrong(f"node {node_id} is {node.state if node else 'gone'}, for {node.allocated_to if node else '-'}")
                continue
            if node_id in self._given:
                wrong(f"node {node_id} is {self._given[node_id]}'s")
            if label not in node.labels:
                wrong(f"node {node_id} is no {label}")
            if self._tree.holder(lock_of(paths.node(node_id))) == session:
                wrong(f"node {node_id} is still locked")
            self._given[node_id] = request.id
            self._has_server(node, wrong, launcher)
        if len({(node.provider, node.pool) for node in nodes if node}) > 1:
            wrong("its nodes come from several pools")

    def _has_server(self, node: Node, wrong: Callable[[str], None], launcher: VirtualLauncher) -> None:
        """A server may have died a moment ago; but not before the launcher last looked at all of them. Static nodes
        have none."""
        provider = node.provider or ProviderName("")
        if provider not in self._regions:
            return
        facts = launcher.reconciler.world.clouds.facts.get(provider)
        server = self._regions[provider].servers.rows.get(node.server_id or "")
        known = facts.servers.get(ServerId(node.server_id or "")) if facts else None
        if known is not None and known.status is ServerStatus.FAILED and launcher.name not in self.slow:
            wrong(f"it has seen the server of node {node.id} in ERROR")
        looked = facts.full_listed if facts and facts.full_listed is not None else 0.0
        if server is None:
            wrong(f"node {node.id} has no server")
        elif server.gone <= looked - launcher.clock.offset:
            wrong(f"the server of node {node.id} was deleted {self._now() - server.gone:.0f} s ago")
        elif server.status(self._now()) is Status.ERROR and server.settles <= looked - launcher.clock.offset:
            wrong(f"the server of node {node.id} is in ERROR")

    def _failed(self, request: NodeRequest, launcher: VirtualLauncher) -> None:
        """A request may fail once every pool that was registered of late has declined it, with good reason."""
        declined = set(request.declined_by)
        known = {pool.component.id: pool.component for pool in self._pools.values() if pool.component.id}
        keys = {_key(known[pool_id]) for pool_id in declined if pool_id in known}
        if not request.failed_because:
            self.breach(Promise.KEPT, f"{launcher.name} failed {request.id} without a reason")
        for path, pool in self._pools.items():
            component = pool.component
            able = set(request.labels) <= component.supported_labels
            if launcher.name in self.slow and self._now() < pool.since + SLOWEST:
                continue
            if pool.gone is None and component.id not in declined:
                self.breach(Promise.KEPT, f"{launcher.name} failed {request.id}, which {path} had not declined")
            elif pool.gone is not None and able and _key(component) not in keys:
                if self._now() < pool.gone + SETTLE - 1.0:
                    away = self._now() - pool.gone
                    where = "/".join(map(str, _key(component)))
                    self.breach(
                        Promise.KEPT, f"{launcher.name} failed {request.id}; {where} was away for only {away:.1f} s"
                    )
            elif able and self._could(component, request, launcher):
                self.breach(Promise.KEPT, f"{launcher.name} failed {request.id}, which {path} could have served")

    def _could(self, component: Component, request: NodeRequest, launcher: VirtualLauncher) -> bool:
        provider = launcher.reconciler.world.settings.providers.get(component.provider_name or ProviderName(""))
        pool = provider.pools.get(component.name) if provider and component.name else None
        if pool is None or provider is None or provider.name in self.excused or provider.max_concurrency == 0:
            return False
        if (request.id, provider.name) in self._without_image or not self._has_images(provider, request):
            return False
        return len(request.labels) <= pool.limits.amounts.get("instances", len(request.labels))

    def _registry(self, op: Create | Set | Delete | Check) -> None:
        if isinstance(op, Create):
            folder = self._tree.look(POOL_PREFIX[:-1])
            for name in folder.children if folder else ():
                path = f"{POOL_PREFIX}{name}"
                if path not in self._pools:
                    self._know(path)
        elif isinstance(op, Set):
            self._know(op.path)
        elif isinstance(op, Delete) and op.path in self._pools:
            self._pools[op.path].gone = self._now()

    def _know(self, path: str) -> None:
        znode = self._tree.look(path)
        at = paths.parse(path)
        if znode is not None and isinstance(at, paths.ComponentAt):
            found = reading(path, at, znode.data)
            if isinstance(found, Component):
                known = self._pools.get(path)
                self._pools[path] = _Pool(found, known.since if known else self._now())


def is_ours(server: Server) -> bool:
    """Tell whether a server was made by this installation, whatever its metadata say by now."""
    return not server.planted and (server.ask.metadata or {}).get(MARK_INSTALLATION) == INSTALLATION


def _key(component: Component) -> tuple[str | None, str | None]:
    return component.provider_name, component.name


def _node_of(written: Written, data: bytes | None) -> Node | None:
    found = reading(written.path, paths.NodeAt(NodeId(written.id)), data) if data else None
    return found if isinstance(found, Node) else None


def _request_of(written: Written, data: bytes | None) -> NodeRequest | None:
    found = reading(written.path, paths.RequestAt(RequestId(written.id)), data) if data else None
    return found if isinstance(found, NodeRequest) else None


__all__ = ["INSTALLATION", "SETTLE", "Breach", "Promise", "Referee", "is_ours"]
