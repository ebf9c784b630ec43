"""The configuration file: what may be left out, and what is said when it is wrong."""

from __future__ import annotations

import pytest
import yaml

from nodepool_ng.sim.clouds_yaml import clouds_yaml
from nodepool_ng.sim.config import ConfigError, load, parse

FILE = """\
seed: 3
clouds:
  acme:
    projects: [ci, other]
    defaults:
      quota: {instances: 20}
      boot: 7
    regions:
      north:
      south: {boot: {uniform: [2, 8]}, ssh: true}
"""


@pytest.mark.parametrize(
    "text", ["", "{}", "clouds: {sim: {}}", "clouds: {sim: }", "clouds: {sim: {regions: {RegionOne: }}}"]
)
def test_little_is_enough(text):
    settings = parse(text)
    assert list(settings.clouds) == ["sim"]
    assert list(settings.clouds["sim"].regions) == ["RegionOne"]
    assert settings.clouds["sim"].regions["RegionOne"].boot.fixed == 5.0


def test_regions_start_from_the_defaults_of_their_cloud():
    regions = parse(FILE).clouds["acme"].regions
    assert regions["north"].boot.fixed == 7
    assert regions["south"].boot.uniform == (2, 8)
    assert {region.quota.instances for region in regions.values()} == {20}
    assert [region.ssh is not None for region in regions.values()] == [False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clouds: [", "x.yaml:1:10: this is not YAML"),
        ("clouds: 3", "x.yaml:1:1: clouds: "),
        ("clouds:\n  a:\n    regon: {}", "x.yaml:3:5: clouds.a.regon: there is no such setting"),
        ("clouds: {a: {}, a: {}}", "x.yaml:1:17: the key a is here twice"),
        ("clouds: {a: {regions: {x: {boot: -1}}}}", "x.yaml:1:28: clouds.a.regions.x.boot"),
        ("clouds: {a: {regions: {x: {boot: {}}}}}", "a duration needs exactly one of"),
        ("clouds: {a: {regions: {x: {boot: {uniform: [2, 1]}}}}}", "smaller number first"),
        ("clouds: {a: {regions: {identity: {}}}}", "a region cannot be called identity"),
        ("clouds: {a/b: {}}", "x.yaml:1:10: clouds.a/b"),
        (
            "clouds: {a: {defaults: {networks: [{name: n, cidrs: [x]}]}}}",
            "does not appear to be an IPv4 or IPv6 network",
        ),
        ("clouds: {a: {defaults: {ssh: {network: 10.0.0.0/24}}}}", "must lie in 127.0.0.0/8"),
        ("clouds: {a: {defaults: {zones: [n, n]}}}", "the zone n is named twice"),
        ("clouds: {a: {defaults: {faults: [{call: server.list, fate: twice}]}}}", "cannot meet the fate twice"),
        (
            "clouds: {a: {defaults: {faults: [{call: zone.list, fate: refused}, {call: zone.list, fate: refused}]}}}",
            "add up to more than 1",
        ),
    ],
)
def test_a_wrong_file_gets_one_sentence_that_says_where(text, said):
    with pytest.raises(ConfigError) as error:
        parse(text, "x.yaml")
    assert said in str(error.value)
    assert str(error.value).startswith("x.yaml:")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load(tmp_path / "none.yaml")


def test_the_clouds_yaml_has_every_region_and_project():
    clouds = yaml.safe_load(clouds_yaml(parse(FILE), "http://127.0.0.1:1"))["clouds"]
    assert list(clouds) == ["acme", "acme.north", "acme.north.other", "acme.south", "acme.south.other"]
    assert clouds["acme"]["regions"] == ["north", "south"]
    assert clouds["acme.south.other"]["region_name"] == "south"
    assert clouds["acme.south.other"]["auth"]["project_name"] == "other"
    assert clouds["acme"]["auth"]["auth_url"] == "http://127.0.0.1:1/acme/identity/v3"
