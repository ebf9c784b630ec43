"""Who owns a lock, as a pure question; and the rounds that ask it."""

import pytest

from nodepool_ng.zk.locks import (
    Behind,
    Gone,
    Held,
    Owned,
    Token,
    Unsure,
    contend,
    find,
    guard,
    in_order,
    judge,
    judge_answers,
    new_token,
    release,
    sequence,
)
from nodepool_ng.zk.memory import MemoryStore, Tree
from nodepool_ng.zk.store import Check, Commit, Create, Delete, Failure, Names, Problem
from tests.support.zookeeper import Peer

DIRECTORY = "/lock"
TOKEN = Token("c" * 32)
KAZOO = "a" * 32 + "__lock__0000000003"
JAVA = "0f8fad5b-d9cb-469f-a165-70867728950e__lock__0000000002"
OURS = "c" * 32 + "__lock__0000000007"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (KAZOO, 3),
        (JAVA, 2),
        ("x__lock__-2147483648", -2147483648),
        ("x__rlock__0000000001", None),
        ("x__lock__1", None),
        ("stray", None),
    ],
)
def test_the_number_of_a_contender(name, number):
    assert sequence(name) == number


def test_strays_and_readers_are_no_contenders():
    assert in_order(["stray", KAZOO, JAVA, "x__rlock__0000000001"]) == (JAVA, KAZOO)


def test_the_lowest_number_owns_the_lock():
    held = Held(DIRECTORY, OURS, 1)
    assert judge([OURS], held) == Owned(held)
    assert judge([OURS, "d" * 32 + "__lock__0000000009"], held) == Owned(held)
    assert judge([KAZOO, JAVA, OURS], held) == Behind(held, KAZOO)
    assert judge([KAZOO], held) == Gone(DIRECTORY)


def test_tokens_are_32_hex_digits_and_differ():
    assert len(new_token()) == 32
    assert int(new_token(), 16) != int(new_token(), 16)


def test_a_held_lock_guards_and_is_released_by_its_contender():
    held = Held(DIRECTORY, OURS, 1)
    assert guard(held) == Check(f"{DIRECTORY}/{OURS}")
    assert release(held) == Delete(f"{DIRECTORY}/{OURS}")


@pytest.fixture
def peer():
    tree = Tree()
    return Peer(MemoryStore(tree), tree.run).open("/")


def tried(peer, token=TOKEN, exists=False):
    return judge_answers(peer.call(*contend(DIRECTORY, "me", token, exists=exists)), DIRECTORY, token, 1)


def test_a_try_makes_the_directory_and_takes_the_lock(peer):
    assert tried(peer) == Owned(Held(DIRECTORY, f"{TOKEN}__lock__0000000000", 1))


def test_a_second_one_stands_behind_the_first(peer):
    first = tried(peer)
    second = tried(peer, Token("d" * 32), exists=True)
    assert isinstance(second, Behind)
    assert second.predecessor == first.held.name


def test_a_directory_that_is_not_there_is_gone_and_one_more_try_makes_it(peer):
    assert tried(peer, exists=True) == Gone(DIRECTORY)
    assert isinstance(tried(peer), Owned)


def test_what_is_gone_is_not_recreated_by_locking_it(peer):
    answers = peer.call(*contend("/nodes/1/lock", "me", TOKEN))
    assert judge_answers(answers, "/nodes/1/lock", TOKEN, 1) == Gone("/nodes/1/lock")


def test_an_answer_that_was_lost_leaves_it_open_until_we_look(peer):
    store = peer.store

    def cut(verb, answer) -> None:
        if isinstance(verb, Commit) and isinstance(verb.ops[0], Create) and verb.ops[0].sequence:
            store.suspend()

    store.after = cut
    verdict = tried(peer)
    assert verdict == Unsure(DIRECTORY, TOKEN, Failure(Problem.CONNECTION_LOST, f"{DIRECTORY}/{TOKEN}__lock__"))
    store.resume()
    peer.wait(lambda: store.connected)
    assert find([f"{TOKEN}__lock__0000000000", KAZOO], DIRECTORY, TOKEN, 1) == Held(
        DIRECTORY, f"{TOKEN}__lock__0000000000", 1
    )
    assert find([KAZOO], DIRECTORY, TOKEN, 1) is None


def test_answers_of_something_else_are_a_defect():
    with pytest.raises(TypeError, match="not the answers"):
        judge_answers((Names(()), Names(())), DIRECTORY, TOKEN, 1)
