"""What every store does, the real one and the simulation's alike."""

import pytest

from nodepool_ng.zk.store import (
    MAX_PACKET,
    Changed,
    Check,
    Children,
    Commit,
    Committed,
    Create,
    Delete,
    Failure,
    Get,
    Got,
    Kind,
    Names,
    Problem,
    SessionNews,
    SessionState,
    Set,
    Sync,
    Synced,
)

CREATED, CHANGED, DELETED = Kind.CREATED, Kind.CHANGED, Kind.DELETED


def one(op):
    return Commit((op,))


@pytest.fixture
def peer(rig):
    return rig.peer().open("/")


def test_nothing_is_connected_before_the_start(rig):
    peer = rig.peer()
    assert (peer.store.session, peer.store.connected) == (0, False)
    assert peer.call(Get("/")) == (Failure(Problem.CONNECTION_LOST, "/"),)


def test_a_started_store_has_session_number_one(peer):
    assert (peer.store.session, peer.store.connected) == (1, True)


def test_a_watch_may_come_after_the_connection(rig):
    peer = rig.peer().open()
    peer.store.watch(["/a"], peer.hear)
    peer.wait_for(SessionNews(SessionState.CONNECTED, 1), 2)
    peer.call(one(Create("/a")), one(Create("/b")))
    peer.wait_for(Changed("/a", CREATED))
    assert Changed("/b", CREATED) not in peer.heard


def test_no_verbs_have_no_answers(peer):
    assert peer.call() == ()


def test_verbs_are_answered_in_order_and_failures_stop_nothing(peer):
    answers = peer.call(
        one(Create("/a", b"one")), Get("/nowhere"), Get("/a"), Children("/"), Sync("/"), one(Delete("/a")), Commit(())
    )
    assert answers[0].results == ("/a",)
    assert answers[1] == Failure(Problem.NO_NODE, "/nowhere")
    assert answers[2].data == b"one"
    assert answers[3] == Names(("a",)) or set(answers[3].names) == {"a", "zookeeper"}
    assert answers[4] == Synced()
    assert answers[5].results == (None,)
    assert answers[6] == Committed(())


def test_a_stat_tells_versions_and_who_owns(peer):
    created, got = peer.call(one(Create("/a", b"x", ephemeral=True)), Get("/a"))
    stat = got.stat
    assert (stat.version, stat.czxid, stat.mzxid, stat.children) == (0, created.zxid, created.zxid, 0)
    assert stat.ephemeral_owner != 0
    set_one, again = peer.call(one(Set("/a", b"y")), Get("/a"))
    assert set_one.results == (again.stat,)
    assert (again.stat.version, again.stat.mzxid, again.stat.czxid) == (1, set_one.zxid, created.zxid)
    assert again.stat.mzxid > created.zxid


@pytest.mark.parametrize(
    ("op", "problem"),
    [
        (Create("/a"), Problem.NODE_EXISTS),
        (Create("/no/parent"), Problem.NO_NODE),
        (Create("/e/child"), Problem.OTHER),
        (Set("/no", b""), Problem.NO_NODE),
        (Set("/a", b"", version=7), Problem.BAD_VERSION),
        (Delete("/no"), Problem.NO_NODE),
        (Delete("/a", version=7), Problem.BAD_VERSION),
        (Delete("/a"), Problem.NOT_EMPTY),
        (Check("/no"), Problem.NO_NODE),
        (Check("/a", version=7), Problem.BAD_VERSION),
        (Create("/big", b"x" * MAX_PACKET), Problem.TOO_LARGE),
    ],
)
def test_each_refusal_has_its_problem_alone_and_in_a_transaction(peer, op, problem):
    peer.call(one(Create("/a")), one(Create("/a/b")), one(Create("/e", ephemeral=True)), one(Create("/z")))
    (alone,) = peer.call(one(op))
    assert (alone.problem, alone.path, alone.index) == (problem, op.path, 0)
    (together,) = peer.call(Commit((Set("/z", b"changed"), Create("/new"), op, Check("/nor-this"))))
    assert (together.problem, together.path, together.index) == (problem, op.path, 2)
    z, new = peer.call(Get("/z"), Get("/new"))
    assert z.data == b""
    assert new == Failure(Problem.NO_NODE, "/new")


