"""A launcher of Nodepool 11 beside ours, as far as its contract goes: one pool, one provider of its own, in a project
that it shares with us. It looks at everything once a second and holds locks while it works."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from nodepool_ng.drivers import MARK_NODE, MARK_POOL, MARK_PROVIDER
from nodepool_ng.model.component import POOL, Component
from nodepool_ng.model.ids import LabelName, NodeId, PoolId, PoolName, ProviderName, RequestId, Seconds
from nodepool_ng.model.lifecycle import GARBAGE_WHEN_UNLOCKED, NodeState, RequestState
from nodepool_ng.model.node import Node, hold_limit
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller, ServerAsk, Status
from nodepool_ng.sim.virtual.scripts import Actor, Pause, Script, Wait, commit, lock, read_node, read_request
from nodepool_ng.sim.virtual.timeline import Timeline
from nodepool_ng.sim.virtual.witness import WitnessedTree
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Committed, Create, Delete
from nodepool_ng.zk.writes import create_node, set_node, set_request

PROVIDER = ProviderName("old")
MAIN = PoolName("main")
LABELS = frozenset({LabelName("small")})
SLOTS = 3
EVERY: Seconds = 1.0
LOST_EVERY: Seconds = 60.0
CALLER = Caller("pool", "nodepool")


class OldLauncher:
    """Runs by itself from the beginning."""

    def __init__(self, timeline: Timeline, tree: WitnessedTree, region: Region) -> None:
        self._timeline = timeline
        self._tree = tree
        self._region = region
        self._actor = Actor("old launcher", timeline, tree, 0.001)
        self._id = PoolId("old-PoolWorker.old-main-1")
        self._busy: set[RequestId] = set()
        self._crowded = False
        """A request waits for room: a spare node makes way."""
        self._actor.run(self._register())
        self._actor.run(self._sweep())
        self._actor.run(self._find_lost())

    def _register(self) -> Script:
        pool = Component(
            key="",
            kind=POOL,
            hostname="old",
            state="running",
            id=self._id,
            name=MAIN,
            provider_name=PROVIDER,
            supported_labels=LABELS,
        )
        yield Pause(0.05)
        path = paths.new_component(POOL, "old")
        yield from commit(Create(path, codec.encode_component(pool), ephemeral=True, sequence=True))
        while True:
            yield Pause(EVERY)
            for request in sorted(self._tree.requests().values(), key=lambda request: request.id):
                if request.state is RequestState.REQUESTED and request.id not in self._busy:
                    yield from self._consider(request)

    def _consider(self, request: NodeRequest) -> Script:
        """Accept, decline or pass over a request, by the rules of section 4.4 of the contract."""
        if self._id in request.declined_by:
            return
        mine = set(request.labels) <= LABELS
        others = [pool for pool in self._pools() if self._able(pool, request)]
        if not mine and others:
            return
        if request.provider is not None and any(pool.provider_name == request.provider for pool in others):
            return
        if mine and len(request.labels) <= SLOTS and len(self._nodes()) + len(request.labels) > SLOTS:
            self._crowded = True
            return
        contender = yield from lock(self._actor, paths.request_lock(request.id), 0.0)
        if contender is None:
            return
        found = yield from read_request(request.id)
        if found is None or found[0].state is not RequestState.REQUESTED:
            yield from commit(Delete(contender))
        elif mine and len(request.labels) <= SLOTS:
            self._busy.add(request.id)
            self._actor.run(self._serve(found[0], contender))
        else:
            yield from self._decline(found[0], contender)

    def _decline(self, request: NodeRequest, contender: str) -> Script:
        declined = (*request.declined_by, self._id)
        everybody = {pool.id for pool in self._pools()} | {self._id} <= set(declined)
        state = RequestState.FAILED if everybody else RequestState.REQUESTED
        yield from self._write_request(replace(request, declined_by=declined, state=state, nodes=()))
        yield from commit(Delete(contender))

    def _serve(self, request: NodeRequest, contender: str) -> Script:
        yield from self._write_request(replace(request, state=RequestState.PENDING))
        launched: list[tuple[NodeId, str]] = []
        for label in request.labels:
            node = yield from self._launch(label, request)
            if node is not None:
                launched.append(node)
        for _, held in launched:
            yield from commit(Delete(held))
        found = yield from read_request(request.id)
        ready = tuple(node_id for node_id, _ in launched)
        if found is not None and len(ready) == len(request.labels):
            yield from self._write_request(replace(found[0], state=RequestState.FULFILLED, nodes=ready))
        elif found is not None:
            yield from self._decline(found[0], contender)
        self._busy.discard(request.id)
        yield from commit(Delete(contender))

    def _launch(self, label: LabelName, request: NodeRequest) -> Generator[Wait, Any, tuple[NodeId, str] | None]:
        now = self._timeline.now()
        fresh = Node(
            id=NodeId(""),
            state=NodeState.INIT,
            state_time=now,
            created_time=now,
            provider=PROVIDER,
            pool=MAIN,
            labels=(label,),
            launcher=self._id,
            allocated_to=request.id,
            requestor=request.requestor,
        )
        made = yield from commit(create_node(fresh))
        assert isinstance(made, Committed)
        node_id = NodeId(str(made.results[0]).rpartition("/")[2])
        held = yield from lock(self._actor, paths.node_lock(node_id), 5.0)
        if held is None:
            return None
        node = replace(fresh, id=node_id, state=NodeState.BUILDING)
        yield from self._write(node)
        marks = {MARK_NODE: node_id, MARK_POOL: MAIN, MARK_PROVIDER: PROVIDER}
        ask = ServerAsk(name=f"old{node_id}", flavor=self._region.settings.flavors[0].id, metadata=marks)
        server = self._region.servers.plant(CALLER, ask, now=now)
        yield Pause(4.0)
        if self._region.servers.rows[server.id].status(self._timeline.now()) is not Status.ACTIVE:
            yield from commit(Delete(held))
            return None
        address = server.addresses[0].address if server.addresses else ""
        yield from self._write(replace(node, state=NodeState.READY, external_id=server.id, interface_ip=address))
        return node_id, held

    def _sweep(self) -> Script:
        """Finish with nodes of ours that nobody holds, free those whose request is gone, remove ghosts."""
        while True:
            yield Pause(5.0)
            for name in list(self._names(paths.NODES)):
                node = self._tree.node(NodeId(name))
                directory = paths.node_lock(NodeId(name))
                if node is not None and (node.provider != PROVIDER or self._tree.contenders(directory)):
                    continue
                held = yield from lock(self._actor, directory, 0.0)
                if held is None:
                    continue
                found = yield from read_node(NodeId(name))
                if found is None:
                    yield from self._remove(NodeId(name), held)
                elif self._done_with(found[0]):
                    yield from self._finish(found[0], held)
                elif self._over(found[0]):
                    yield from self._write(replace(found[0], allocated_to=None))
                    yield from commit(Delete(held))
                else:
                    yield from commit(Delete(held))

    def _done_with(self, node: Node) -> bool:
        if node.free and self._crowded:
            self._crowded = False
            return True
        return node.state in GARBAGE_WHEN_UNLOCKED or self._held_long_enough(node)

    def _held_long_enough(self, node: Node) -> bool:
        limit = hold_limit(node, 0)
        return node.state is NodeState.HOLD and 0 < limit <= self._timeline.now() - node.state_time

    def _over(self, node: Node) -> bool:
        gone = node.allocated_to is not None and self._tree.request(node.allocated_to) is None
        return node.state is NodeState.READY and gone

    def _finish(self, node: Node, held: str) -> Script:
        yield from self._write(replace(node, state=NodeState.DELETING))
        for server in list(self._region.servers.live.values()):
            if (server.ask.metadata or {}).get(MARK_NODE) == node.id and server.ask.name.startswith("old"):
                self._region.servers.vanish(server.id, now=self._timeline.now())
        yield from self._write(replace(node, state=NodeState.DELETED))
        yield from self._remove(node.id, held)

    def _remove(self, node_id: NodeId, held: str) -> Script:
        """Delete recursively, which is no transaction: contenders first, then the lock, then the node."""
        yield from commit(Delete(held))
        yield from commit(Delete(paths.node_lock(node_id)))
        yield from commit(Delete(paths.node(node_id)))

    def _find_lost(self) -> Script:
        """Put back pending requests that nobody holds, and let go of their nodes."""
        while True:
            yield Pause(LOST_EVERY)
            for request_id, request in self._tree.requests().items():
                directory = paths.request_lock(request_id)
                if request.state is not RequestState.PENDING or self._tree.contenders(directory):
                    continue
                held = yield from lock(self._actor, directory, 0.0)
                if held is None:
                    continue
                found = yield from read_request(request_id)
                if found is not None and found[0].state is RequestState.PENDING:
                    yield from self._let_go(request_id)
                    yield from self._write_request(replace(found[0], state=RequestState.REQUESTED, nodes=()))
                yield from commit(Delete(held))

    def _let_go(self, request_id: RequestId) -> Script:
        for node in self._tree.nodes().values():
            if node.allocated_to != request_id:
                continue
            held = yield from lock(self._actor, paths.node_lock(node.id), 0.0)
            if held is None:
                continue
            found = yield from read_node(node.id)
            if found is not None and found[0].allocated_to == request_id:
                state = NodeState.DELETING if found[0].state is NodeState.INIT else found[0].state
                yield from self._write(replace(found[0], allocated_to=None, state=state))
            yield from commit(Delete(held))

    def _write(self, node: Node) -> Generator[Wait, Any, Any]:
        now = self._timeline.now()
        return (yield from commit(set_node(replace(node, state_time=now))))

    def _write_request(self, request: NodeRequest) -> Generator[Wait, Any, Any]:
        return (yield from commit(set_request(request)))

    def _nodes(self) -> list[Node]:
        return [node for node in self._tree.nodes().values() if node.provider == PROVIDER]

    def _pools(self) -> Iterator[Component]:
        for name in self._names(paths.components(POOL)):
            znode = self._tree.look(paths.component(POOL, name))
            found = codec.decode_component(POOL, name, znode.data) if znode else None
            if isinstance(found, Component):
                yield found

    def _able(self, pool: Component, request: NodeRequest) -> bool:
        return (
            pool.id != self._id
            and set(request.labels) <= pool.supported_labels
            and (pool.id is None or pool.id not in request.declined_by)
        )

    def _names(self, path: str) -> tuple[str, ...]:
        znode = self._tree.look(path)
        return tuple(znode.children) if znode is not None else ()
