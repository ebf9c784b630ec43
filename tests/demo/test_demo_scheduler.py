"""The CI scheduler of demo, tests and benchmarks against a store in memory: it does what Zuul does, in that order."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from nodepool_ng.demo import scheduler as module
from nodepool_ng.demo.scheduler import NoAnswer, NotOurs, Refused, Scheduler, SchedulerError
from nodepool_ng.model.ids import LabelName, NodeId, RequestId
from nodepool_ng.model.lifecycle import NodeState, RequestState
from nodepool_ng.model.node import Node
from nodepool_ng.zk import locks, paths
from nodepool_ng.zk.blocking import call
from nodepool_ng.zk.codec import decode_node, decode_request, encode_node, encode_request
from nodepool_ng.zk.memory import Eager, MemoryStore, Tree
from nodepool_ng.zk.store import Children, Commit, Create, Delete, Get, Got, Names, Op, Set

ZUULS_KEYS = {
    "created_time",
    "event_id",
    "node_types",
    "provider",
    "relative_priority",
    "requestor",
    "requestor_data",
    "state",
    "state_time",
    "tenant_name",
}


class Launcher:
    """The other end, by hand."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        store.start()
        for path in (*paths.parents(paths.NODES), paths.NODES, paths.REQUESTS):
            self.do(Create(path))

    def do(self, *ops: Op) -> None:
        call(self.store, [Commit(ops)])

    def get(self, path: str) -> bytes | None:
        answer = call(self.store, [Get(path)])[0]
        return answer.data if isinstance(answer, Got) else None

    def node(self, id: str) -> Node:
        data = self.get(paths.node(NodeId(id)))
        assert data is not None
        node = decode_node(NodeId(id), data)
        assert isinstance(node, Node)
        return node

    def contenders(self, id: str) -> tuple[str, ...]:
        answer = call(self.store, [Children(paths.node_lock(NodeId(id)))])[0]
        return answer.names if isinstance(answer, Names) else ()

    def fulfil(self, id: RequestId, *allocated_to: str) -> None:
        """Make a node for each label, allocated to the request, or to whom else is said; then fulfil it."""
        data = self.get(paths.request(id))
        assert data is not None
        request = decode_request(id, data)
        nodes = []
        for number, label in enumerate(request.labels):
            node = Node(
                id=NodeId(f"{number:010}"),
                state=NodeState.READY,
                state_time=1.0,
                labels=(label,),
                allocated_to=RequestId(allocated_to[number]) if allocated_to else id,
                extra={"somebody": "else's"},
            )
            self.do(Create(paths.node(node.id), encode_node(node)), Create(paths.node_lock(node.id)))
            nodes.append(node.id)
        done = replace(request, state=RequestState.FULFILLED, nodes=tuple(nodes))
        self.do(Set(paths.request(id), encode_request(done)))


@pytest.fixture
def tree() -> Tree:
    return Tree(Eager())


@pytest.fixture
def launcher(tree: Tree) -> Launcher:
    return Launcher(MemoryStore(tree))


@pytest.fixture
def scheduler(tree: Tree, launcher: Launcher) -> Iterator[Scheduler]:
    made = Scheduler(MemoryStore(tree), name="zuul")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def lent(scheduler: Scheduler, launcher: Launcher) -> Callable[..., tuple[module.Lent, ...]]:
    def take(*labels: str) -> tuple[module.Lent, ...]:
        id = scheduler.ask(labels)
        launcher.fulfil(id)
        return scheduler.take(scheduler.wait(id, 0))

    return take


def test_a_request_has_the_keys_that_zuul_writes_and_no_others(scheduler, launcher):
    id = scheduler.ask(["a", "b", "a"], priority="100", relative_priority=3)
    record = json.loads(launcher.get(paths.request(id)))
    assert set(record) == ZUULS_KEYS
    assert (id, record["node_types"], record["relative_priority"]) == ("100-0000000000", ["a", "b", "a"], 3)
    assert record["requestor_data"]["tenant_name"] == "demo"


