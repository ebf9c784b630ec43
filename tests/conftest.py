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
