"""The page about bare metal tells of every key, and its samples are good."""

import re

import pytest
import yaml

from nodepool_ng.config.providers import BareMetalImage, IronicProvider, MachineLabel, MachinePool
from nodepool_ng.config.schema import Written
from nodepool_ng.sim.config import parse
from tests.support.readme import CHECKOUT

PAGE = (CHECKOUT / "docs" / "bare-metal.rst").read_text()
SECTIONS = {
    "Of the provider": IronicProvider,
    "Of a cloud image": BareMetalImage,
    "Of a pool": MachinePool,
    "Of a label": MachineLabel,
}
ELSEWHERE = {"name", "driver"}
"""Keys of every provider."""


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_has_its_row_and_no_row_is_of_another(title: str) -> None:
    _, _, rest = PAGE.partition(f"\n{title}\n")
    rule, _, below = rest.partition("\n\n")[2].partition("\n")
    column = rule.index(" ")
    rows = below.partition(f"\n{rule}")[0].splitlines()
    told = {key for row in rows for key in re.findall(r"``([\w-]+)``", row[:column])}
    model: type[Written] = SECTIONS[title]
    keys = {field.alias or name.replace("_", "-") for name, field in model.model_fields.items()}
    assert told == (keys - ELSEWHERE if model is IronicProvider else keys)


def test_the_sample_of_the_simulation_works() -> None:
    sample = PAGE.partition("nodepool-sim`` has machines, too::\n")[2]
    region = parse(yaml.safe_dump(yaml.safe_load(sample))).clouds["hall"].regions["north"]
    assert [each.count for each in region.machines] == [5, 1]
