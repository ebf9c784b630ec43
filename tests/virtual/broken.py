"""Deliberately broken copies of single rules. Each is a function that breaks one, by a monkeypatch; the simulation has
to notice."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from nodepool_ng.drivers.calls import Remove
from nodepool_ng.launcher import effects
from nodepool_ng.launcher.effects import looks as looks_effects
from nodepool_ng.launcher.effects import nodes as node_effects
from nodepool_ng.launcher.effects import requests as request_effects
from nodepool_ng.launcher.effects import servers as server_effects
from nodepool_ng.launcher.outcome import Done, Lost
from nodepool_ng.launcher.world import World
from nodepool_ng.model import action as do
from nodepool_ng.model.action import Booted
from nodepool_ng.model.ids import AttemptId, ServerId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.model.request import NodeRequest
from nodepool_ng.model.server import ServerStatus
from nodepool_ng.plan import capacity, claimed, launch, leaks, nodes
from nodepool_ng.plan.standing import Standing
from nodepool_ng.shell.effect import CloudCall, Effect, Fence, StoreRound, ask
from nodepool_ng.sim.virtual import world as virtual_world
from nodepool_ng.sim.virtual.campaign import Task, try_out
from nodepool_ng.sim.virtual.process import Fate
from nodepool_ng.sim.virtual.scenes import Case
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.changes import Completed, SessionChange
from nodepool_ng.zk.mirror import Mirror
from nodepool_ng.zk.store import (
    UNKNOWN_OUTCOME,
    Check,
    Commit,
    Create,
    Failure,
    Get,
    Got,
    SessionNews,
    SessionState,
    Set,
)
from tests.virtual import broken_images

Break = Callable[[pytest.MonkeyPatch], None]


def intent_skipped(patch: pytest.MonkeyPatch) -> None:
    """A cloud is asked for a server under an attempt that no record tells of."""
    original = server_effects._order

    def order(world: World, node: Node, *rest: Any) -> Any:
        made = original(world, node, *rest)
        return made and replace(made, marks=replace(made.marks, attempt=AttemptId("unwritten")))

    patch.setattr(server_effects, "_order", order)


def hand_out_before_the_lock(patch: pytest.MonkeyPatch) -> None:
    """Ready nodes are given away as they were seen, without a lock."""

    def hand_out(world: World, action: do.HandOut) -> Effect[Any]:
        got, *spares = yield from ask(
            Get(paths.request(action.request)), *(Get(paths.node(node)) for node in action.nodes)
        )
        request = codec.decode_request(action.request, got.data) if isinstance(got, Got) else None
        found = [
            codec.decode_node(node, spare.data)
            for node, spare in zip(action.nodes, spares, strict=True)
            if isinstance(spare, Got)
        ]
        if not isinstance(request, NodeRequest):
            return Lost("it is gone")
        ops: list[Any] = [
            Set(paths.node(node.id), codec.encode_node(request_effects._allocated(world, node, request)))
            for node in found
            if isinstance(node, Node)
        ]
        served = request_effects.request_moved(
            request, request_effects.RequestEvent.SERVED, world.now, nodes=tuple(action.nodes)
        )
        yield from ask(Commit((*ops, Set(paths.request(request.id), codec.encode_request(served)))))
        return Done()

    patch.setattr(effects, "hand_out", hand_out)


def _with_commit(patch: pytest.MonkeyPatch, commit: Callable[..., Effect[Any]]) -> None:
    for module in (node_effects, request_effects, server_effects):
        patch.setattr(module, "commit", commit)


def no_contender_check(patch: pytest.MonkeyPatch) -> None:
    """Transactions do not look whether their lock is still there."""

    def commit(*ops: Any) -> Effect[Any]:
        kept = tuple(op for op in ops if not (isinstance(op, Check) and "lock__" in op.path))
        (answer,) = yield StoreRound((Commit(kept),))
        return answer

    _with_commit(patch, commit)


def writes_carried_into_a_new_session(patch: pytest.MonkeyPatch) -> None:
    """What was not answered is sent again once there is a connection, whatever session that is."""

    def commit(*ops: Any) -> Effect[Any]:
        (answer,) = yield StoreRound((Commit(ops),))
        if isinstance(answer, Failure) and answer.problem in UNKNOWN_OUTCOME:
            yield Fence()
            again = tuple(
                op for op in ops if isinstance(op, Create) or (isinstance(op, Set) and not op.path.endswith("lock"))
            )
            (answer,) = yield StoreRound((Commit(again),))
        return answer

    _with_commit(patch, commit)


def walk_skipped(patch: pytest.MonkeyPatch) -> None:
    """After a reconnect in the same session the mirror goes on as if it had missed nothing."""
    original = Mirror._session

    def session(self: Any, news: SessionNews) -> Any:
        known = getattr(self, "walked_in", None)
        changes = original(self, news)
        if news.state is SessionState.CONNECTED and known == news.session:
            self._wanted.clear()
            self._walk = None
            self._found = set()
            self.complete = True
            return [SessionChange(news), *(c for c in changes if not isinstance(c, SessionChange)), Completed()]
        if news.state is SessionState.CONNECTED:
            self.walked_in = news.session
        return changes

    patch.setattr(Mirror, "_session", session)


def delete_before_deleting(patch: pytest.MonkeyPatch) -> None:
    """The server is deleted first, then that is written down."""
    original = effects.retire_node

    def retire_node(world: World, action: do.RetireNode) -> Effect[Any]:
        entry = world.picture.nodes.get(action.node)
        if entry is not None and entry.record.server_id and entry.record.provider:
            yield CloudCall(entry.record.provider, Remove(ServerId(entry.record.server_id)))
        return (yield from original(world, action))

    patch.setattr(effects, "retire_node", retire_node)


def leak_judged_on_an_old_mirror(patch: pytest.MonkeyPatch) -> None:
    """A server is a leak as soon as one list has it and the mirror, however old, has no record."""

    def fence() -> Effect[None]:
        yield from ()

    patch.setattr(looks_effects, "fence", fence)
    patch.setattr(
        leaks,
        "is_leak",
        lambda s, facts, server: leaks.marked(s, facts.provider, server) and server.node not in s.nodes.nodes,
    )


def duplicate_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leaks, "_duplicates", lambda *args: None)


def decline_during_a_registry_gap(patch: pytest.MonkeyPatch) -> None:
    """The last decline does not wait for the registry to settle."""
    patch.setattr(virtual_world, "SETTLE", 0.0)


def actions_in_flight_not_counted(patch: pytest.MonkeyPatch) -> None:
    nothing: Iterator[Any] = iter(())
    patch.setattr(capacity, "starting", lambda s: nothing)


def reservation_held_by_two(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Standing, "is_ours_to_reserve", lambda self, request: True)


def claim_kept_after_the_launch_failed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claimed, "_give_up", lambda *args: None)


def fulfilled_with_a_dead_node(patch: pytest.MonkeyPatch) -> None:
    """A server in ERROR counts as booted."""
    original = launch.progress

    def progress(s: Any, node: Node) -> Any:
        server = launch.own_server(s, node)
        if server is not None and server.status is ServerStatus.FAILED:
            return Booted(node=node.id, server=server.id, host_keys=())
        return original(s, node)

    patch.setattr(claimed, "progress", progress)
    patch.setattr(nodes, "progress", progress)


def hold_lost(patch: pytest.MonkeyPatch) -> None:
    """A held node that nobody has locked is taken for abandoned."""

    def held(s: Any, agenda: Any, node: Node) -> None:
        if node.id not in s.node_locks:
            agenda.add(do.RetireNode(node=node.id, expect=NodeState.HOLD, why=Reason(code=Code.ABANDONED)))

    patch.setattr(nodes, "_held", held)


def foreign_server_deleted(patch: pytest.MonkeyPatch) -> None:
    """Whatever names a node without a record, and our provider, is taken for ours."""
    patch.setattr(leaks, "marked", lambda s, provider, server: server.provider == provider and server.node is not None)


RULES: Mapping[str, tuple[Break, int]] = MappingProxyType(
    {
        "intent skipped": (intent_skipped, 5),
        "hand-out before the lock": (hand_out_before_the_lock, 20),
        "no contender check in a transaction": (no_contender_check, 5),
        "writes carried into a new session": (writes_carried_into_a_new_session, 100),
        "walk skipped after a reconnect in the same session": (walk_skipped, 100),
        "delete before a committed deleting": (delete_before_deleting, 20),
        "leak judged on a mirror older than the list": (leak_judged_on_an_old_mirror, 300),
        "duplicate server ignored": (duplicate_ignored, 400),
        "decline during a registry gap": (decline_during_a_registry_gap, 400),
        "actions in flight not counted": (actions_in_flight_not_counted, 800),
        "reservation held by two": (reservation_held_by_two, 200),
        "claim kept after the launch failed": (claim_kept_after_the_launch_failed, 300),
        "request fulfilled with a node that died": (fulfilled_with_a_dead_node, 200),
        "hold lost": (hold_lost, 40),
        "foreign server deleted": (foreign_server_deleted, 500),
        **broken_images.RULES,
    }
)
"""The rule, how it is broken, and within how many random histories that is noticed."""


def breaking(rule: str, most: int) -> int | None:
    """Play histories with a broken rule; return how many it took until somebody noticed, or None."""
    tasks: Iterable[Task] = range(most)
    if rule in broken_images.RULES and rule not in broken_images.RANDOM:
        tasks = (Case(scene="images", point=1 + 5 * n, fate=Fate.KILLED, standby=False) for n in range(most))
    with pytest.MonkeyPatch.context() as patch:
        RULES[rule][0](patch)
        for number, task in enumerate(tasks, 1):
            if try_out(task).breach is not None:
                return number
    return None
