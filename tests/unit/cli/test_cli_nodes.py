"""Commands about nodes and requests, on a tree in memory."""

import json
from dataclasses import replace

import pytest

from nodepool_ng.cli import notes
from nodepool_ng.model.component import Component
from nodepool_ng.model.ids import LabelName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.node import HELD_BY
from nodepool_ng.zk import codec, paths
from nodepool_ng.zk.store import Children, Commit, Create, Delete, Get, Set


def column(result, number):
    """Return what `cut -d'|' -f` would say of the rows, without blanks."""
    return [line.split("|")[number - 1].strip() for line in result.stdout.splitlines()[3:-1]]


def test_list_is_sorted_by_id_and_tells_locks(world):
    world.put_node("0000000012", public_ipv4="192.0.2.12")
    world.put_node("0000000003", public_ipv4="192.0.2.3", state=NodeState.IN_USE)
    world.lock("0000000003")
    result = world.run("list")
    assert result.exit_code == 0
    assert column(result, 2) == ["0000000003", "0000000012"]
    assert column(result, 6) == ["192.0.2.3", "192.0.2.12"]
    assert column(result, 8) == ["in-use", "ready"]
    assert column(result, 10) == ["locked", "unlocked"]


def test_an_empty_tree_has_an_empty_list(world):
    result = world.run("list")
    assert (result.exit_code, len(result.stdout.splitlines()), result.stderr) == (0, 4, "")


def test_details_have_twelve_columns_more_and_hide_credentials(world):
    world.put_node("0000000001", labels=("a", "b"), connection_port={"token": "s3cret"}, comment="two\nlines")
    result = world.run("list", "--detail")
    assert len(result.stdout.splitlines()[1].split("|")) == 21 + 2
    assert "s3cret" not in result.output
    assert (column(result, 4), column(result, 16), column(result, 20)) == (["a,b"], ["redacted"], ["two\\nlines"])


def test_reading_makes_nothing_and_takes_three_rounds(world):
    for number in range(5):
        world.put_node(f"{number:010}")
    before = world.tree.paths()
    open_store = world.surroundings.open_store
    rounds = []

    def counting(settings):
        store = open_store(settings)
        submit = store.submit
        store.submit = lambda verbs, done: (rounds.append(verbs), submit(verbs, done))
        return store

    world.surroundings = replace(world.surroundings, open_store=counting)
    world.run("list")
    assert world.tree.paths() == before
    assert [len(verbs) for verbs in rounds] == [1, 10, 2]
    assert not any(isinstance(verb, Commit) for verbs in rounds for verb in verbs)


def test_what_is_damaged_is_told_and_stops_nothing(world):
    world.put_node("0000000001")
    world.put("/nodepool/nodes/0000000000", b'{"state": "gl\xffubb"}')
    world.put("/nodepool/nodes/0000000002", b'{"state": "glubb\\u001b[2J"}')
    world.put("/nodepool/nodes/0000000003")
    result = world.run("list")
    assert result.exit_code == 0
    assert column(result, 2) == ["0000000001"]
    first, second = result.stderr.splitlines()
    assert first.startswith("Damaged record, left out: /nodepool/nodes/0000000000: ")
    assert second.startswith("Damaged record, left out: /nodepool/nodes/0000000002: ")
    assert "\x1b" not in result.stderr


def test_a_node_that_goes_while_it_is_read_is_left_out(world):
    world.put_node("0000000001")
    world.put_node("0000000002")
    open_store = world.surroundings.open_store

    def racing(settings):
        store = open_store(settings)

        def before(verb):
            if verb == Get("/nodepool/nodes/0000000001"):
                world.commit(Delete("/nodepool/nodes/0000000001"))

        store.before = before
        return store

    world.surroundings = replace(world.surroundings, open_store=racing)
    assert column(world.run("list"), 2) == ["0000000002"]


def test_lists_have_forms_for_programs(world):
    world.put_node("0000000001", user_data={"zuul_system": "x", "span": 2**127})
    [row] = json.loads(world.run("list", "--detail", "--format", "json").stdout)
    assert (row["id"], row["label"], row["user_data"]["span"]) == ("0000000001", ["fake-label"], 2**127)


