"""Whatever happens to the tree, to the connection and to the session: at rest, the mirror is the tree."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.store import Commit, Create, Delete, Get, Set
from tests.support.mirrors import Owner, content, surveyed

A, B = "a" * 32 + "__lock__0000000000", "b" * 32 + "__lock__0000000001"
BRANCHES = [
    "/nodepool",
    "/nodepool/nodes",
    "/nodepool/requests",
    "/nodepool/requests-lock",
    "/nodepool/images",
    "/nodepool/images/x",
    "/nodepool/images/x/builds",
    "/nodepool_ng",
    "/nodepool_ng/leases",
]
RECORDS = [
    "/nodepool/nodes/0000000000",
    "/nodepool/nodes/0000000001",
    "/nodepool/nodes/0000000002",
    "/nodepool/requests/200-0000000000",
    "/nodepool/images/x/builds/b1",
]
OTHERS = [
    "/nodepool/nodes/0000000000/lock",
    f"/nodepool/nodes/0000000000/lock/{A}",
    f"/nodepool/nodes/0000000000/lock/{B}",
    "/nodepool/requests-lock/200-0000000000",
    f"/nodepool/requests-lock/200-0000000000/{A}",
    "/nodepool/images/x/pause",
    "/nodepool/images/y",
    "/nodepool_ng/leases/cloud",
]
FLICKERING = [*RECORDS, *OTHERS]
NAMED_BY_ZOOKEEPER = ["/nodepool/nodes/", f"/nodepool/nodes/0000000000/lock/{'c' * 32}__lock__"]

bodies = st.sampled_from([b'{"state": "ready"}', b'{"state": "requested"}', b'{"state": "building"}', b"?"])
toggles = st.sampled_from(FLICKERING)
writes = st.one_of(
    st.tuples(st.sampled_from(RECORDS), bodies),
    st.tuples(toggles, st.none()),
    st.tuples(st.sampled_from(NAMED_BY_ZOOKEEPER), st.just(b'{"state": "init"}')),
)


class MirrorAndTree(RuleBasedStateMachine):
    """Messages are carried out one by one, so that anything may happen between any two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages = []
        self.tree = Tree(lambda delay, callback: self.messages.append(callback))
        self.store = MemoryStore(self.tree)
        self.owner = Owner(self.store, window=5)
        self.foreign = self.tree.open_session()
        for path in BRANCHES:
            self.tree.commit([Create(path)], self.foreign)
        self.store.start()

    def operation(self, path, body):
        """What makes sense at a path as the tree is now: with a body, write it; without, make or delete it."""
        if path in NAMED_BY_ZOOKEEPER:
            return Create(path, body, sequence=True)
        if body is not None and self.tree.look(path):
            return Set(path, body)
        if body is None and self.tree.look(path):
            return Delete(path)
        return Create(path, body or b"")

    @rule(writes=st.lists(writes, min_size=1, max_size=3))
    def somebody_writes(self, writes):
        for path, body in writes:
            self.tree.commit([self.operation(path, body)], self.foreign)

    @rule(writes=st.lists(writes, min_size=1, max_size=3), together=st.booleans())
    def we_write(self, writes, together):
        operations = [self.operation(path, body) for path, body in writes]
        verbs = [Commit(tuple(operations))] if together else [Commit((op,)) for op in operations]
        self.owner.mirror.submit([*verbs, Get("/")], lambda answers: None)

    @rule(count=st.integers(1, 12), look=st.booleans())
    def time_passes(self, count, look):
        for _ in range(min(count, len(self.messages))):
            self.messages.pop(0)()
        if look:
            self.owner.take_all()

    @rule(count=st.integers(1, 12))
    def more_time_passes(self, count):
        self.time_passes(count, True)

    @rule()
    def we_fence(self):
        self.owner.mirror.fence()

    @rule(weather=st.sampled_from([*["fine"] * 6, "cut", "our session expires", "their session expires"]))
    def weather(self, weather):
        match weather:
            case "cut":
                self.store.suspend()
            case "our session expires":
                self.store.expire()
            case "their session expires":
                self.tree.end_session(self.foreign)
                self.foreign = self.tree.open_session()
            case _:
                self.store.resume()

    @rule()
    def all_comes_to_rest(self):
        self.store.resume()
        while self.messages or self.owner.inbox:
            while self.messages:
                self.messages.pop(0)()
            self.owner.take_all()
        assert self.owner.mirror.complete
        assert content(self.owner.picture) == content(surveyed(self.look))

    def teardown(self):
        if self.store.session_id or self.messages:
            self.all_comes_to_rest()

    def look(self, children, get):
        return self.tree.children(children.path), self.tree.get(get.path)

    @invariant()
    def changes_lead_from_one_state_to_the_next(self):
        """What the owner was told, applied one after the other, is what the mirror holds."""
        told = {}
        for change in self.owner.changes:
            if type(change).__name__ == "NodeChange":
                assert told.get(change.id) == change.before
                told[change.id] = change.after
        assert {id: entry for id, entry in told.items() if entry is not None} == self.owner.picture.nodes


TestMirrorAndTree = MirrorAndTree.TestCase
TestMirrorAndTree.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
