"""Whatever the world looks like, a plan keeps its promises."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodepool_ng.model import action as do
from nodepool_ng.model.action import launches, subjects
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.quota import Resources, left, total
from nodepool_ng.model.server import NO_ADDRESSES, LabelFacts, ServerStatus
from nodepool_ng.model.snapshot import Attempt, AttemptState, Backoff, Scan, Side, Snapshot
from tests.unit.plan.enact import client_takes, crash, enact
from tests.unit.plan.support import NEEDS, NOW, OURS, UP, Scene

LABELS = ("small", "large", "rare", "nope")
BROKEN = (None, None, "x")
POOLS = ("acme/main", "acme/side", "zeta/main", "gone/main")
times = st.sampled_from([0.0, NOW - 3600, NOW - 30, NOW - 3, NOW - 1, NOW, NOW + 5])
sides = st.sampled_from([None, None, *Side])
modest = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Return a small world in any state, likely or not."""
    scene = Scene()
    scene.provider("zeta", leased=draw(st.booleans()))
    for place in POOLS[:3]:
        if draw(st.booleans()):
            scene.pool(
                place,
                *draw(st.sets(st.sampled_from(LABELS[:3]), min_size=1)),
                priority=draw(st.sampled_from([50, 100])),
                limits=draw(st.sampled_from([Resources(), Resources({"instances": 2}), Resources({"instances": 0})])),
                ignore_provider_quota=draw(st.booleans()),
                registered=draw(st.integers(0, 4)) > 0,
            )
    for name in ("acme", "zeta"):
        scene.cloud(
            name,
            limits=Resources({"instances": draw(st.integers(0, 5)), "cores": draw(st.integers(0, 12))}),
            labels={
                label: LabelFacts(
                    needs=NEEDS.get(label, NEEDS["small"]), broken=draw(st.sampled_from([None, None, "x"]))
                )
                for label in draw(st.sets(st.sampled_from(LABELS[:3]), min_size=1))
            },
            limits_read=draw(st.sampled_from([NOW, NOW - 500, None])),
            listed=draw(st.sampled_from([NOW, NOW - 2, NOW - 90])),
            full_listed=draw(st.sampled_from([NOW - 2, NOW - 90, None])),
            zones=draw(st.sampled_from([(), ("a", "b")])),
            error=draw(st.sampled_from([None, None, "503"])),
        )
    for place in draw(st.lists(st.sampled_from(POOLS), max_size=2, unique=True)):
        scene.registration(
            place,
            f"them-{place}",
            *LABELS[:2],
            software=draw(st.sampled_from([None, "nodepool_ng"])),
            priority=draw(st.sampled_from([10, 100, 200])),
            paused=draw(st.booleans()),
        )
    for label in LABELS[:3]:
        scene.label(label, min_ready=draw(st.integers(0, 2)), max_ready_age=draw(st.sampled_from([0, 0, 60])))
    scene.max_hold_age = draw(st.sampled_from([0.0, 60.0]))
    scene.registry_changed = draw(st.sampled_from([0.0, NOW]))
    scene.tenants = draw(st.sampled_from([{}, {"t": Resources({"instances": 1})}]))
    for number in range(draw(st.integers(0, 4))):
        _request(draw, scene, number)
    for number in range(draw(st.integers(0, 6))):
        _node(draw, scene, number)
    for number in range(draw(st.integers(0, 4))):
        _server(draw, scene, number)
    later = Backoff(until=NOW + 5, failures=1)
    scene.more.update(
        ghosts=set(draw(st.sampled_from([[], ["0000000777"]]))),
        unlocked_since={},
        launch_backoff={("acme", "main", "small"): later} if draw(st.booleans()) else {},
        provider_backoff={"acme": later} if draw(st.integers(0, 5)) == 0 else {},
        recorded={f"{number:010d}" for number in draw(st.sets(st.integers(0, 8)))},
        foreign_use={"acme": Resources({"instances": draw(st.integers(0, 2))})},
        cooling={("node", "0000000001"): NOW + 1} if draw(st.booleans()) else {},
    )
    return scene


def _request(draw: st.DrawFn, scene: Scene, number: int) -> None:
    scene.request(
        number,
        *draw(st.lists(st.sampled_from(LABELS), max_size=3)),
        priority=draw(st.sampled_from(["100", "900", "odd-"])),
        state=draw(st.sampled_from([*RequestState, RequestState.REQUESTED, RequestState.PENDING])),
        state_time=draw(times),
        lock=draw(sides),
        reuse=draw(st.booleans()),
        provider=draw(st.sampled_from([None, None, "acme", "zeta", "gone"])),
        tenant_name=draw(st.sampled_from([None, "t"])),
        declined_by=draw(st.sampled_from([(), ("us-acme/main",), ("them-zeta/main",)])),
    )