def test_requests_are_listed_with_their_relative_priority(world):
    world.put_request("200-0000000007", labels=("a", "a"), relative_priority=3, requestor="zuul", event_id="e1")
    world.put_request("100-0000000009", nodes=("0000000001",), declined_by=("p1", "p2"))
    world.put("/nodepool/requests/200-0000000008", b"nonsense")
    result = world.run("request-list")
    assert column(result, 2) == ["100-0000000009", "200-0000000007"]
    assert column(result, 3) == ["0", "3"]
    assert (column(result, 6), column(result, 7)) == (["", "a,a"], ["0000000001", ""])
    assert column(result, 8) == ["p1,p2", ""]
    assert "200-0000000008" in result.stderr


@pytest.mark.parametrize(("command", "state"), [("hold", NodeState.HOLD), ("delete", NodeState.DELETING)])
def test_a_change_is_one_guarded_transaction_and_shows_the_node(world, command, state):
    node = world.put_node("0000000001", extra={"unknown": 1}, comment="as it was")
    result = world.run(command, node.id)
    assert result.exit_code == 0
    assert (column(result, 2), column(result, 8), column(result, 10)) == ([node.id], [state], ["unlocked"])
    after = world.node(node.id)
    told = {HELD_BY: notes.person()} if command == "hold" else {}
    assert after == replace(node, state=state, state_time=after.state_time, extra={**node.extra, **told})
    assert after.state_time > node.state_time
    assert world.tree.children(paths.node_lock(node.id)).names == ()


def test_a_reason_becomes_the_comment(world):
    world.put_node("0000000001")
    world.run("hold", "0000000001", "--reason", "I look at the disk")
    assert world.node("0000000001").comment == "I look at the disk"


@pytest.mark.parametrize("command", ["hold", "delete"])
@pytest.mark.parametrize("ghost", [True, False])
def test_a_node_that_is_not_there_is_no_failure(world, command, ghost):
    if ghost:
        world.put("/nodepool/nodes/0000000009")
    before = world.tree.paths()
    result = world.run(command, "0000000009")
    assert (result.exit_code, result.stdout) == (0, "Node id 0000000009 not found\n")
    assert world.tree.paths() == before
    assert world.run("--strict", command, "0000000009").exit_code == 1


@pytest.mark.parametrize("state", [NodeState.DELETING, NodeState.DELETED])
def test_no_state_leads_back_from_deleting(world, state):
    node = world.put_node("0000000001", state=state)
    result = world.run("hold", "0000000001")
    assert (result.exit_code, world.node("0000000001")) == (0, node)
    assert f"is {state} already" in result.stdout


def test_deleting_twice_is_deleting(world):
    node = world.put_node("0000000001", state=NodeState.DELETING)
    assert world.run("delete", "0000000001").exit_code == 0
    assert world.node("0000000001") == node


def test_a_damaged_node_is_left_alone(world):
    world.put("/nodepool/nodes/0000000001", b"{}")
    result = world.run("delete", "0000000001")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "damaged" in result.stderr
    assert world.data("/nodepool/nodes/0000000001") == b"{}"


@pytest.mark.parametrize("command", ["hold", "delete"])
def test_a_locked_node_is_told_with_whoever_has_it(world, command):
    node = world.put_node("0000000001", state=NodeState.IN_USE)
    world.lock("0000000001", b"jenkins_42\x1b")
    result = world.run(command, "0000000001")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Node 0000000001 is locked by jenkins_42\\x1b; waited 0 s for it.\n"
    assert world.node("0000000001") == node
    assert len(world.tree.children(paths.node_lock(node.id)).names) == 1


def test_a_lock_without_a_name_is_its_daemons(world):
    world.put_node("0000000001", state=NodeState.BUILDING)
    world.lock("0000000001")
    component = Component(key="l10000000000", kind="launcher", hostname="launcher1.example", state="running")
    world.put("/nodepool/components/launcher/l10000000000", codec.encode_component(component), ephemeral=True)
    assert "is locked by the launcher on launcher1.example;" in world.run("hold", "0000000001").stderr


def test_a_lock_of_somebody_unknown_is_its_sessions(world):
    world.put_node("0000000001", state=NodeState.IN_USE)
    world.lock("0000000001")
    assert f"the ZooKeeper session 0x{world.session:x};" in world.run("hold", "0000000001").stderr


