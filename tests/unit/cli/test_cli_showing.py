"""Filters, sorting, forms and repetition of lists."""

import json
import sys
import threading

import pytest

from nodepool_ng.listing.terminal import age_in_words, draw
from nodepool_ng.model.lifecycle import NodeState
from nodepool_ng.zk import paths
from nodepool_ng.zk.store import Delete
from tests.unit.cli.conftest import NOW


@pytest.fixture(autouse=True)
def nodes(world):
    world.put_node("0000000001", labels=("a",), provider="north", state_time=NOW - 10)
    world.put_node("0000000002", NodeState.HOLD, labels=("b", "a"), provider="south", state_time=NOW - 7300)
    world.put_node("0000000003", NodeState.IN_USE, labels=("b",), provider="north", state_time=NOW - 60)


def shown(world, *options):
    found = world.run("list", *options, "--format", "json")
    assert found.exit_code == 0, found.output
    return [int(row["id"]) for row in json.loads(found.stdout)]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), [1, 2, 3]),
        (("--label", "a"), [1, 2]),
        (("--provider", "north"), [1, 3]),
        (("--state", "hold"), [2]),
        (("--older-than", "2h"), [2]),
        (("--older-than", "30"), [2, 3]),
        (("--label", "b", "--provider", "north"), [3]),
        (("--sort", "age"), [1, 3, 2]),
        (("--sort", "-Age"), [2, 3, 1]),
        (("--sort", "State"), [2, 3, 1]),
        (("--sort", "label"), [1, 3, 2]),
    ],
)
def test_rows_are_chosen_and_sorted(world, options, ids):
    assert shown(world, *options) == ids


def test_requests_are_chosen_by_the_provider_that_they_want(world):
    world.put_request("200-0000000001", labels=("a",), provider="north")
    world.put_request("200-0000000002", labels=("a",))
    for form in ("json", "wide"):
        told = world.run("request-list", "--provider", "north", "--format", form).stdout
        assert ("200-0000000001" in told, "200-0000000002" in told) == (True, False)


@pytest.mark.parametrize("command", [("stats",), ("alien-image-list",), ("history", "x")])
def test_what_a_list_cannot_do_is_not_among_its_options(world, command):
    for option in ("--watch", *(("--older-than=1h",) if command[0] != "history" else ())):
        done = world.run(*command, option)
        assert (done.exit_code, "No such option" in done.stderr) == (2, True)


def test_an_unknown_column_is_a_wrong_call_that_names_those_there_are(world):
    done = world.run("list", "--sort", "colour")
    assert (done.exit_code, "only: ID, Provider" in done.stderr) == (2, True)


def test_the_wide_form_has_every_column(world):
    assert len(world.run("list", "--format", "wide").stdout.splitlines()[1].split("|")) == 21 + 2
    world.put_request("200-0000000001", labels=("a",))
    head = world.run("request-list", "--format", "wide").stdout.splitlines()[1]
    assert "Waits For" in head


def test_builds_and_uploads_tell_their_real_state_in_the_wide_form(world):
    build = world.put_build("img")
    world.put_upload(build, "0000000001", "north")
    world.put(paths.paused("img"))
    (row,) = [line for line in world.run("dib-image-list", "--format", "wide").stdout.splitlines() if "img-" in line]
    assert "paused" in row
    assert " ready " in row
    assert "Since" in world.run("image-list", "--format", "wide").stdout


def test_a_pipe_gets_the_bytes_that_scripts_cut(world):
    assert "\x1b" not in world.run("list").stdout
    assert world.run("list").stdout == world.run("list", "--format", "pretty").stdout


def test_a_terminal_gets_colours_and_rounded_ages(world, monkeypatch):
    from nodepool_ng.cli import showing

    monkeypatch.setattr(showing.sys.stdout.__class__, "isatty", lambda self: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    table = showing.rendered(_table(world), None)
    assert sys.stdout.isatty()
    assert "\x1b[32mready" in table
    assert "2 h 1 min" in table
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in showing.rendered(_table(world), None)


def test_a_narrow_terminal_gets_the_columns_that_it_has_room_for(world):
    table = _table(world)
    whole = draw(table, colour=False)
    width = len(whole.splitlines()[0])
    assert draw(table, colour=False, width=width) == whole
    narrow = draw(table, colour=False, width=width - 1).splitlines()
    # Nothing is lost with columns in which nothing is.
    assert " ".join(narrow[1].split()) == "| ID | Provider | Label | State | Age | Locked |"
    assert not narrow[-1].startswith("No room")
    tiny = draw(table, colour=False, width=40).splitlines()
    assert " ".join(tiny[1].split()) == "| ID | Label | State |"
    assert max(map(len, tiny[:-1])) <= 40
    assert tiny[-1] == "No room for: Provider, Age, Locked; --format pretty shows them."
    assert draw(table, colour=False, width=1).splitlines()[1].count("|") == 4


def _table(world):
    from nodepool_ng.listing.rows import NODES, NodeRow
    from nodepool_ng.listing.table import Table

    return Table(NODES, tuple(NodeRow(world.node(f"000000000{n}"), False, NOW) for n in (1, 2, 3)))


@pytest.mark.parametrize(
    ("age", "words"),
    [
        ("00:00:00:05", "5 s"),
        ("00:00:03:07", "3 min 7 s"),
        ("00:00:43:07", "43 min"),
        ("00:05:43:07", "5 h 43 min"),
        ("03:05:43:07", "3 d 5 h"),
        ("103:05:43:07", "103 d"),
        ("no age", "no age"),
    ],
)
def test_ages_are_rounded_to_what_matters(age, words):
    assert age_in_words(age) == words


def test_watching_prints_again_after_each_change_and_ends_with_the_connection(world):
    """The second look happens because a node goes; the end is an operator's Ctrl-C."""
    rounds = []
    from nodepool_ng.cli.session import Connection

    wait = Connection.wait_for_change

    def meddle(self, timeout):
        rounds.append(timeout)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        threading.Thread(target=lambda: world.commit(Delete(paths.node("0000000001")))).start()
        return wait(self, timeout)

    Connection.wait_for_change = meddle
    try:
        result = world.run("list", "--watch")
    finally:
        Connection.wait_for_change = wait
    assert result.stdout.count("| 0000000001 |") == 1
    assert result.stdout.count("| 0000000002 |") == 2
    assert rounds == [None, None]
