"""The mirror follows the tree: told as conversations with the in-memory store."""

import json
from dataclasses import replace

import pytest

from nodepool_ng.model.ids import ImageName, LabelName, NodeId, ProviderName, RequestId
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import Node
from nodepool_ng.zk.changes import (
    Completed,
    DamageChange,
    Entry,
    FenceLost,
    FencePassed,
    FlagChange,
    GhostChange,
    LockChange,
    NodeChange,
    RequestChange,
    SessionChange,
)
from nodepool_ng.zk.codec import Damaged
from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.paths import BuildsAt, LeaseAt, NodeAt, PausedAt, RequestAt
from nodepool_ng.zk.store import (
    Children,
    Commit,
    Create,
    Delete,
    Get,
    SessionNews,
    SessionState,
    Set,
)
from nodepool_ng.zk.writes import create_node, set_node
from tests.support.mirrors import Owner, content, surveyed
from tests.support.zookeeper import Peer

BRANCHES = ("/nodepool", "/nodepool/nodes", "/nodepool/requests", "/nodepool/requests-lock")
FIRST = NodeId("0000000000")
C0, C1 = ("a" * 32 + "__lock__0000000000", "b" * 32 + "__lock__0000000001")


def node(state="ready", **keys) -> bytes:
    return json.dumps({"state": state, "state_time": 1, **keys}).encode()