def test_a_lock_that_belongs_to_no_session_is_told_so(world):
    world.put_node("0000000001", state=NodeState.READY)
    world.put(f"/nodepool/nodes/0000000001/lock/{'0' * 32}__lock__0000000000")
    assert "a contender that belongs to no session;" in world.run("hold", "0000000001").stderr


def _meddle(world, when, *ops, times=1):
    """Let somebody else carry out `ops` just before the command's store does what `when` recognises."""
    open_store = world.surroundings.open_store
    left = [times]

    def meddling(settings):
        store = open_store(settings)

        def before(verb):
            if left[0] and when(verb):
                left[0] -= 1
                world.commit(*ops)

        store.before = before
        return store

    world.surroundings = replace(world.surroundings, open_store=meddling)


def _writes(verb):
    return isinstance(verb, Commit) and any(isinstance(op, Set) for op in verb.ops)


def test_who_lets_go_in_time_is_waited_for(world):
    world.surroundings = replace(world.surroundings, lock_timeout=5.0)
    world.put_node("0000000001")
    lock = world.lock("0000000001")
    judged = []

    def second_look(verb):
        judged.append(verb) if isinstance(verb, Children) else None
        return len(judged) == 1

    _meddle(world, second_look, Delete(lock))
    assert world.run("hold", "0000000001").exit_code == 0
    assert world.node("0000000001").state is NodeState.HOLD


def test_a_write_without_lock_in_between_is_kept(world):
    node = world.put_node("0000000001")
    other = replace(node, labels=(LabelName("other"),))
    _meddle(world, _writes, Set(paths.node(node.id), codec.encode_node(other)))
    assert world.run("hold", node.id).exit_code == 0
    assert (world.node(node.id).labels, world.node(node.id).state) == (("other",), NodeState.HOLD)


def test_somebody_who_writes_all_the_time_is_told(world):
    node = world.put_node("0000000001")
    _meddle(world, _writes, Set(paths.node(node.id), codec.encode_node(node)), times=99)
    result = world.run("hold", node.id)
    assert (result.exit_code, world.node(node.id)) == (1, node)


def test_a_node_that_goes_at_the_last_moment_was_not_found(world):
    world.put_node("0000000001")
    open_store = world.surroundings.open_store

    def racing(settings):
        store = open_store(settings)

        def before(verb):
            if _writes(verb):
                lock = paths.node_lock("0000000001")
                names = world.tree.children(lock).names
                world.commit(
                    *(Delete(f"{lock}/{n}") for n in names), Delete(lock), Delete("/nodepool/nodes/0000000001")
                )

        store.before = before
        return store

    world.surroundings = replace(world.surroundings, open_store=racing)
    result = world.run("hold", "0000000001")
    assert (result.exit_code, world.tree.look("/nodepool/nodes/0000000001")) == (1, None)
    assert "lock of node 0000000001 was lost" in result.stderr


def test_an_interrupted_change_says_that_nobody_knows(world):
    world.put_node("0000000001")
    open_store = world.surroundings.open_store

    def breaking(settings):
        store = open_store(settings)
        store.after = lambda verb, answer: store.suspend() if _writes(verb) else None
        return store

    world.surroundings = replace(world.surroundings, open_store=breaking)
    result = world.run("hold", "0000000001")
    assert result.exit_code == 1
    assert "Nobody knows whether the change was made" in result.stderr


def test_now_is_refused_where_the_provider_is_not_configured(world):
    world.put_node("0000000001", provider="elsewhere")
    result = world.run("delete", "--now", "0000000001")
    assert (result.exit_code, world.node("0000000001").state) == (1, NodeState.READY)
    assert "Provider elsewhere is not configured here" in result.stderr


def test_contenders_of_others_are_seen_after_a_change(world):
    world.put_node("0000000001")
    _meddle(
        world,
        lambda verb: isinstance(verb, Children) and verb.path.endswith("/lock"),
        Create(f"/nodepool/nodes/0000000001/lock/{'f' * 32}__lock__", ephemeral=True, sequence=True),
    )
    result = world.run("delete", "0000000001")
    assert column(result, 10) == ["locked"]


@pytest.mark.parametrize("command", ["hold", "delete"])
def test_leading_zeros_need_not_be_typed(world, command):
    world.put_node("0000000007")
    done = world.run(command, "7")
    assert (done.exit_code, "| 0000000007 |" in done.stdout) == (0, True)
    assert world.run(command, "8").stdout == "Node id 0000000008 not found\n"
