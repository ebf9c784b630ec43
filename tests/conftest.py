"""Fixtures that tests in every folder may want."""

import signal
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
REAL = frozenset({"zookeeper", "daemons", "openstack", "peers", "dib", "browser"})
"""Markers of tests with real processes, where an event may come later than the most patient test waits for it."""
LOG_SHOWN = 20_000  # characters of each captured output, from its end


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and nohup a lost terminal; whatever tests start would
    inherit that. What is not ignored but dealt with is not inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--second-chance",
        action="store_true",
        help="run a failed test with real processes once more; the end tells which were, and how they failed",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as quick whatever is not slow: together these take less than two minutes."""
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if not marks & SLOW:
            item.add_marker("quick")
        if marks & REAL and config.getoption("--second-chance"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how a test failed that was run once more: nothing of it is to be overlooked because it passed then."""
    again = terminalreporter.stats.get("rerun", [])
    if again:
        terminalreporter.section(f"{len(again)} failed at first and had a second chance")
    for report in again:
        terminalreporter.section(report.nodeid, "-")
        terminalreporter.line(report.longreprtext)
        for title, text in report.sections:
            terminalreporter.section(title, "-")
            terminalreporter.line(text[-LOG_SHOWN:])
