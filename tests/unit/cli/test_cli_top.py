"""The live view, driven key by key on a tree in memory."""

import asyncio
from collections.abc import Callable

import pytest
from textual.widgets import DataTable, Static
from textual.widgets._footer import FooterKey

from nodepool_ng.cli.session import Session
from nodepool_ng.cli.top import Answer, Sure, Top
from nodepool_ng.explain import overview
from nodepool_ng.explain.told import PoolTold
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.model.quota import Resources
from nodepool_ng.zk import paths
from nodepool_ng.zk.facts import encode_facts
from nodepool_ng.zk.store import Delete, Set
from tests.unit.cli.conftest import NOW


@pytest.fixture
def drive(world):
    """Runs a conversation with the view: the function gets the view and its pilot."""

    def run(conversation: Callable) -> None:
        session = Session(world.surroundings, "nodepool.yaml", None, strict=False)

        async def whole() -> None:
            with session.connected(paths.NODES) as connection:
                view = Top(session, connection)
                async with view.run_test(size=(140, 40)) as pilot:
                    await seen(view, pilot)
                    await conversation(view, pilot)

        asyncio.run(whole())

    return run


async def seen(view: Top, pilot, condition: Callable[[Top], bool] = lambda view: view.scene is not None) -> None:
    for _ in range(200):
        await pilot.pause()
        await view.workers.wait_for_complete()
        if condition(view):
            return
        view.look()
    raise AssertionError("it does not come true")


def rows(view: Top, name: str) -> list[list[str]]:
    table = view.query_one(f"#{name}", DataTable)
    return [table.get_row_at(number) for number in range(table.row_count)]


@pytest.fixture(autouse=True)
def installation(world):
    world.put_node("0000000001", pool="main", labels=("small",))
    world.put_node("0000000002", NodeState.HOLD, pool="main", labels=("small",), comment="two\nlines")
    world.put_request("200-0000000001", labels=("small", "small"), requestor="zuul")
    world.put_build("img")


def test_everything_is_shown_and_follows_changes(world, drive):
    async def conversation(view, pilot):
        assert [row[0] for row in rows(view, "nodes")] == ["0000000001", "0000000002"]
        assert rows(view, "nodes")[1][-1] == "two\\nlines"
        assert rows(view, "requests")[0][2] == "2× small"
        assert rows(view, "pools")[0][:2] == ["fake-provider/main", "1 hold, 1 ready"]
        assert rows(view, "images")[-1][0] == "resting"
        assert "1 hold, 1 ready · 1 requests wait" in str(view.query_one("#headline", Static).render())
        world.commit(Delete(paths.node("0000000001")))
        await seen(view, pilot, lambda view: len(rows(view, "nodes")) == 1)

    drive(conversation)


WORK = {
    "hostname": "nb01",
    "builds": [
        {"image": "img", "began": NOW - 125, "phase": "install.d", "element": "base", "hook": "10-x", "size": 3 * 10**9}
    ],
    "uploads": [
        {
            "image": "img",
            "provider": "north",
            "began": NOW - 10,
            "sent": 10**9,
            "size": 4 * 10**9,
            "rate": 10**8,
            "left": 30,
        }
    ],
    "waiting": [
        {"image": "rpm", "sentence": "it failed\x1b[2J once", "until": NOW + 3600},
        {"image": "odd", "until": float("inf")},
        7,
    ],
}


def tell(world, document) -> None:
    (part,) = encode_facts(document)
    path = paths.builder_facts("nb01", 0)
    if world.tree.look(path) is None:
        world.put(path, part)
    else:
        world.commit(Set(path, part))


