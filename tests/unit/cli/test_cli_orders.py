"""Orders of operators: cordons, drains, holds and their ends, what concerns many, and the notes of all of them."""

import json

import pytest

from nodepool_ng.cli import notes
from nodepool_ng.model.cordon import CordonKind
from nodepool_ng.model.ids import PoolName, ProviderName
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.settings import Pool, Provider
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Create


@pytest.fixture(autouse=True)
def configured(world):
    name = ProviderName("fake-provider")
    pool = Pool(name=PoolName("main"), provider=name, labels={})
    world.configure(providers={name: Provider(name=name, pools={pool.name: pool})})


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("fake-provider", CordonKind.PROVIDER),
        ("fake-provider/main", CordonKind.POOL),
        ("fake-image", CordonKind.IMAGE),
    ],
)
def test_a_cordon_is_written_down_for_launchers_and_taken_back(world, what, kind):
    done = world.run("cordon", what, "--reason", "moves house")
    assert (done.exit_code, f"the {kind} {what} gets nothing new" in done.output) == (0, True)
    told = json.loads(world.data(paths.cordon(kind, what)))
    assert (told["drain"], told["reason"], told["by"]) == (False, "moves house", notes.person())
    assert world.run("uncordon", what).exit_code == 0
    assert world.tree.look(paths.cordon(kind, what)) is None
    assert world.run("--strict", "uncordon", what).exit_code == 1


@pytest.mark.parametrize("what", ["typo", "fake-provider/typo", "typo/main"])
@pytest.mark.parametrize("command", ["cordon", "drain"])
def test_what_is_not_configured_is_not_cordoned(world, command, what):
    done = world.run(command, what)
    assert (done.exit_code, world.tree.paths()) == (1, ())
    assert "There is no provider, pool" in done.output


def test_a_drain_has_to_be_confirmed_and_tells_what_is_there(world):
    world.put_node("0000000001", pool="main")
    world.put_node("0000000002", NodeState.IN_USE, pool="main")
    refused = world.run("drain", "fake-provider")
    assert (refused.exit_code, "add --yes" in refused.output) == (1, True)
    done = world.run("drain", "fake-provider", "--yes")
    assert (done.exit_code, "1 in-use; 1 ready" in done.output) == (0, True)
    assert json.loads(world.data(paths.cordon(CordonKind.PROVIDER, "fake-provider")))["drain"] is True
    assert world.run("drain", "fake-image", "--yes").exit_code == 1


def test_waiting_for_a_drain_ends_when_only_held_nodes_are_left(world):
    world.put_node("0000000001", NodeState.HOLD, pool="main")
    done = world.run("drain", "fake-provider/main", "--wait", "--yes")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "Drained.")


def test_a_hold_keeps_who_why_and_until_when(world):
    world.put_node("0000000001")
    assert world.run("hold", "0000000001", "--reason", "a look", "--expires", "2h").exit_code == 0
    node = world.node("0000000001")
    assert (node.comment, node.hold_expiration, node.extra["nodepool_ng_held_by"]) == ("a look", 7200, notes.person())


@pytest.mark.parametrize("wrong", ["soon", "-1", "2 fortnights", ""])
def test_a_time_that_is_none_is_a_wrong_call(world, wrong):
    assert world.run("hold", "0000000001", "--expires", wrong).exit_code == 2


def test_the_end_of_a_hold_makes_the_node_used(world):
    world.put_node("0000000001", NodeState.HOLD)
    assert world.run("unhold", "0000000001").exit_code == 0
    assert world.node("0000000001").state is NodeState.USED


def test_a_node_that_is_not_held_is_left_alone_and_unlocked(world):
    world.put_node("0000000001")
    done = world.run("unhold", "0000000001")
    assert (done.exit_code, "is ready, not hold" in done.output) == (0, True)
    assert world.node("0000000001").state is NodeState.READY
    assert world.tree.children(paths.node_lock("0000000001")).names == ()


@pytest.mark.parametrize(("command", "state"), [("delete", NodeState.DELETING), ("hold", NodeState.HOLD)])
def test_what_concerns_many_has_to_be_confirmed(world, command, state):
    world.put_node("0000000001")
    world.put_node("0000000002")
    refused = world.run(command, "0000000001", "0000000002")
    assert (refused.exit_code, world.node("0000000002").state) == (1, NodeState.READY)
    assert world.run(command, "0000000001", "0000000002", "--yes").exit_code == 0
    assert {world.node(f"000000000{n}").state for n in (1, 2)} == {state}


def test_one_of_several_that_is_not_there_keeps_no_other_from_being_changed(world):
    world.put_node("0000000002")
    done = world.run("delete", "0000000001", "0000000002", "--yes")
    assert (done.exit_code, "Node id 0000000001 not found" in done.output) == (0, True)
    assert world.node("0000000002").state is NodeState.DELETING
    world.lock("0000000002")
    assert world.run("delete", "0000000002", "0000000001", "--yes").exit_code == 1


ORDERS = [
    (("hold", "0000000001", "--reason", "a look"), "node 0000000001", "a look"),
    (("delete", "0000000001"), "node 0000000001", ""),
    (("freeze", "fake-provider"), "provider fake-provider", ""),
    (("cordon", "fake-provider/main", "--reason", "why not"), "pool fake-provider/main", "why not"),
    (("image-build", "fake-image"), "image fake-image", ""),
    (("image-pause", "fake-image"), "image fake-image", ""),
    (("confirm", "fake-provider"), "provider fake-provider", ""),
]


@pytest.mark.parametrize(("order", "touched", "reason"), ORDERS)
def test_every_order_leaves_a_note(world, order, touched, reason):
    world.put_node("0000000001")
    assert world.run(*order).exit_code == 0
    [note] = json.loads(world.run("audit", "--format", "json").stdout)
    assert (note["command"], note["objects"], note["reason"]) == (order[0], [touched], reason)
    assert (note["user"], note["count"]) == (notes.who(), 1)
    assert json.loads(world.run("audit", "--object", touched.split()[1], "--format", "json").stdout)
    assert not json.loads(world.run("audit", "--object", "else", "--format", "json").stdout)


def test_what_changes_nothing_leaves_no_note(world):
    world.put_node("0000000001")
    for words in (("list",), ("delete", "0000000009"), ("thaw", "fake-provider"), ("explain", "0000000001")):
        world.run(*words)
    assert json.loads(world.run("audit", "--format", "json").stdout) == []


def test_only_the_newest_notes_are_kept(world, monkeypatch):
    monkeypatch.setattr(notes, "KEPT", 2)
    world.put_node("0000000001")
    for _ in range(4):
        world.run("hold", "0000000001")
    assert len(json.loads(world.run("audit", "--format", "json").stdout)) == 2


def test_a_note_that_is_none_is_told_and_the_others_are_shown(world):
    world.put_node("0000000001")
    world.run("hold", "0000000001")
    world.commit(Create(paths.new_audit(), b"junk", sequence=True))
    result = world.run("audit")
    assert "hold" in result.stdout
    assert "not a note" in result.stderr
