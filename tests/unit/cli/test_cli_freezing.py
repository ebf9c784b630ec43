"""Freezing a provider, or all of them, and letting them go on."""

import json

import pytest

from nodepool_ng.zk import paths


@pytest.mark.parametrize(
    ("options", "creates", "deletes", "words"),
    [
        ((), True, True, "created and deleted"),
        (("--creates",), True, False, "created"),
        (("--deletes",), False, True, "deleted"),
        (("--creates", "--deletes"), True, True, "created and deleted"),
    ],
)
@pytest.mark.parametrize("provider", ["fake-provider", "all"])
def test_a_freeze_is_written_down_for_launchers_to_see(world, provider, options, creates, deletes, words):
    done = world.run("freeze", provider, *options)
    assert (done.exit_code, f"no servers are {words} in" in done.output) == (0, True)
    assert json.loads(world.data(paths.freeze(provider))) == {"creates": creates, "deletes": deletes}


def test_the_last_order_counts(world):
    world.run("freeze", "all")
    world.run("freeze", "all", "--deletes")
    assert json.loads(world.data(paths.freeze("all"))) == {"creates": False, "deletes": True}


def test_a_provider_that_is_not_configured_is_not_frozen(world):
    done = world.run("freeze", "nobody")
    assert (done.exit_code, "There is no provider nobody" in done.output) == (1, True)
    assert world.tree.look(paths.freeze("nobody")) is None


def test_a_thaw_takes_the_order_back(world):
    world.run("freeze", "fake-provider")
    done = world.run("thaw", "fake-provider")
    assert (done.exit_code, done.output) == (0, "Thawed: launchers go on in fake-provider.\n")
    assert world.tree.look(paths.freeze("fake-provider")) is None
    assert world.run("thaw", "fake-provider").exit_code == 0
    assert world.run("--strict", "thaw", "fake-provider").exit_code == 1


def test_a_thaw_of_one_tells_that_all_are_frozen(world):
    world.run("freeze", "all")
    world.run("freeze", "fake-provider")
    assert "still frozen" in world.run("thaw", "fake-provider").output
