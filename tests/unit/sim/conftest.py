"""A region to talk to, and the two projects that talk to it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from nodepool_ng.sim.region import Region
from nodepool_ng.sim.server import Caller
from nodepool_ng.sim.settings import RegionSettings

Make = Callable[..., Region]


@pytest.fixture
def make() -> Make:
    """Return a maker of regions; its keywords are the settings of a region's configuration."""

    def region(**settings: object) -> Region:
        return Region("north", RegionSettings.model_validate(settings), random.Random(7))

    return region


@pytest.fixture
def me() -> Caller:
    return Caller("my-project", "me")


@pytest.fixture
def other() -> Caller:
    return Caller("other-project", "other")
