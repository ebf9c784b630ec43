"""Whole daemons, as in tests/daemons."""

from tests.daemons.conftest import place

__all__ = ["place"]