def _node(draw: st.DrawFn, scene: Scene, number: int) -> None:
    attempt = draw(st.sampled_from([None, f"try-{number}"]))
    scene.node(
        number,
        draw(st.sampled_from([*NodeState, NodeState.READY, NodeState.BUILDING])),
        at=draw(st.sampled_from(POOLS)),
        labels=tuple(draw(st.lists(st.sampled_from(LABELS), max_size=2))),
        state_time=draw(times),
        allocated_to=draw(st.sampled_from([None, None, "404-0000000404", *scene.requests])),
        attempt=attempt,
        attempts=draw(st.integers(0, 4)),
        external_id=draw(st.sampled_from([None, f"server-{number}", {"odd": 1}])),
        az=draw(st.sampled_from([None, "a", "b"])),
        hold_expiration=draw(st.sampled_from([None, 5, "junk", 10**400])),
        resources=draw(st.sampled_from([None, NEEDS["small"]])),
        lock=draw(sides),
        **draw(st.sampled_from([{}, {}, {}, {"provider": None, "pool": None}])),
    )
    known = draw(st.sampled_from([None, *AttemptState]))
    if attempt is not None and known is not None:
        scene.attempts[attempt] = Attempt(state=known, since=draw(times), detail=draw(st.sampled_from(["", "no"])))
    if attempt is not None:
        scan = draw(st.sampled_from([None, Scan(keys=("k",)), Scan(error="x")]))
        if scan is not None:
            scene.more.setdefault("scans", {})[attempt] = scan


def _server(draw: st.DrawFn, scene: Scene, number: int) -> None:
    for copy in range(draw(st.integers(1, 2))):
        server = scene.server(
            number,
            draw(st.sampled_from(ServerStatus)),
            at=draw(st.sampled_from(["acme", "zeta"])),
            id=f"server-{number}" if copy == 0 else f"copy-{number}",
            provider=draw(st.sampled_from([None, "acme", "acme", "zeta"])),
            node=draw(st.sampled_from([None, f"{number:010d}", f"{number:010d}", "0000000500"])),
            attempt=draw(st.sampled_from([None, f"try-{number}", "other"])),
            installation=draw(st.sampled_from([None, OURS, OURS, "another"])),
            addresses=draw(st.sampled_from([UP, NO_ADDRESSES])),
            created=draw(st.sampled_from([None, NOW])),
            deleting=draw(st.booleans()),
            no_capacity=draw(st.booleans()),
        )
        if draw(st.booleans()):
            scene.more.setdefault("suspects", {})["acme", server.id] = draw(times)


def check(s: Snapshot, actions: tuple[do.Action, ...]) -> None:
    """Assert what holds for every plan."""
    touched = [subject for action in actions for subject in subjects(action)]
    assert len(touched) == len(set(touched))
    assert not set(touched) & set(s.in_flight)
    assert not {subject for subject in touched if s.cooling.get(subject, 0) > s.now}
    for action in actions:
        if isinstance(action, do.DeleteServer):
            _is_ours(s, action)
        _leaves_others_alone(s, action)
    _stays_within_limits(s, actions)


def _is_ours(s: Snapshot, action: do.DeleteServer) -> None:
    assert action.provider in s.leased
    server = s.facts[action.provider].servers[action.server]
    node = s.nodes.nodes.get(action.node) if action.node else None
    assert server.installation in (OURS, None)
    assert server.provider in (action.provider, None)
    if node is not None:
        assert node.provider == action.provider
        assert server.node in (node.id, None)
        assert server.installation == OURS or server.id == node.external_id
        assert node.state is NodeState.DELETING or server.id != node.external_id
    else:
        assert server.provider == action.provider
        assert server.node is not None
        other = s.nodes.nodes.get(server.node)
        assert server.installation == OURS or (server.node in s.recorded and other is None)
        if other is not None:  # the number was given out a second time, after ZooKeeper was restored
            assert other.attempt not in (None, server.attempt)
            assert server.id != other.external_id
            assert (action.provider, server.id) in s.suspects or server.created is not None


def _leaves_others_alone(s: Snapshot, action: do.Action) -> None:
    for kind, name in subjects(action):
        if isinstance(action, do.Unlock) and kind == "node":
            assert s.node_locks[name] is Side.OURS  # type: ignore[index]
        elif kind == "node" and name in s.nodes.nodes:
            node = s.nodes.nodes[name]  # type: ignore[index]
            assert s.node_locks.get(node.id) is not Side.FOREIGN
            if isinstance(action, do.Unlock):
                continue  # what we hold without a use for it is given back, whosever the node is
            assert node.provider in (*s.leased, None)
            request = s.requests.get(node.allocated_to) if node.allocated_to else None
            if node.state is NodeState.READY and request is not None:
                assert request.state is not RequestState.FULFILLED
        if kind == "request" and not isinstance(action, do.Unlock):
            assert s.request_locks.get(name) is not Side.FOREIGN  # type: ignore[call-overload]
            assert s.requests[name].state in (RequestState.REQUESTED, RequestState.PENDING)  # type: ignore[index]
    if isinstance(action, do.HandOut | do.Claim):
        for node_id in action.nodes:
            node = s.nodes.nodes[node_id]
            assert node.free
            assert (node.provider, node.pool) == (action.provider, action.pool)
        labels = [launch.label for launch in launches(action)]
        assert len(action.nodes) + len(labels) == len(s.requests[action.request].labels)


