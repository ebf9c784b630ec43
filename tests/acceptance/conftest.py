"""A scene for planners; what needs an installation makes its own."""

from __future__ import annotations

import pytest

from tests.unit.drivers.conftest import talk
from tests.unit.plan.support import Scene

__all__ = ["talk"]


@pytest.fixture
def scene() -> Scene:
    return Scene()