def test_builders_show_how_far_their_work_has_come(world, drive):
    tell(world, WORK)

    async def conversation(view, pilot):
        await pilot.press("5")
        assert rows(view, "builders") == [
            ["img", "", "building", "2:05", "3.0 GB", "", "", "install.d: base (10-x)", "nb01"],
            ["img", "north", "uploading", "0:10", "███░░░░░░░░░ 1.0 GB of 4.0 GB", "100.0 MB/s", "0:30", "", "nb01"],
            ["rpm", "", "waiting", "", "", "", "", "it failed\\x1b[2J once; next try in 1:00:00", "nb01"],
            ["odd", "", "waiting", "", "", "", "", "", "nb01"],
        ]
        await pilot.press("e")
        assert isinstance(view.screen, Answer)
        assert "image img" in view.screen._words
        await pilot.press("escape")
        tell(world, {**WORK, "uploads": [{**WORK["uploads"][0], "sent": 4 * 10**9, "left": 0}], "builds": []})
        await seen(view, pilot, lambda view: rows(view, "builders")[0][4].startswith("████████████ 4.0 GB"))
        world.commit(Delete(paths.builder_facts("nb01", 0)))
        await seen(view, pilot, lambda view: rows(view, "builders") == [])
        await pilot.press("e", "d")
        assert not isinstance(view.screen, (Answer, Sure))

    drive(conversation)


def test_a_node_is_held_after_a_yes_and_not_after_a_no(world, drive):
    async def conversation(view, pilot):
        await pilot.press("3", "h")
        assert isinstance(view.screen, Sure)
        await pilot.press("n")
        await view.workers.wait_for_complete()
        assert world.node("0000000001").state is NodeState.READY
        await pilot.press("h", "y")
        await seen(view, pilot, lambda view: world.node("0000000001").state is NodeState.HOLD)

    drive(conversation)


def test_a_node_is_deleted_and_a_hold_ended(world, drive):
    async def conversation(view, pilot):
        await pilot.press("3", "d", "y")
        await seen(view, pilot, lambda view: world.node("0000000001").state is NodeState.DELETING)
        await seen(view, pilot, lambda view: rows(view, "nodes")[0][0] == "0000000002")
        view.query_one("#nodes", DataTable).move_cursor(row=0)
        await pilot.press("u", "y")
        await seen(view, pilot, lambda view: world.node("0000000002").state is NodeState.USED)

    drive(conversation)


@pytest.mark.parametrize(("tab", "words"), [("2", "request 200-0000000001"), ("3", "node 0000000001"), ("4", "image ")])
def test_what_is_chosen_is_explained(drive, tab, words):
    async def conversation(view, pilot):
        await pilot.press(tab, "e")
        assert isinstance(view.screen, Answer)
        assert words in view.screen._words
        await pilot.press("escape")
        assert not isinstance(view.screen, Answer)

    drive(conversation)


def test_bars_tell_their_units_and_the_keys_fit_into_80_columns(drive):
    pool = PoolTold(name="north/main", used=Resources({"ram": 8192}), limits=Resources({"ram": 81920, "cores": 0}))
    assert overview.bar(pool, "ram") == "█░░░░░░░░░░░ 8/80 GiB"
    assert overview.bar(pool, "cores") == "████████████ 0/0"
    assert overview.bar(PoolTold(name="north/main", used=Resources({"ram": 512})), "ram") == "0.5 GiB"

    async def conversation(view, pilot):
        await pilot.resize_terminal(80, 24)
        shown = [key for key in view.query(FooterKey) if key.display]
        assert "Quit" in {key.description for key in shown}
        assert max(key.region.right for key in shown) <= 80

    drive(conversation)


def test_keys_for_nodes_do_nothing_elsewhere(world, drive):
    async def conversation(view, pilot):
        await pilot.press("1", "d")
        assert not isinstance(view.screen, Sure)

    drive(conversation)
    assert world.node("0000000001").state is NodeState.READY


def test_what_was_read_while_the_view_closes_is_not_shown(drive):
    async def conversation(view, pilot):
        await view.query("*").remove()
        view._show(view.scene, ())

    drive(conversation)
