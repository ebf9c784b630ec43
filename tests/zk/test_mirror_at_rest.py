"""Whatever happens to the tree, to the connection and to the session: at rest, the mirror is the tree."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.store import Commit, Create, Delete, Get, Set
from tests.support.mirrors import Owner, content, surveyed

CONTENDERS = [f"{letter * 32}__lock__{number:010d}" for number, letter in enumerate("abc")]
LOCKS = [
    "/nodepool/nodes/0000000000/lock",
    "/nodepool/nodes/0000000001/lock",
    "/nodepool/requests-lock/200-0000000000",
    "/nodepool/images/x/builds/lock",
    "/nodepool_ng/leases/cloud",
]
RECORDS = [
    "/nodepool/nodes/0000000000",
    "/nodepool/nodes/0000000001",
    "/nodepool/requests/200-0000000000",
    "/nodepool/components/pool/host0000000000",
    "/nodepool/images/x/builds/b1",
    "/nodepool/images/x/builds/b1/providers/c/images/0000000001",
    "/nodepool_ng/installation",
]
OTHERS = ["/nodepool/images/x/pause", "/nodepool/images/x/request-build", "/nodepool/images/y", *LOCKS]
BRANCHES = [
    "/nodepool",
    "/nodepool/nodes",
    "/nodepool/requests",
    "/nodepool/requests-lock",
    "/nodepool/components",
    "/nodepool/components/pool",
    "/nodepool/images",
    "/nodepool/images/x",
    "/nodepool/images/x/builds",
    "/nodepool/images/x/builds/b1/providers",
    "/nodepool/images/x/builds/b1/providers/c",
    "/nodepool/images/x/builds/b1/providers/c/images",
    "/nodepool_ng",
    "/nodepool_ng/leases",
]
PATHS = [*BRANCHES, *RECORDS, *OTHERS, *(f"{lock}/{name}" for lock in LOCKS for name in CONTENDERS)]

bodies = st.sampled_from([b'{"state": "ready"}', b'{"state": "requested"}', b'{"state": "building"}', b"", b"?", b"id"])
paths_in_order = sorted(PATHS)
creations = st.builds(Create, st.sampled_from(PATHS), bodies)
operations = st.one_of(
    creations,
    st.builds(Create, st.sampled_from(PATHS), bodies, ephemeral=st.just(True)),
    st.builds(Create, st.just("/nodepool/nodes/"), bodies, sequence=st.just(True)),
    st.builds(Create, st.sampled_from([f"{lock}/{'d' * 32}__lock__" for lock in LOCKS]), sequence=st.just(True)),
    st.builds(Set, st.sampled_from(RECORDS), bodies),
    st.builds(Set, st.sampled_from(RECORDS), bodies),
    st.builds(Delete, st.sampled_from(PATHS)),
)
rounds = st.lists(st.lists(operations, min_size=1, max_size=3).map(lambda ops: Commit(tuple(ops))), max_size=4)


class MirrorAndTree(RuleBasedStateMachine):
    """Messages are carried out one by one, in any of the orders that are possible between the two directions."""

    def __init__(self) -> None:
        super().__init__()
        self.messages = []
        self.tree = Tree(lambda delay, callback: self.messages.append(callback))
        self.store = MemoryStore(self.tree)
        self.owner = Owner(self.store, window=5)
        self.foreign = self.tree.open_session()

    @initialize(there=st.sets(st.sampled_from(PATHS)), body=bodies)
    def begin(self, there, body):
        for path in paths_in_order:
            if path in BRANCHES or path in there:
                self.tree.commit([Create(path, body if path in RECORDS else b"")], self.foreign)
        self.store.start()

    @rule(round=rounds)
    def somebody_writes(self, round):
        for verb in round:
            self.tree.commit(verb.ops, self.foreign)

    @rule(round=rounds)
    def we_write(self, round):
        self.owner.mirror.submit([*round, Get("/")], lambda answers: None)

    @rule(count=st.integers(1, 6))
    def time_passes(self, count):
        for _ in range(min(count, len(self.messages))):
            self.messages.pop(0)()

    @rule()
    def the_owner_looks(self):
        self.owner.take_all()

    @rule()
    def we_fence(self):
        self.owner.mirror.fence()

    @rule()
    def the_connection_breaks(self):
        self.store.suspend()

    @rule()
    def the_connection_is_back(self):
        self.store.resume()

    @rule()
    def our_session_expires(self):
        self.store.expire()

    @rule()
    def their_session_expires(self):
        self.tree.end_session(self.foreign)
        self.foreign = self.tree.open_session()

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
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
