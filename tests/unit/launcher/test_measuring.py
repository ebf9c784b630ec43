"""What the launcher counts of things that were left behind."""

from collections.abc import Iterable
from typing import Any

from nodepool_ng.drivers import Swept
from nodepool_ng.launcher.measuring import Measures
from nodepool_ng.launcher.outcome import SweptUp
from nodepool_ng.model.action import SweepNetwork
from nodepool_ng.model.reason import Code, Reason
from nodepool_ng.telemetry import metrics
from nodepool_ng.telemetry.sample import Sample


class Told:
    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def tell(self, samples: Iterable[Sample]) -> None:
        self.samples += samples


def test_what_a_sweep_found_is_counted_by_kind() -> None:
    told = Told()
    sweep = SweepNetwork(provider="north", ports=True, floating_ips=True, why=Reason(code=Code.DUE))  # type: ignore[arg-type]
    world: Any = None
    Measures(told, "vm").ended(world, sweep, SweptUp(Swept(ports=2, floating_ips=0, volumes=1)))
    assert all(one.metric is metrics.LEAKED for one in told.samples)
    assert sorted((one.labels["resource"], one.value) for one in told.samples) == [("ports", 2), ("volumes", 1)]
