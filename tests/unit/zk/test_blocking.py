"""The blocking front asks one thing after the other; in memory it needs a tree that waits for nothing."""

from nodepool_ng.zk.blocking import call, wait_connected
from nodepool_ng.zk.memory import Eager, MemoryStore, Tree
from nodepool_ng.zk.store import Commit, Create, Failure, Get, Problem


def test_a_call_returns_the_answers():
    store = MemoryStore(Tree(Eager()))
    store.start()
    assert wait_connected(store, 1.0)
    made, got = call(store, [Commit((Create("/a", b"x"),)), Get("/a")])
    assert (made.results, got.data) == (("/a",), b"x")


def test_a_call_that_is_not_answered_in_time_says_so():
    store = MemoryStore(Tree())
    assert call(store, [Get("/a")], timeout=0.01) == (Failure(Problem.TIMED_OUT, "/a"),)


def test_waiting_for_a_store_that_does_not_connect_ends():
    store = MemoryStore(Tree())
    store.start()
    assert not wait_connected(store, 0.01)
