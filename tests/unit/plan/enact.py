"""A world that does what a planner says: the records and clouds of a scene change as the actions mean them to.

`enact` carries out one action; everything is as the contract has it, but nothing takes time and nothing is in the way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from nodepool_ng.model import action as do
from nodepool_ng.model.action import Action
from nodepool_ng.model.lifecycle import NodeEvent, NodeState, RequestEvent, RequestState
from nodepool_ng.model.node import Node, moved
from nodepool_ng.model.request import moved as request_moved
from nodepool_ng.model.server import Server, ServerStatus
from nodepool_ng.model.snapshot import Attempt, AttemptState, Scan, Side
from tests.unit.plan.support import OURS, UP, Scene

NOBODYS: dict[str, Any] = {"allocated_to": None, "tenant_name": None, "requestor": None}


def enact(scene: Scene, action: Action) -> None:
    """Change the scene as the action would."""
    match action:
        case do.HandOut():
            for node in action.nodes:
                _allocate(scene, node, action.request)
            _request(scene, action.request, RequestEvent.SERVED, nodes=action.nodes)
        case do.Claim():
            for node in action.nodes:
                _allocate(scene, node, action.request)
                scene.node_locks[node] = Side.OURS
            _request(scene, action.request, RequestEvent.CLAIMED)
            scene.request_locks[action.request] = Side.OURS
            _launch(scene, action, action.request)
        case do.LaunchNodes():
            _launch(scene, action, action.request)
        case do.AdoptNode():
            node = scene.nodes[action.node]
            scene.node_locks[action.node] = Side.OURS
            if node.state is not NodeState.READY:
                _node(scene, action.node, NodeEvent.LOCKED)
                unknown = Attempt(state=AttemptState.UNKNOWN, since=scene.now)
                scene.attempts.setdefault(node.attempt or "", unknown)
        case do.AdoptRequest():
            scene.request_locks[action.request] = Side.OURS
        case do.CreateServer():
            _create(scene, scene.nodes[action.node])
        case do.ScanHostKeys():
            scene.more.setdefault("scans", {})[scene.nodes[action.node].attempt] = Scan(keys=("k",))
        case do.RecordReady():
            _node(scene, action.node, NodeEvent.BOOTED, external_id=action.server, **NOBODYS)
            scene.node_locks.pop(action.node, None)
        case do.Fulfil():
            for up in action.booted:
                _node(scene, up.node, NodeEvent.BOOTED, external_id=up.server)
            for node in action.nodes:
                assert scene.node_locks.pop(node) is Side.OURS
            _request(scene, action.request, RequestEvent.SERVED, nodes=action.nodes)
            assert scene.request_locks.pop(action.request) is Side.OURS
        case do.RetryNode():
            node = scene.nodes[action.node]
            attempts = node.attempts + action.counted
            _node(scene, node.id, NodeEvent.RETRIED, attempt=_fresh(scene), attempts=attempts, external_id=None)
        case do.Release():
            _let_go(scene, action.request)
            _request(scene, action.request, RequestEvent.RELEASED)
        case do.Decline():
            _let_go(scene, action.request)
            declined = scene.requests[action.request].declined_by + action.pools
            event = RequestEvent.DECLINED_BY_ALL if action.fail else RequestEvent.DECLINED
            _request(scene, action.request, event, declined_by=declined)
        case do.Unlock():
            scene.node_locks.pop(action.node or "", None)
            scene.request_locks.pop(action.request or "", None)
        case do.FreeNode():
            _node(scene, action.node, NodeEvent.FREED, **NOBODYS)
            scene.node_locks.pop(action.node, None)
        case do.RetireNode():
            assert scene.nodes[action.node].state is action.expect
            _node(scene, action.node, NodeEvent.UNWANTED)
            scene.node_locks[action.node] = Side.OURS
        case do.DeleteServer():
            del scene.servers[action.provider][action.server]
        case do.EraseNode():
            del scene.nodes[action.node]
            scene.node_locks.pop(action.node, None)
        case do.SweepGhost():
            scene.more["ghosts"].discard(action.node)
        case do.AttachAddress() | do.KeepConsole() | do.SweepNetwork() | do.ForgetConfirmation() | do.SweepLocks():
            raise NotImplementedError(action)
        case do.ListServers():
            full = {"full_listed": scene.now} if action.since is None else {}
            scene.cloud(action.provider, listed=scene.now, **full)
        case do.ReadCapacity():
            scene.cloud(action.provider, limits_read=scene.now)
        case _:
            assert_never(action)


def _node(scene: Scene, node: str, event: NodeEvent, **changes: Any) -> None:
    scene.nodes[node] = moved(scene.nodes[node], event, scene.now, **changes)


def _request(scene: Scene, request: str, event: RequestEvent, **changes: Any) -> None:
    scene.requests[request] = request_moved(scene.requests[request], event, scene.now, **changes)


def _allocate(scene: Scene, node: str, request: str) -> None:
    assert scene.nodes[node].free
    assert node not in scene.node_locks
    tenant = scene.requests[request].tenant_name
    _node(scene, node, NodeEvent.ALLOCATED, allocated_to=request, tenant_name=tenant)


def _launch(scene: Scene, action: do.Claim | do.LaunchNodes, request: str | None) -> None:
    for launch in action.launches:
        scene.last_node += 1
        tenant = scene.requests[request].tenant_name if request else None
        node = scene.node(
            scene.last_node,
            NodeState.BUILDING,
            launch.label,
            at=f"{action.provider}/{action.pool}",
            az=launch.zone,
            lock=Side.OURS,
            allocated_to=request,
            tenant_name=tenant,
            resources=launch.needs,
            state_time=scene.now,
        )
        scene.nodes[node.id] = replace(node, attempt=_fresh(scene))  # type: ignore[arg-type]


def _fresh(scene: Scene) -> str:
    scene.last_attempt += 1
    attempt = f"attempt-{scene.last_attempt}"
    scene.attempts[attempt] = Attempt(state=AttemptState.FRESH, since=scene.now)
    return attempt


def _create(scene: Scene, node: Node) -> None:
    assert node.attempt is not None
    assert node.provider is not None
    scene.attempts[node.attempt] = Attempt(state=AttemptState.ASKED, since=scene.now)
    server = Server(
        id=f"of-{node.attempt}",  # type: ignore[arg-type]
        name=f"np{node.id}",
        status=ServerStatus.ACTIVE,
        provider=node.provider,
        node=node.id,
        attempt=node.attempt,
        installation=OURS,  # type: ignore[arg-type]
        addresses=UP,
        created=scene.now,
        resources=node.resources,  # type: ignore[arg-type]
    )
    scene.servers.setdefault(node.provider, {})[server.id] = server
    scene.nodes[node.id] = replace(node, external_id=server.id)


def _let_go(scene: Scene, request: str) -> None:
    for node in list(scene.nodes.values()):
        if node.allocated_to == request and scene.node_locks.get(node.id) is Side.OURS:
            scene.nodes[node.id] = replace(node, **NOBODYS)
            if node.state is NodeState.READY:
                del scene.node_locks[node.id]
    scene.request_locks.pop(request, None)


def crash(scene: Scene) -> None:
    """Have our launcher die: its locks vanish, and its successor knows nothing of attempts."""
    for locks in (scene.node_locks, scene.request_locks):
        for key in [key for key, side in locks.items() if side is Side.OURS]:
            del locks[key]  # type: ignore[attr-defined]
    scene.attempts.clear()
    scene.more.pop("scans", None)
    scene.in_flight.clear()


def client_takes(scene: Scene, request: str) -> None:
    """Have the client of a fulfilled request use its nodes and give them back."""
    for node in scene.requests.pop(request).nodes:
        assert scene.nodes[node].allocated_to == request
        assert node not in scene.node_locks
        _node(scene, node, NodeEvent.TAKEN)
        _node(scene, node, NodeEvent.RETURNED)


def finished(scene: Scene) -> bool:
    return all(r.state in (RequestState.FULFILLED, RequestState.FAILED) for r in scene.requests.values())
