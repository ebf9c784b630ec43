"""A foreign write between any two verbs of a walk, or of a round of our own, does not deceive the mirror.

Every pair of (verb, foreign write) is tried: events may then overtake answers that are older than they are.
"""

import itertools

import pytest

from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.store import Commit, Create, Delete, Get, Set
from tests.support.mirrors import Owner, content, surveyed

CONTENDER = "a" * 32 + "__lock__0000000000"
READY, USED = b'{"state": "ready"}', b'{"state": "used"}'
FIRST, SECOND = "/nodepool/nodes/0000000000", "/nodepool/nodes/0000000001"
LOCK = f"{FIRST}/lock"
REQUEST = "/nodepool/requests/200-0000000000"
THERE = {
    "/nodepool": b"",
    "/nodepool/nodes": b"",
    FIRST: READY,
    LOCK: b"",
    f"{LOCK}/{CONTENDER}": b"",
    SECOND: READY,
    "/nodepool/requests": b"",
    REQUEST: b'{"state": "requested"}',
    "/nodepool/images": b"",
    "/nodepool/images/x": b"",
    "/nodepool/images/x/pause": b"",
    "/nodepool/images/x/builds": b"",
    "/nodepool/images/x/builds/b1": READY,
}
FOREIGN = [
    (Set(FIRST, USED),),
    (Set(SECOND, b""),),
    (Delete(SECOND),),
    (Delete(SECOND), Create(SECOND, USED)),
    (Delete(f"{LOCK}/{CONTENDER}"),),
    (Delete(f"{LOCK}/{CONTENDER}"), Delete(LOCK), Delete(FIRST)),
    (Create(f"{LOCK}/{CONTENDER[:-1]}1"),),
    (Create("/nodepool/nodes/", READY, sequence=True),),
    (Delete(REQUEST),),
    (Delete("/nodepool/images/x/pause"),),
    (Delete("/nodepool/images/x/pause"), Create("/nodepool/images/x/pause")),
    (Create("/nodepool/images/x/request-build"),),
    (Create("/nodepool/images/x/builds/lock"), Create("/nodepool/images/x/builds/b2", READY)),
    (Delete("/nodepool/images/x/builds/b1"),),
]
OWN = [
    [Commit((Set(SECOND, USED),)), Get("/"), Get("/")],
    [Commit((Set(SECOND, USED), Set(SECOND, READY))), Get("/"), Get("/")],
    [Commit((Delete(SECOND),)), Get("/"), Get("/")],
    [Commit((Create("/nodepool/nodes/", READY, sequence=True),)), Get("/"), Get("/")],
    [Commit((Create(f"{SECOND}/lock"),)), Commit((Create(f"{SECOND}/lock/x__lock__", sequence=True),)), Get("/")],
    [Commit((Delete(f"{LOCK}/{CONTENDER}"), Set(FIRST, USED))), Get("/"), Get("/")],
]


class World:
    def __init__(self) -> None:
        self.tree = Tree()
        for path, data in THERE.items():
            self.tree.commit([Create(path, data)], 0)
        self.store = MemoryStore(self.tree)
        self.owner = Owner(self.store)

    def interfere(self, number, foreign) -> bool:
        """Let the foreign write happen before the verb of that number; tell later whether there was such a verb."""
        verbs = itertools.count()
        self.happened = False

        def before(verb) -> None:
            if next(verbs) == number:
                self.happened = True
                for op in foreign:
                    self.tree.commit([op], 0)

        self.store.before = before

    def check(self) -> None:
        assert self.owner.mirror.complete
        found = surveyed(lambda children, get: (self.tree.children(children.path), self.tree.get(get.path)))
        assert content(self.owner.picture) == content(found)


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("walks", [1, 2])
def test_a_foreign_write_during_a_walk(foreign, walks):
    for number in range(100):
        world = World()
        if walks == 2:
            world.store.start()
            world.owner.settle(world.tree)
            world.store.suspend()
        world.interfere(number, foreign)
        world.store.start()
        world.owner.settle(world.tree)
        world.check()
        if not world.happened:
            return
    raise AssertionError("a walk of 13 znodes does not take 100 verbs")


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("own", OWN)
def test_a_foreign_write_during_a_round_of_ours(own, foreign):
    for number in range(len(own) + 1):
        world = World()
        world.store.start()
        world.owner.settle(world.tree)
        world.interfere(number, foreign)
        world.owner.mirror.submit(own, lambda answers: None)
        world.owner.settle(world.tree)
        world.check()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("own", OWN)
def test_a_connection_that_breaks_during_a_round_of_ours(own, number):
    world = World()
    world.store.start()
    world.owner.settle(world.tree)
    verbs = itertools.count()
    world.store.after = lambda verb, answer: next(verbs) == number and world.store.suspend()
    world.owner.mirror.submit(own, lambda answers: None)
    world.owner.settle(world.tree)
    world.store.resume()
    world.owner.settle(world.tree)
    world.check()