def _stays_within_limits(s: Snapshot, actions: tuple[do.Action, ...]) -> None:
    starting = [action for action in actions if launches(action)]
    for name in {action.provider for action in starting}:  # type: ignore[union-attr]
        here = [action for action in starting if action.provider == name]  # type: ignore[union-attr]
        for pool_name in {action.pool for action in here}:  # type: ignore[union-attr]
            pool = s.settings.providers[name].pools[pool_name]
            wanted = total(do.takes(a) for a in here if a.pool == pool_name)  # type: ignore[union-attr]
            assert _fits(left(pool.limits, s.nodes.used_in_pool(pool.key)), wanted)
            assert name in s.leased
        bound = [a for a in here if not s.settings.providers[name].pools[a.pool].ignore_provider_quota]  # type: ignore[union-attr]
        if bound:
            ours = left(s.facts[name].limits, s.foreign_use.get(name, Resources()))
            assert _fits(left(ours, s.nodes.used_in_provider(name)), total(map(do.takes, bound)))


def _fits(room: Resources, wanted: Resources) -> bool:
    return all(amount <= room.get(name, amount) for name, amount in wanted.amounts.items())


@modest
@given(scenes())
def test_any_world_has_a_plan_that_keeps_its_promises(scene: Scene) -> None:
    snapshot = scene.snapshot()
    plan = scene.plan()
    assert scene.plan() == plan
    assert plan.wake is None or plan.wake >= snapshot.now
    check(snapshot, plan.actions)


@modest
@given(scenes(), st.data())
def test_with_part_of_a_plan_in_flight_the_rest_still_fits(scene: Scene, data: st.DataObject) -> None:
    first = scene.plan().actions
    flying = [action for action in first if data.draw(st.booleans())]
    for action in flying:
        scene.fly(action)
    rest = scene.plan().actions
    check(scene.snapshot(), rest)
    _stays_within_limits(scene.snapshot(), (*flying, *rest))


def at_rest(scene: Scene) -> bool:
    return not scene.requests and not scene.node_locks and all(node.free for node in scene.nodes.values())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_through_crashes_and_whims_of_clients_everything_comes_to_rest(data: st.DataObject) -> None:
    scene = Scene()
    scene.provider("acme", quota=Resources({"instances": 4}))
    scene.label("small", min_ready=data.draw(st.integers(0, 2)))
    for step in range(data.draw(st.integers(5, 40))):
        actions = scene.plan().actions
        match data.draw(st.sampled_from(["do", "do", "do", "do", "ask", "take", "withdraw", "crash", "wait", "lose"])):
            case "do" if actions:
                action = actions[data.draw(st.integers(0, len(actions) - 1))]
                check(scene.snapshot(), (action,))
                enact(scene, action)
            case "ask":
                labels = data.draw(st.lists(st.sampled_from(["small", "large"]), min_size=1, max_size=3))
                scene.request(step, *labels, state_time=scene.now)
            case "take":
                for request in list(scene.requests.values()):
                    if request.state is RequestState.FULFILLED:
                        client_takes(scene, request.id)
            case "withdraw" if scene.requests:
                scene.requests.pop(data.draw(st.sampled_from(sorted(scene.requests))))
            case "crash":
                crash(scene)
            case "lose":
                for servers in scene.servers.values():
                    servers.clear()
            case _:
                scene.now += data.draw(st.sampled_from([0.5, 5.0, 70.0]))
        assert sum(node.state is not NodeState.DELETED for node in scene.nodes.values()) <= 4
    _rest(scene)


def _rest(scene: Scene) -> None:
    """Go on until everything is served, and used, and only the warm pool is left."""
    for _ in range(300):
        for request in list(scene.requests.values()):
            if request.state is RequestState.FULFILLED:
                client_takes(scene, request.id)
        actions = scene.plan().actions
        check(scene.snapshot(), actions)
        for action in actions:
            enact(scene, action)
        if not actions and at_rest(scene):
            break
        if not actions:
            scene.now = max(scene.plan().wake or 0, scene.now + 0.1)
    facts: dict[str, Any] = {"requests": scene.requests, "locks": scene.node_locks, "nodes": scene.nodes}
    assert not scene.requests, facts
    assert not scene.node_locks, facts
    assert not scene.request_locks
    assert all(node.free for node in scene.nodes.values()), facts
    warm = sum(node.label == "small" for node in scene.nodes.values())
    # Nodes of other labels that a withdrawn request left behind are not sent away for the warm pool.
    assert warm >= scene.labels["small"].min_ready or len(scene.nodes) == 4