def test_a_transaction_does_all_at_one_instant(peer):
    peer.call(one(Create("/a")), one(Create("/b")))
    (done,) = peer.call(
        Commit(
            (Create("/a/n-", b"1", sequence=True), Set("/a", b"2"), Check("/b", 0), Delete("/b"), Create("/b", b"3"))
        )
    )
    path, stat, checked, deleted, made = done.results
    assert (path, stat.version, checked, deleted, made) == ("/a/n-0000000000", 1, None, None, "/b")
    a, n, b = peer.call(Get("/a"), Get(path), Get("/b"))
    assert (a.data, n.data, b.data) == (b"2", b"1", b"3")
    assert a.stat.mzxid == n.stat.mzxid == b.stat.mzxid == done.zxid


def test_a_check_may_stand_alone(peer):
    assert peer.call(one(Create("/a")), one(Check("/a", 0)))[1].results == (None,)


def test_a_failed_transaction_leaves_the_counter_alone(peer):
    peer.call(one(Create("/a")))
    peer.call(Commit((Create("/a/n-", sequence=True), Check("/no"))))
    assert peer.call(one(Create("/a/n-", sequence=True)))[0].results == ("/a/n-0000000000",)


def test_the_counter_belongs_to_the_parent_and_counts_every_child(peer):
    answers = peer.call(
        one(Create("/q")),
        one(Create("/q/", sequence=True)),
        one(Create("/q/lock")),
        one(Create("/q/x-", sequence=True)),
        one(Delete("/q/x-0000000002")),
        one(Create("/q/", sequence=True)),
        Commit((Create("/q/", sequence=True), Create("/q/", sequence=True))),
    )
    made = [path for answer in answers for path in answer.results if path]
    assert made == [
        "/q",
        "/q/0000000000",
        "/q/lock",
        "/q/x-0000000002",
        "/q/0000000003",
        "/q/0000000004",
        "/q/0000000005",
    ]


def test_a_client_that_stops_takes_its_ephemerals_along(rig, peer):
    other = rig.peer().open()
    other.call(one(Create("/e", ephemeral=True)), one(Create("/p")))
    other.store.stop()
    peer.wait_for(Changed("/e", DELETED))
    gone, stays = peer.call(Get("/e"), Get("/p"))
    assert gone == Failure(Problem.NO_NODE, "/e")
    assert isinstance(stays, Got)


def test_a_stopped_store_answers_that_the_session_is_over(peer):
    peer.store.stop()
    assert peer.call(Get("/")) == (Failure(Problem.SESSION_LOST, "/"),)
    assert not peer.store.connected


def test_every_change_below_the_root_is_heard_however_deep(rig):
    peer, other = rig.peer().open("/a"), rig.peer().open()
    other.call(
        one(Create("/ab")),
        one(Create("/a")),
        one(Create("/a/b")),
        Commit((Create("/a/b/c"), Set("/a/b/c", b"x"), Set("/a", b"y"))),
        one(Delete("/a/b/c")),
        one(Delete("/a/b")),
        one(Delete("/a")),
        one(Create("/a")),
    )
    peer.wait_for(Changed("/a", CREATED), 2)
    assert [news for news in peer.heard if isinstance(news, Changed)] == [
        Changed("/a", CREATED),
        Changed("/a/b", CREATED),
        Changed("/a/b/c", CREATED),
        Changed("/a/b/c", CHANGED),
        Changed("/a", CHANGED),
        Changed("/a/b/c", DELETED),
        Changed("/a/b", DELETED),
        Changed("/a", DELETED),
        Changed("/a", CREATED),
    ]