class World:
    """A tree, a mirror with its owner, and a foreign client. `reads` are the mirror's own verbs."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.foreign = Peer(MemoryStore(self.tree), self.tree.run).open()
        self.write(*(Create(path) for path in BRANCHES))
        self.store = MemoryStore(self.tree)
        self.reads = []
        self.store.before = self.reads.append
        self.owner = Owner(self.store)

    def start(self) -> "World":
        self.store.start()
        self.settle()
        self.reads.clear()
        return self

    def write(self, *ops) -> None:
        """A foreign client writes, one thing after the other."""
        for answer in self.foreign.call(*(Commit((op,)) for op in ops)):
            assert hasattr(answer, "results"), answer

    def settle(self):
        return self.owner.settle(self.tree)

    @property
    def picture(self):
        return self.owner.picture

    def check(self) -> None:
        assert content(self.picture) == content(surveyed(self.foreign.call))


@pytest.fixture
def world():
    return World().start()


def test_a_mirror_of_nothing_is_complete():
    tree = Tree()
    store = MemoryStore(tree)
    owner = Owner(store)
    assert not owner.mirror.complete
    store.start()
    assert owner.settle(tree) == [SessionChange(SessionNews(SessionState.CONNECTED, 1)), Completed()]
    assert owner.mirror.complete


def test_the_walk_finds_everything():
    world = World()
    world.write(
        Create("/nodepool/nodes/0000000000", node()),
        Create("/nodepool/nodes/0000000000/lock"),
        Create(f"/nodepool/nodes/0000000000/lock/{C1}"),
        Create(f"/nodepool/nodes/0000000000/lock/{C0}"),
        Create("/nodepool/nodes/0000000001"),
        Create("/nodepool/requests/200-0000000000", b'{"state": "requested"}'),
        Create("/nodepool/requests/200-0000000001", b"nonsense"),
        Create("/nodepool/requests-lock/200-0000000000"),
        Create("/nodepool/requests-lock/200-0000000009"),
        Create("/nodepool/components"),
        Create("/nodepool/components/pool"),
        Create("/nodepool/components/pool/host0000000000", b'{"kind": "pool", "state": "running", "id": "p"}'),
        Create("/nodepool/images"),
        Create("/nodepool/images/x"),
        Create("/nodepool/images/x/pause"),
        Create("/nodepool/images/x/builds"),
        Create("/nodepool/images/x/builds/lock"),
        Create("/nodepool/images/x/builds/b1", b'{"state": "ready"}'),
        Create("/nodepool/images/x/builds/b1/providers"),
        Create("/nodepool/images/x/builds/b1/providers/cloud"),
        Create("/nodepool/images/x/builds/b1/providers/cloud/images"),
        Create("/nodepool/images/x/builds/b1/providers/cloud/images/lock"),
        Create("/nodepool/images/x/builds/b1/providers/cloud/images/0000000001", b'{"state": "ready"}'),
        Create("/nodepool_ng"),
        Create("/nodepool_ng/installation", b"our-id"),
        Create("/nodepool_ng/leases"),
        Create("/nodepool_ng/leases/cloud"),
        Create(f"/nodepool_ng/leases/cloud/{C0}"),
        Create("/nodepool/other"),
    )
    world.start()
    world.check()
    picture = world.picture
    assert picture.nodes[FIRST].contenders == (C0, C1)
    assert picture.ghosts == {"/nodepool/nodes/0000000001"}
    assert list(picture.damaged) == ["/nodepool/requests/200-0000000001"]
    assert picture.request_contenders == {RequestId("200-0000000000"): (), RequestId("200-0000000009"): ()}
    assert picture.paused == {ImageName("x")}
    assert picture.installation == "our-id"
    assert picture.locks[LeaseAt(ProviderName("cloud"))] == (C0,)
    assert picture.locks[BuildsAt(ImageName("x"))] == ()
    assert len(picture.uploads) == len(picture.builds) == len(picture.components) == 1


def test_a_foreign_write_is_one_read_and_one_change(world):
    world.write(Create("/nodepool/nodes/0000000000", node("building")))
    (created,) = world.settle()
    assert created == NodeChange(FIRST, None, world.picture.nodes[FIRST])
    world.write(Set("/nodepool/nodes/0000000000", node("ready")))
    (changed,) = world.settle()
    assert changed == NodeChange(FIRST, created.after, world.picture.nodes[FIRST])
    assert (changed.after.record.state, changed.after.version) == (NodeState.READY, 1)
    assert world.reads == [Get("/nodepool/nodes/0000000000")] * 2


def test_events_on_one_path_collapse_while_a_read_is_on_its_way(world):
    world.write(Create("/nodepool/nodes/0000000000", node()))
    for _ in range(50):
        world.write(Set("/nodepool/nodes/0000000000", node("used")))
    world.settle()
    world.check()
    assert len(world.reads) == 2


def test_contenders_and_flags_need_no_reading(world):
    world.write(Create("/nodepool/nodes/0000000000", node()))
    world.settle()
    world.reads.clear()
    world.write(
        Create("/nodepool/nodes/0000000000/lock"),
        Create(f"/nodepool/nodes/0000000000/lock/{C0}"),
        Delete(f"/nodepool/nodes/0000000000/lock/{C0}"),
        Create("/nodepool/images"),
        Create("/nodepool/images/x"),
        Create("/nodepool/images/x/pause"),
        Delete("/nodepool/images/x/pause"),
    )
    changes = world.settle()
    assert [change for change in changes if isinstance(change, LockChange)] == [
        LockChange(NodeAt(FIRST), None, ()),
        LockChange(NodeAt(FIRST), (), (C0,)),
        LockChange(NodeAt(FIRST), (C0,), ()),
    ]
    assert [change.raised for change in changes if isinstance(change, FlagChange)] == [True, False]
    assert isinstance(changes[-1].at, PausedAt)
    assert [change.after.contenders for change in changes if isinstance(change, NodeChange)] == [(C0,), ()]
    assert world.reads == []
    world.check()


def test_an_own_write_is_not_read_again(world):
    box = []
    mirror = world.owner.mirror
    mirror.submit([Commit((Create("/nodepool/nodes/", node("init"), sequence=True),))], box.append)
    assert world.settle() == [NodeChange(FIRST, None, world.picture.nodes[FIRST])]
    mirror.submit([Commit((Set(f"/nodepool/nodes/{FIRST}", node("building")),))], box.append)
    mirror.submit(
        [Commit((Set(f"/nodepool/nodes/{FIRST}", node()), Set(f"/nodepool/nodes/{FIRST}", node("used"))))], box.append
    )
    world.settle()
    assert not any(isinstance(verb, Get) for verb in world.reads)
    entry = world.picture.nodes[FIRST]
    assert (entry.record.state, entry.version, entry.mzxid) == (NodeState.USED, 3, box[2][0].zxid)
    world.check()


def test_an_own_record_enters_without_being_read_from_its_bytes():
    tree = Tree()
    store = MemoryStore(tree)
    owner = Owner(store, decode=lambda path, at, data: pytest.fail(f"{path} was decoded"))
    store.start()
    owner.settle(tree)
    fresh = Node(id=NodeId(""), state=NodeState.INIT, state_time=1.5, labels=(LabelName("small"),))
    owner.mirror.submit([Commit((Create("/nodepool"),)), Commit((Create("/nodepool/nodes"),))], lambda _: None)
    owner.mirror.submit([Commit((create_node(fresh),))], lambda _: None)
    owner.settle(tree)
    assert owner.picture.nodes[FIRST].record == replace(fresh, id=FIRST)
    building = replace(fresh, id=FIRST, state=NodeState.BUILDING)
    owner.mirror.submit([Commit((set_node(building, 0),))], lambda _: None)
    owner.settle(tree)
    assert owner.picture.nodes[FIRST].record is building
    assert owner.picture.nodes[FIRST].version == 1
    other = Peer(MemoryStore(tree), tree.run).open()
    assert owner.picture.nodes == surveyed(other.call).nodes


def test_a_foreign_write_among_own_ones_is_read(world):
    world.write(Create(f"/nodepool/nodes/{FIRST}", node("building")))
    world.settle()
    world.reads.clear()
    world.owner.mirror.submit([Commit((Set(f"/nodepool/nodes/{FIRST}", node("ready")),))], lambda _: None)
    world.write(Set(f"/nodepool/nodes/{FIRST}", node("hold")))
    world.settle()
    assert Get(f"/nodepool/nodes/{FIRST}") in world.reads
    assert world.picture.nodes[FIRST].record.state is NodeState.HOLD
    world.check()


def test_a_foreign_node_created_beside_an_own_one_is_read(world):
    world.owner.mirror.submit([Commit((Create("/nodepool/nodes/", node("init"), sequence=True),))], lambda _: None)
    world.write(Create("/nodepool/nodes/", node("hold"), sequence=True))
    world.settle()
    assert [verb for verb in world.reads if isinstance(verb, Get)] == [Get("/nodepool/nodes/0000000001")]
    world.check()


def test_what_was_deleted_before_the_reply_came_is_not_resurrected(world):
    world.write(Create(f"/nodepool/nodes/{FIRST}", node()), Create("/nodepool/nodes/0000000001", node()))
    world.settle()
    world.owner.mirror.submit(
        [Commit((Set(f"/nodepool/nodes/{FIRST}", node("used")),)), *[Get("/nodepool")] * 3], lambda _: None
    )

    def foreign_delete(verb) -> None:
        if verb == Get("/nodepool"):
            world.store.before = lambda verb: None
            world.tree.commit([Delete(f"/nodepool/nodes/{FIRST}")], 0)

    world.store.before = foreign_delete
    changes = world.settle()
    assert NodeChange(FIRST, changes[0].before, None) == changes[0]
    assert len(changes) == 1
    world.check()


def test_a_failed_own_write_leaves_the_foreign_one_to_be_read(world):
    world.write(Create(f"/nodepool/nodes/{FIRST}", node()))
    world.settle()
    world.owner.mirror.submit([Commit((Set(f"/nodepool/nodes/{FIRST}", node("used"), version=7),))], lambda _: None)
    world.write(Set(f"/nodepool/nodes/{FIRST}", node("hold")))
    world.settle()
    assert world.picture.nodes[FIRST].record.state is NodeState.HOLD


def test_one_bad_record_is_reported_once_and_stops_nothing(world):
    path = "/nodepool/requests/200-0000000000"
    bad = Damaged(path, "unknown state 'odd'")
    world.write(
        Create(path, b'{"state": "odd"}'), Create("/nodepool/requests/200-0000000001", b'{"state": "requested"}')
    )
    changes = world.settle()
    assert DamageChange(path, None, bad) in changes
    assert sum(isinstance(change, RequestChange) for change in changes) == 1
    world.write(Set(path, b'{"state": "odd", "more": 1}'))
    assert world.settle() == []
    assert world.picture.damaged == {path: bad}
    world.write(Set(path, b'{"state": "requested"}'))
    assert DamageChange(path, bad, None) in world.settle()
    world.check()


def test_a_record_that_becomes_damaged_leaves_the_others(world):
    world.write(Create(f"/nodepool/nodes/{FIRST}", node()))
    world.settle()
    world.write(Set(f"/nodepool/nodes/{FIRST}", b"?"))
    assert [type(change) for change in world.settle()] == [NodeChange, DamageChange]
    world.write(Delete(f"/nodepool/nodes/{FIRST}"))
    world.settle()
    assert world.picture.damaged == {}


def test_a_ghost_comes_and_goes(world):
    path = f"/nodepool/nodes/{FIRST}"
    world.write(Create(path))
    assert world.settle() == [GhostChange(path, True)]
    world.write(Delete(path))
    assert world.settle() == [GhostChange(path, False)]


def test_what_happened_while_suspended_is_found_by_the_walk(world):
    world.write(
        Create("/nodepool/nodes/0000000000", node()),
        Create("/nodepool/nodes/0000000001", node()),
        Create("/nodepool/requests-lock/200-0000000000"),
    )
    world.settle()
    world.store.suspend()
    assert world.settle() == [SessionChange(SessionNews(SessionState.SUSPENDED, 1))]
    assert not world.owner.mirror.complete
    world.write(
        Delete("/nodepool/nodes/0000000000"),
        Set("/nodepool/nodes/0000000001", node("used")),
        Create("/nodepool/nodes/0000000002", node()),
        Delete("/nodepool/requests-lock/200-0000000000"),
    )
    world.store.resume()
    changes = world.settle()
    assert changes[0] == SessionChange(SessionNews(SessionState.CONNECTED, 1))
    assert changes[-1] == Completed()
    assert LockChange(RequestAt(RequestId("200-0000000000")), (), None) in changes
    world.check()


def test_a_record_that_did_not_change_while_suspended_is_no_change(world):
    world.write(Create("/nodepool/nodes/0000000000", node()))
    world.settle()
    world.store.suspend()
    world.store.resume()
    assert not any(isinstance(change, NodeChange) for change in world.settle())


def test_own_contenders_are_gone_after_an_expiry(world):
    mirror = world.owner.mirror
    world.write(Create(f"/nodepool/nodes/{FIRST}", node()), Create(f"/nodepool/nodes/{FIRST}/lock"))
    mirror.submit(
        [Commit((Create(f"/nodepool/nodes/{FIRST}/lock/{'c' * 32}__lock__", ephemeral=True, sequence=True),))], len
    )
    world.settle()
    assert world.picture.nodes[FIRST].contenders == (C0.replace("a", "c"),)
    world.store.expire()
    world.settle()
    assert world.picture.nodes[FIRST].contenders == ()
    world.check()


def test_no_more_than_the_window_is_on_its_way():
    world = World()
    world.write(*(Create(f"/nodepool/nodes/{number:010d}", node()) for number in range(300)))
    on_their_way = []
    submit = world.store.submit

    def counted(verbs, done):
        on_their_way.append(len(verbs))
        assert sum(on_their_way) <= 100
        submit(verbs, lambda answers: (on_their_way.remove(len(answers)), done(answers)))

    world.store.submit = counted
    world.owner = Owner(world.store, window=100)
    world.start()
    assert len(world.picture.nodes) == 300
    world.check()


def test_a_fence_is_passed_when_all_that_was_written_before_is_in(world):
    world.write(*(Create(f"/nodepool/nodes/{number:010d}", node()) for number in range(20)))
    fence = world.owner.mirror.fence()
    changes = world.settle()
    assert changes[-1] == FencePassed(fence)
    assert len(world.picture.nodes) == 20


def test_a_fence_waits_for_the_second_read_of_a_record(world):
    world.write(Create(f"/nodepool/nodes/{FIRST}", node("building")))
    world.tree.run()
    world.owner.take_all()
    world.write(Set(f"/nodepool/nodes/{FIRST}", node("ready")))
    fence = world.owner.mirror.fence()
    changes = world.settle()
    passed = changes.index(FencePassed(fence))
    assert [change.after.record.state for change in changes[:passed]][-1] is NodeState.READY


def test_a_fence_is_lost_with_the_connection(world):
    fence = world.owner.mirror.fence()
    world.store.suspend()
    assert FenceLost(fence) in world.settle()
    again = world.owner.mirror.fence()
    assert world.settle() == [FenceLost(again)]


def test_a_fence_during_the_walk_waits_for_its_end():
    world = World()
    world.write(Create(f"/nodepool/nodes/{FIRST}", node()))
    world.store.start()
    world.tree.run()
    world.owner.take_all()
    fence = world.owner.mirror.fence()
    assert world.settle()[-2:] == [Completed(), FencePassed(fence)]


def test_an_entry_says_what_is_needed_for_a_conditional_write(world):
    world.write(Create("/nodepool/requests/200-0000000000", b'{"state": "requested"}'))
    world.settle()
    entry = world.picture.requests[RequestId("200-0000000000")]
    assert isinstance(entry, Entry)
    assert (entry.version, entry.mzxid, entry.contenders) == (0, world.tree.zxid, ())


def test_a_lock_directory_listed_too_early_is_listed_again():
    world = World()
    world.write(
        Create(f"/nodepool/nodes/{FIRST}", node()),
        Create(f"/nodepool/nodes/{FIRST}/lock"),
        Create(f"/nodepool/nodes/{FIRST}/lock/{C0}"),
    )

    def between(verb, answer) -> None:
        if verb == Children(f"/nodepool/nodes/{FIRST}/lock"):
            world.store.after = lambda verb, answer: None
            world.tree.commit([Delete(f"/nodepool/nodes/{FIRST}/lock/{C0}")], 0)

    world.store.after = between
    world.start()
    assert world.picture.nodes[FIRST].contenders == ()
    world.check()


def test_a_record_deleted_between_two_reads_of_a_round_stays_deleted(world):
    def foreign(verb) -> None:
        world.store.before = lambda verb: None
        for number in range(2):
            world.tree.commit([Create(f"/nodepool/nodes/000000009{number}", node())], 0)

    def delete(verb) -> None:
        if verb == Get("/nodepool/nodes/0000000091"):
            world.tree.commit([Delete("/nodepool/nodes/0000000090")], 0)

    world.store.before = foreign
    world.store.after = lambda verb, answer: setattr(world.store, "before", delete)
    world.owner.mirror.submit([Commit((Create("/nodepool/nodes/", node(), sequence=True),))], lambda _: None)
    changes = world.settle()
    assert not any(isinstance(change, NodeChange) and change.id == "0000000090" for change in changes)
    world.check()
