"""Our locks and kazoo's own recipe respect each other, on a real server."""

import threading

import pytest
from kazoo.client import KazooClient

from nodepool_ng.zk.locks import Behind, Owned, contend, guard, judge, judge_answers, new_token, release
from nodepool_ng.zk.store import Changed, Children, Commit, Create, Kind, Problem, Set
from tests.support.zookeeper import PATIENCE

pytestmark = pytest.mark.zookeeper


@pytest.fixture
def kazoo(real_rig):
    client = KazooClient(hosts=real_rig.settings.hosts[0] + real_rig.settings.chroot)
    client.start(PATIENCE)
    yield client
    client.stop()
    client.close()


@pytest.fixture
def peer(real_rig):
    return real_rig.peer().open("/")


def tried(peer, directory="/lock", exists=False):
    token = new_token()
    answers = peer.call(*contend(directory, "we", token, exists=exists))
    return judge_answers(answers, directory, token, peer.store.session)


def test_kazoo_waits_for_us_and_is_woken_by_our_release(peer, kazoo):
    ours = tried(peer)
    assert isinstance(ours, Owned)
    lock = kazoo.Lock("/lock", "kazoo")
    assert not lock.acquire(blocking=False)
    assert kazoo.Lock("/lock").contenders() == ["we"]
    got = threading.Event()
    waiter = threading.Thread(target=lambda: lock.acquire(timeout=PATIENCE) and got.set())
    waiter.start()
    peer.wait(lambda: len([n for n in peer.heard if isinstance(n, Changed) and n.kind is Kind.CREATED]) == 4)
    assert not got.is_set()
    peer.call(Commit((release(ours.held),)))
    assert got.wait(PATIENCE)
    waiter.join()
    lock.release()


def test_we_see_kazoos_lock_and_own_it_after_its_release(peer, kazoo):
    lock = kazoo.Lock("/lock", "kazoo")
    assert lock.acquire(timeout=PATIENCE)
    ours = tried(peer, exists=True)
    assert isinstance(ours, Behind)
    lock.release()
    peer.wait_for(Changed(f"/lock/{ours.predecessor}", Kind.DELETED))
    (names,) = peer.call(Children("/lock"))
    assert judge(names.names, ours.held) == Owned(ours.held)


def test_a_waiting_kazoo_lets_a_contender_of_ours_behind_it_wait(peer, kazoo):
    first = tried(peer)
    lock = kazoo.Lock("/lock", "kazoo")
    waiter = threading.Thread(target=lambda: lock.acquire(timeout=PATIENCE))
    waiter.start()
    peer.wait(lambda: len([n for n in peer.heard if isinstance(n, Changed)]) == 3)
    third = tried(peer, exists=True)
    assert isinstance(third, Behind)
    assert third.predecessor != first.held.name
    peer.call(Commit((release(first.held),)))
    waiter.join()
    assert lock.is_acquired
    lock.release()


def test_nothing_is_written_under_a_lock_that_is_lost(real_rig, peer):
    peer.call(Commit((Create("/record"),)))
    ours = tried(peer)
    real_rig.expire(peer)
    peer.wait_connected(2)
    (answer,) = peer.call(Commit((guard(ours.held), Set("/record", b"stale"))))
    assert (answer.problem, answer.index) == (Problem.NO_NODE, 0)