def test_an_answer_tells_when_each_thing_happened(scheduler, launcher):
    id = scheduler.ask(["a"])
    launcher.fulfil(id)
    timing = scheduler.wait(id, 0).timing
    assert timing.sent <= timing.written <= timing.answered
    assert timing.took == timing.answered - timing.written


def test_nobody_answering_is_told(scheduler):
    id = scheduler.ask(["a"])
    with pytest.raises(NoAnswer, match=id):
        scheduler.wait(id, 0.01)


def test_a_failed_request_is_deleted(scheduler, launcher):
    id = scheduler.ask(["a"])
    request = decode_request(id, launcher.get(paths.request(id)))
    launcher.do(Set(paths.request(id), encode_request(replace(request, state=RequestState.FAILED))))
    with pytest.raises(Refused):
        scheduler.wait(id, 0)
    assert launcher.get(paths.request(id)) is None


def test_nodes_are_locked_in_order_and_then_the_request_goes(tree, scheduler, launcher, lent):
    nodes = lent("a", "b")
    assert [each.node.labels for each in nodes] == [(LabelName("a"),), (LabelName("b"),)]
    assert [len(launcher.contenders(each.node.id)) for each in nodes] == [1, 1]
    assert launcher.get(paths.request(nodes[0].node.allocated_to)) is None


def test_use_and_return_keep_what_others_wrote(scheduler, launcher, lent):
    (one,) = lent("a")
    one = scheduler.use(one, project="some/project")
    node = launcher.node(one.node.id)
    assert node.state is NodeState.IN_USE
    assert node.user_data == {"zuul_system": "zuul", "project_name": "some/project"}
    assert node.extra["somebody"] == "else's"
    scheduler.give_back(one)
    assert launcher.node(one.node.id).state is NodeState.USED
    assert launcher.contenders(one.node.id) == ()


def test_a_held_node_says_for_whom_and_for_how_long(scheduler, launcher, lent):
    (one,) = lent("a")
    scheduler.hold(scheduler.use(one), "tenant project job ref", "look", expiration=60)
    node = launcher.node(one.node.id)
    assert (node.state, node.hold_job, node.comment, node.hold_expiration) == (
        NodeState.HOLD,
        "tenant project job ref",
        "look",
        60,
    )
    assert launcher.contenders(node.id) == ()


def test_a_node_of_somebody_else_is_not_taken_nor_are_its_companions(scheduler, launcher):
    id = scheduler.ask(["a", "b"])
    launcher.fulfil(id, id, "200-0000000099")
    with pytest.raises(NotOurs, match="200-0000000099"):
        scheduler.take(scheduler.wait(id, 0))
    assert launcher.contenders("0000000000") == ()
    assert launcher.get(paths.request(id)) is None


def test_a_locked_node_is_waited_for_but_not_for_ever(scheduler, launcher, monkeypatch):
    monkeypatch.setattr(module, "LOCK_TIMEOUT", 0.01)
    id = scheduler.ask(["a"])
    launcher.fulfil(id)
    directory = paths.node_lock(NodeId("0000000000"))
    call(launcher.store, locks.contend(directory, "launcher", locks.new_token()))
    with pytest.raises(NotOurs, match="still locked"):
        scheduler.take(scheduler.wait(id, 0))
    assert len(launcher.contenders("0000000000")) == 1


def test_a_node_whose_lock_is_lost_is_not_written(scheduler, launcher, lent):
    (one,) = lent("a")
    launcher.do(Delete(one.held.path))
    with pytest.raises(SchedulerError, match="no longer ours"):
        scheduler.use(one)
    assert launcher.node(one.node.id).state is NodeState.READY


def test_what_was_answered_during_an_interruption_is_heard_afterwards(tree, launcher):
    store = MemoryStore(tree)
    scheduler = Scheduler(store)
    scheduler.start()
    id = scheduler.ask(["a"])
    store.suspend()
    launcher.fulfil(id)
    store.resume()
    assert scheduler.wait(id, 0).request.state is RequestState.FULFILLED
    scheduler.stop()
