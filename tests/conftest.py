"""Fixtures that tests in every folder may want."""

pytest_plugins = ["tests.support.zookeeper"]
