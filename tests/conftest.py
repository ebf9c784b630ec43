"""Fixtures that tests in every folder may want."""

from typing import Any

import pytest

pytest_plugins = ["tests.support.zookeeper"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let fixtures know how their test ended."""
    report = yield
    if report.when == "call":
        item.outcome_of_call = report  # type: ignore[attr-defined]
    return report


SLOW = frozenset({"daemons", "openstack", "peers", "dib", "browser", "campaign", "soak", "slow"})
"""Markers of tests that start whole daemons, builds or other software, or play thousands of histories."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick whatever is not slow: together these take less than two minutes."""
    for item in items:
        if not SLOW.intersection(mark.name for mark in item.iter_markers()):
            item.add_marker("quick")
