"""`plan` and `simulate`, on a tree in memory."""

import json
from dataclasses import replace

import pytest

from nodepool_ng.model.ids import LabelName, PoolName, ProviderName
from nodepool_ng.model.settings import Label, Pool, PoolLabel, Provider
from tests.unit.cli.conftest import SETTINGS

NAME = ProviderName("fake-provider")
SMALL = LabelName("small")
MAIN = Pool(name=PoolName("main"), provider=NAME, labels={SMALL: PoolLabel(name=SMALL)})
NOW = replace(
    SETTINGS,
    labels={SMALL: Label(name=SMALL)},
    providers={NAME: Provider(name=NAME, cloud="acme", pools={MAIN.name: MAIN})},
)


@pytest.fixture(autouse=True)
def configured(world):
    files = {"/etc/nodepool/nodepool.yaml": NOW, "new.yaml": replace(NOW, providers={}), "same.yaml": NOW}
    world.surroundings = replace(world.surroundings, load=lambda path, secure: files[path])


def test_a_plan_tells_what_is_lost_and_changes_nothing(world):
    before = world.tree.paths()
    done = world.run("plan", "--config", "new.yaml")
    assert (done.exit_code, world.tree.paths()) == (1, before)
    assert "! label small: no pool can serve it any more: requests for it fail" in done.output
    told = json.loads(world.run("plan", "--config", "new.yaml", "--format", "json").stdout)
    assert {one["weight"] for one in told} == {"care"}


def test_the_same_configuration_is_no_plan(world):
    done = world.run("plan", "--config", "same.yaml")
    assert (done.exit_code, done.output) == (0, "Nothing would change.\n")


def test_demand_that_is_made_up_is_played(world):
    done = world.run(
        "simulate", "--offline", "--rate", "small=30", "--time", "20min", "--job", "1min", "--format", "json"
    )
    told = json.loads(done.stdout)
    assert told["labels"]["small"]["served"] == told["requests"] > 3
    assert 40 < told["labels"]["small"]["median-wait"] < 100
    text = world.run("simulate", "--offline", "--rate", "small=30", "--time", "20min", "--job", "1min").stdout
    assert "small: half waits" in text


def test_the_same_question_has_the_same_answer(world):
    words = ("simulate", "--offline", "--rate", "small=30", "--time", "20min", "--job", "1min")
    assert world.run(*words).stdout == world.run(*words).stdout


def test_ready_nodes_are_proposed_for_an_objective(world):
    words = (
        "simulate",
        "--offline",
        "--rate",
        "small=30",
        "--time",
        "20min",
        "--job",
        "1min",
        "--objective",
        "5s",
        "--format",
        "json",
    )
    told = json.loads(world.run(*words).stdout)["labels"]["small"]
    assert told["min-ready"] > 0
    assert told["wait-of-share"] <= 5


@pytest.mark.parametrize("rate", ["small", "=1", "small=many", "small=-1", "small=nan"])
def test_a_rate_that_is_none_is_a_wrong_call(world, rate):
    assert world.run("simulate", "--offline", "--rate", rate).exit_code == 2


def test_without_demand_there_is_nothing_to_play(world):
    done = world.run("simulate", "--offline")
    assert (done.exit_code, "There is no demand" in done.output) == (1, True)


def test_without_launchers_nothing_was_recorded(world):
    done = world.run("simulate", "--recorded", "1d")
    assert (done.exit_code, "No launcher tells where" in done.output) == (1, True)