def test_several_roots_may_be_watched(rig):
    peer = rig.peer().open("/a", "/b")
    peer.call(one(Create("/b")), one(Create("/c")), one(Create("/a")))
    peer.wait_for(Changed("/a", CREATED))
    assert Changed("/b", CREATED) in peer.heard
    assert Changed("/c", CREATED) not in peer.heard


def test_an_own_change_is_heard_before_its_answer(peer):
    answers = peer.call(one(Create("/a")))
    assert peer.heard.index(Changed("/a", CREATED)) < peer.heard.index(answers)


def test_what_was_read_after_an_event_is_as_new_as_the_event(rig, peer):
    other = rig.peer().open()
    other.call(one(Create("/a")))
    for number in range(20):
        data = str(number).encode()
        other.call(one(Set("/a", data)))
        peer.wait_for(Changed("/a", CHANGED), number + 1)
        assert peer.call(Get("/a"))[0].data == data


def test_a_suspended_client_hears_of_it_and_its_verbs_fail_at_once(rig, peer):
    rig.cut(peer)
    peer.wait_for(SessionNews(SessionState.SUSPENDED, 1))
    assert not peer.store.connected
    assert peer.call(one(Create("/a")), Get("/")) == (
        Failure(Problem.CONNECTION_LOST, "/a"),
        Failure(Problem.CONNECTION_LOST, "/"),
    )


def test_a_client_that_comes_back_in_time_has_its_session_and_its_watches(rig, peer):
    other = rig.peer().open()
    peer.call(one(Create("/mine", ephemeral=True)))
    rig.cut(peer)
    peer.wait_for(SessionNews(SessionState.SUSPENDED, 1))
    other.call(one(Create("/missed")))
    rig.mend(peer)
    peer.wait_for(SessionNews(SessionState.CONNECTED, 1), 2)
    assert peer.store.session == 1
    other.call(one(Create("/heard")))
    peer.wait_for(Changed("/heard", CREATED))
    assert Changed("/missed", CREATED) not in peer.heard
    assert isinstance(peer.call(Get("/mine"))[0], Got)


def test_an_expired_session_is_lost_and_a_new_one_counts_on(rig, peer):
    other = rig.peer().open("/")
    peer.call(one(Create("/mine", ephemeral=True)))
    rig.expire(peer)
    peer.wait_connected(2)
    sessions = [news for news in peer.heard if isinstance(news, SessionNews)]
    assert [(news.state, news.session) for news in sessions] == [
        (SessionState.CONNECTED, 1),
        (SessionState.SUSPENDED, 1),
        (SessionState.LOST, 1),
        (SessionState.CONNECTED, 2),
    ]
    other.wait_for(Changed("/mine", DELETED))
    assert peer.store.session == 2
    peer.call(one(Create("/after")))
    peer.wait_for(Changed("/after", CREATED))


def test_a_session_that_expired_while_suspended_is_lost_on_return(rig):
    peer, other = rig.peer(session_timeout=2.0).open(), rig.peer().open("/")
    peer.call(one(Create("/mine", ephemeral=True)))
    rig.cut(peer)
    peer.wait_for(SessionNews(SessionState.SUSPENDED, 1))
    rig.lapse(peer)
    other.wait_for(Changed("/mine", DELETED))
    rig.mend(peer)
    peer.wait_connected(2)
    assert peer.heard[-2:] == [SessionNews(SessionState.LOST, 1), SessionNews(SessionState.CONNECTED, 2)]


def test_a_transaction_that_rests_on_an_ephemeral_fails_in_the_next_session(rig, peer):
    peer.call(one(Create("/lock", ephemeral=True)), one(Create("/record")))
    rig.expire(peer)
    peer.wait_connected(2)
    (answer,) = peer.call(Commit((Check("/lock"), Set("/record", b"stale"))))
    assert (answer.problem, answer.index) == (Problem.NO_NODE, 0)
    assert peer.call(Get("/record"))[0].data == b""
