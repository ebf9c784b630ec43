"""Every panel for Graphite, and those of the public boards, on a real Graphite that a running launcher feeds."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodepool_ng.telemetry.statsd import Statsd
from tests.support.daemons import Site, wait_for
from tests.support.graphite import Graphite, graphite, missing
from tests.telemetry.lively import lively
from tests.telemetry.test_statsd_launcher import configure
from tests.unit.telemetry.test_boards import targets

pytestmark = [
    pytest.mark.zookeeper,
    pytest.mark.daemons,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.timeout(300),
]

PUBLIC = [
    *(
        f"sumSeries(stats.gauges.nodepool.provider.*.nodes.{state})"
        for state in ("building", "ready", "in-use", "used", "deleting", "hold", "failed")
    ),
    *(
        f"aliasByNode(stats.gauges.nodepool.label.*.nodes.{state}, 4)"
        for state in ("building", "ready", "in-use", "deleting")
    ),
    'summarize(sumSeries(stats_counts.nodepool.launch.provider.*.ready), "1min")',
    'summarize(sumSeries(stats_counts.nodepool.launch.provider.*.error.*), "1min")',
    "stats.timers.nodepool.launch.provider.*.ready.mean",
    *(f"stats.gauges.nodepool.provider.$region.nodes.{state}" for state in ("building", "ready", "in-use", "used")),
    "stats.gauges.nodepool.provider.$region.max_servers",
    "stats_counts.nodepool.launch.provider.$region.ready",
    "stats_counts.nodepool.launch.provider.$region.error.*",
    "stats.timers.nodepool.launch.provider.$region.ready.mean",
    *(
        f"stats.timers.nodepool.task.$region.compute.{task}.*.mean"
        for task in ("POST.servers", "GET.server", "DELETE.server", "GET.servers_detail", "GET.limits")
    ),
    "stats.timers.nodepool.task.$region.compute.GET.flavors_detail.*.mean",
    *(
        f"stats.timers.nodepool.task.$region.network.GET.{what}.*.mean"
        for what in ("floatingips", "networks", "ports", "subnets")
    ),
    "stats.gauges.nodepool.dib_image_build.*.status.rc",
    "stats.gauges.nodepool.dib_image_build.$dib_image.*.size",
    "keepLastValue(stats.timers.nodepool.dib_image_build.$dib_image.status.duration.mean)",
    "scale(stats.gauges.nodepool.dib_image_build.$dib_image.status.last_build, 1000)",
    *(f"stats.gauges.nodepool.nodes.{state}" for state in ("building", "ready", "in-use", "used", "deleting")),
    "sumSeries(stats.gauges.nodepool.provider.*.max_servers)",
    "stats.timers.nodepool.image_update.*.*.mean",
]
"""What OpenDev's boards ask, with their variables."""


@pytest.fixture
def numbers(place: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphite]:
    """A Graphite that a launcher and somebody with much to tell send their numbers to."""
    folder: Path = tmp_path_factory.mktemp("graphite")
    with graphite(folder) as made:
        place.environment |= {"STATSD_HOST": "127.0.0.1", "STATSD_PORT": str(made.statsd)}
        configure(place)
        place.launcher()
        mouth, stop = Statsd("127.0.0.1", made.statsd), threading.Event()

        def tell() -> None:
            while not stop.wait(0.5):
                mouth.tell(list(lively()))

        mouth.start()
        teller = threading.Thread(target=tell)
        teller.start()
        try:
            ready = "stats.gauges.nodepool.provider.fake-provider.nodes.ready"
            wait_for(lambda: bool(made.render(ready)), "the launcher's numbers have arrived", 90)
            yield made
        finally:
            stop.set()
            teller.join()
            mouth.stop()


def test_every_query_of_every_panel_returns_data(numbers: Graphite) -> None:
    asked = {target["target"]: where for where, target in targets("graphite")}
    asked |= dict.fromkeys(PUBLIC, "a public board")
    assert len(asked) > 100

    def empty() -> list[str]:
        queries = {query: re.sub(r"\$\w+", "*", query) for query in asked}
        return [f"{asked[query]}: {query}" for query, filled in queries.items() if not numbers.render(filled)]

    found: list[str] = []

    def none_is_empty() -> bool:
        found[:] = empty()
        return not found

    try:
        wait_for(none_is_empty, "all queries return data", 60)
    except TimeoutError:
        pytest.fail("no data:\n" + "\n".join(found))


def test_what_the_launcher_says_is_what_graphite_shows(place: Site, numbers: Graphite) -> None:
    def ready() -> float | None:
        (series,) = numbers.render("stats.gauges.nodepool.label.fake-label.nodes.ready")
        return [value for value, _ in series["datapoints"] if value is not None][-1]  # type: ignore[no-any-return]

    wait_for(lambda: ready() == 2, "two nodes of the label are ready", 60)
    assert sum(node.free for node in place.nodes().values()) == 2
