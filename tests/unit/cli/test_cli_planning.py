"""`plan` and `simulate`, on a tree in memory."""

import json
from dataclasses import replace

import pytest

from nodepool_ng.cli import planning
from nodepool_ng.cli.planning import model_of
from nodepool_ng.explain.told import BOOT, PoolTold, Told
from nodepool_ng.model.ids import LabelName, PoolName, ProviderName
from nodepool_ng.model.quota import Resources
from nodepool_ng.model.settings import Label, Pool, PoolLabel, Provider
from tests.unit.cli.conftest import NOW as NOW_IS
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


def test_nothing_of_the_simulated_launcher_is_told_but_to_who_debugs(world):
    words = ("simulate", "--offline", "--rate", "small=30", "--time", "20min", "--job", "1min")
    assert world.run(*words).stderr == ""
    assert "Creating its server in" in world.run("--debug", *words).stderr


def test_a_label_that_no_pool_has_is_a_wrong_demand(world):
    done = world.run("simulate", "--offline", "--rate", "lage=30")
    assert (done.exit_code, "has the label lage: correct --rate" in done.output) == (1, True)


def test_another_seed_is_another_run_and_failures_count(world):
    words = ("simulate", "--offline", "--rate", "small=60", "--time", "20min", "--job", "1min", "--format", "json")

    def told(*more):
        return json.loads(world.run(*words, *more).stdout)

    assert told() == told("--seed", "0") != told("--seed", "1")
    assert told("--failures", "0.5")["labels"]["small"]["failed"] > 0 == told()["labels"]["small"]["failed"]
    assert world.run(*words, "--failures", "1").exit_code == 2


def test_clouds_are_as_launchers_tell():
    pools = {
        "north/main": PoolTold(
            name="north/main",
            quota=Resources({"cores": 10}),
            foreign=Resources({"cores": 4}),
            costs={"small": Resources({"cores": 2})},
            spans={BOOT: {"small": (10, 20, 25, 28, 29, 30, 31, 32, 35, 60, 90)}},
        ),
        "north/free": PoolTold(name="north/free"),
    }
    model = model_of(Told(pools=pools), 60.0)
    assert model.quotas == {"north": Resources({"cores": 6})}
    assert model.costs == {"small": Resources({"cores": 2})}
    (median, sigma) = model.boots[SMALL]
    assert (median, round(sigma, 2)) == (30, 0.54)


def test_what_was_recorded_is_replayed_from_its_beginning(world, monkeypatch):
    asked = [{"time": NOW_IS + at, "labels": ["small"], "seconds": 60.0} for at in (100, 160, 400)]
    vague = [{"time": NOW_IS, "labels": ["small"], "seconds": None}, {"time": NOW_IS, "labels": [], "seconds": 1.0}]
    answers = {"one": [], "two": asked, "three": vague}
    monkeypatch.setattr(planning, "ask_all", lambda connection, path, seconds: answers)
    told = json.loads(world.run("simulate", "--recorded", "1d", "--format", "json").stdout)
    assert (told["requests"], told["labels"]["small"]["served"]) == (3, 3)
    answers.pop("two")
    assert json.loads(world.run("simulate", "--recorded", "1d", "--format", "json").stdout)["requests"] == 1


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
