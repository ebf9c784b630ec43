"""What is told beside the tables: providers that are frozen, and files that a launcher cannot use."""

import pytest

from nodepool_ng.zk import paths
from nodepool_ng.zk.facts import encode_facts

BROKEN = "nodepool.yaml:3:7: error: this is no YAML"


def tell(world, document, launcher="nl01-0123abcd"):
    for number, part in enumerate(encode_facts(document)):
        world.put(paths.facts(launcher, number), part, ephemeral=True)


@pytest.mark.parametrize("command", [("list",), ("info", "fake-provider"), ("request-list",)])
def test_a_freeze_and_broken_files_are_told_whatever_is_asked(world, command):
    plain = world.run(*command).stdout
    world.run("freeze", "fake-provider", "--creates")
    tell(world, {"broken-files": BROKEN})
    done = world.run(*command)
    assert done.exit_code == 0
    assert done.stdout == plain
    assert (
        "Frozen: no servers are created in provider fake-provider until `nodepool thaw fake-provider`." in done.stderr
    )
    assert (
        f"Launcher nl01-0123abcd goes by what its files said before, since they are broken:\n  {BROKEN}" in done.stderr
    )


def test_a_freeze_of_all_is_told_of_each(world):
    world.run("freeze", "all")
    assert "no servers are created and deleted in all providers" in world.run("info", "fake-provider").stderr


def test_what_concerns_another_provider_is_not_told_of_this_one(world):
    world.run("freeze", "fake-provider")
    assert world.run("info", "another").stderr == ""


def test_nothing_is_told_when_nothing_is_out_of_the_ordinary(world):
    tell(world, {"broken-files": None})
    world.put(paths.facts("nl02", 0), b"half a document")
    assert world.run("list").stderr == ""
