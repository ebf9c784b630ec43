"""Launchers as processes, with somebody who listens to their numbers."""

from collections.abc import Iterator

import pytest

from tests.daemons.conftest import place
from tests.support.daemons import Site
from tests.support.sink import Sink, sink

__all__ = ["place"]


@pytest.fixture
def ears(place: Site) -> Iterator[Sink]:
    """A statsd server that the site's daemons know of."""
    with sink() as made:
        place.environment |= {"STATSD_HOST": "127.0.0.1", "STATSD_PORT": str(made.port)}
        yield made
